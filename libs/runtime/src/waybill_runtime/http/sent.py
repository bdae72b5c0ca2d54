"""What comes with a command beside its body: who sent it, under which key, what they had seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.conditions import IfMatch

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body is answered the same, however late.",
        examples=["order-536365"],
    ),
]

WANTED = frozenset({"Idempotency-Key", "If-Match"})
"""Headers without which nothing is done: they are optional for FastAPI alone, so that a request
without one is told so by us (400, 428)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A command's request, let in."""

    request: Request
    who: Principal
    key: str | None
    if_match: str | None = None


def sent_by(scope: str) -> Callable[..., object]:
    """A dependency that answers `Sent`, if its key has this scope."""

    async def sent(
        request: Request,
        who: Annotated[Principal, Depends(requires(scope))],
        key: IdempotencyKey = None,
    ) -> Sent:
        return Sent(request, who, key)

    return sent


def sent_on_a_version_by(scope: str) -> Callable[..., object]:
    """The same of a command on what its sender has seen."""

    async def sent(
        request: Request,
        who: Annotated[Principal, Depends(requires(scope))],
        key: IdempotencyKey = None,
        if_match: IfMatch = None,
    ) -> Sent:
        return Sent(request, who, key, if_match)

    return sent
