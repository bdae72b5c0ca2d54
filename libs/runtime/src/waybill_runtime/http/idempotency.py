"""One answer per Idempotency-Key (IETF draft-ietf-httpapi-idempotency-key-header-07).

The answer is stored in the transaction of what it answers: both are there, or neither. Refusals
are not stored: a mended request may use the same key. Answers are kept for ever: a key that were
forgotten would make a second order (I2).
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from waybill_runtime import cards
from waybill_runtime.http.auth import Principal
from waybill_runtime.http.problem import Refused, invalid
from waybill_runtime.http.sent import Sent
from waybill_runtime.ids import Ids
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Answer, LockTimeout
from waybill_runtime.transact import transact
from waybill_runtime.work import Asked

KEY_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Reply:
    """A success to be stored and sent."""

    status: int
    body: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)


def required(key: str | None) -> str:
    """The key, if it is usable.

    Raises:
        Refused: 400 when it is missing or too long, 422 when it looks like a card number.
    """
    if not key or len(key) > KEY_LENGTH_MAX or not key.isprintable():
        raise Refused(
            400,
            "idempotency-key-required",
            f"Send a header Idempotency-Key of 1 to {KEY_LENGTH_MAX} printable characters, "
            "the same for every try of this request.",
        )
    if cards.in_code(key):
        raise Refused(422, "invalid-request", f"Idempotency-Key: {cards.REFUSED}")
    return key


def command_id(key: str) -> str:
    """What the events of a request name as their cause: the log is for ever, and a key may say
    whose order it was. The same key is the same cause (I2).
    """
    return f"key:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def fingerprint(request: Request, principal: Principal, body: bytes) -> str:
    """What makes two requests the same: whose they are, method, path and body.

    By the key's name: a rotated key has another id, and is the same shop's.
    """
    whose = json.dumps([principal.name, request.method, request.url.path])
    digest = hashlib.sha256(whose.encode())
    digest.update(body)
    return digest.hexdigest()


def unambiguous(body: bytes) -> object:
    """What says each of its fields once: JSON leaves open which of two would count.

    What is no JSON is None: who reads it will say so.

    Raises:
        Refused: 422, with the name that is there twice.
    """
    try:
        return json.loads(body, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    said: dict[str, object] = {}
    for name, value in pairs:
        if name in said:
            detail = f"The body says {name[:64]!a} twice. Send each field once."
            raise Refused(422, "invalid-request", detail)
        said[name] = value
    return said


def without_cards(said: object, pointer: str = "") -> None:
    """Let pass what holds no card number, whatever its fields are for.

    Raises:
        Refused: 422, with the place of the first.
    """
    match said:
        case str() if cards.in_code(said):
            raise invalid(pointer, cards.REFUSED)
        case dict():
            for name, value in said.items():
                without_cards(value, f"{pointer}/{name}")
        case list():
            for at, value in enumerate(said):
                without_cards(value, f"{pointer}/{at}")
        case _:
            return


async def marked(sent: Sent) -> str:
    """The fingerprint of a request that may be answered at all.

    Raises:
        Refused: 400 no key, 422 a field is there twice, or there is a card number.
    """
    required(sent.key)
    body = await sent.request.body()
    without_cards(unambiguous(body))
    without_cards(dict(sent.request.path_params), "path:")
    return fingerprint(sent.request, sent.who, body)


async def replay_if_kept(sent: Sent, mark: str, *, store: Store) -> Response | None:
    """The answer kept before, for a command that does much before `answered_once`; None: none yet.

    Waits for nobody: of a request in flight it knows nothing.

    Raises:
        Refused: 400 no key, 422 the key was used for another request or by somebody else.
    """
    name = required(sent.key)
    async with store.reading() as reading:
        kept = await reading.answers.kept(sent.who.tenant, f"key:{name}")
    if kept is None:
        return None
    check_same(kept, mark)
    return _response(kept, replayed=True)


async def answered_once(
    sent: Sent,
    *,
    store: Store,
    ids: Ids,
    do: Callable[[Transaction, Asked], Awaitable[Reply]],
    mark: str | None = None,
) -> Response:
    """Run `do` and keep its answer in one transaction, or replay the answer kept before.

    `do` may run again on a new transaction after a conflict. `mark` is what `marked` said of the
    request, where it was asked before.

    Raises:
        Refused: 400 no key, 409 it is in flight, 422 a field is there twice, there is a card
            number, or the key was used for another request or by somebody else.
    """
    mark = mark or await marked(sent)
    name, tenant = required(sent.key), sent.who.tenant
    asked = Asked(tenant=tenant, actor=sent.who.actor, command_id=command_id(name))

    async def body(transaction: Transaction) -> tuple[Answer, bool]:
        try:
            kept = await transaction.answers.claim(tenant, f"key:{name}", mark)
        except LockTimeout as error:
            raise Refused(
                409,
                "request-in-flight",
                "A request with this Idempotency-Key is being worked on. Ask again in a second.",
                headers={"Retry-After": "1"},
            ) from error
        if kept is not None:
            return kept, True
        reply = await do(transaction, asked)
        answer = Answer(mark, reply.status, reply.headers, reply.body.model_dump_json().encode())
        await transaction.answers.keep(tenant, f"key:{name}", answer)
        return answer, False

    answer, replayed = await transact(store, ids, body)
    check_same(answer, mark)
    return _response(answer, replayed=replayed)


def check_same(kept: Answer, mark: str) -> None:
    """Let pass the request that was answered, or whose part was done, under this key.

    Raises:
        Refused: 422, it is another one.
    """
    if kept.fingerprint != mark:
        raise Refused(
            422,
            "idempotency-key-reused",
            "This Idempotency-Key was used for another request. Take a new key.",
        )


def _response(answer: Answer, *, replayed: bool) -> Response:
    headers = dict(answer.headers) | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Response(answer.body, answer.status, headers=headers, media_type="application/json")
