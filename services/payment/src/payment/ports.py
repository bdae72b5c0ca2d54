"""What payment needs of a card gateway, and the few things an answer can mean."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """The amount is held, until `expires_at`."""

    authorization_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """The capture, void or refund was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """It was not done, and under this key never will be; `retryable`: a new key may fare better.

    `code` in snake case; `authorization_expired` and `nothing_to_void` mean what they say.
    """

    code: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """It was taken in; the verdict comes later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No answer, or none that can be believed: it may have been done or not."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The gateway has done nothing under this key so far."""


Answer: TypeAlias = Authorized | Done | Declined | Pending | Unknown


class PaymentGateway(Protocol):
    """A card gateway with idempotency keys. Every call is bounded in time and tries once.

    The same key with the same request is done at most once, however often it is sent. Nothing is
    raised for what the gateway or the network do: that is what the answers are for.
    """

    async def authorize(
        self, key: str, *, reference: str, amount_minor: int, currency: str, token: str
    ) -> Answer:
        """Hold an amount."""
        ...

    async def capture(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int, final: bool
    ) -> Answer:
        """Take a part of what is held; `final` lets go of the rest."""
        ...

    async def void(self, key: str, authorization_id: str, *, reference: str) -> Answer:
        """Let go of all that is held and not captured."""
        ...

    async def refund(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int
    ) -> Answer:
        """Give back a part of what was captured."""
        ...

    async def lookup(self, key: str) -> Answer | NotFound:
        """What really came of a call, whatever was answered to it."""
        ...

    async def close(self) -> None:
        """Let connections go; nothing may be called after."""
        ...
