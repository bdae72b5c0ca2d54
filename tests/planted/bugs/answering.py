"""Bugs in what clients are answered, and in what is kept of it."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from starlette.responses import Response

import capture.api
import fulfillment.api
import inventory.api
from bugs.planting import Edit, bug
from waybill_runtime.http import idempotency
from waybill_runtime.http.idempotency import Reply
from waybill_runtime.http.sent import Sent
from waybill_runtime.ids import Ids
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Answer
from waybill_runtime.transact import transact
from waybill_runtime.work import Asked

T = TypeVar("T")
Do = Callable[[Transaction, Asked], Awaitable[Reply]]


@bug("I1")
def ack_before_commit() -> Iterator[Edit]:
    """A client is answered as soon as everything is decided; the commit goes on in the back."""

    async def hastily(store: Store, ids: Ids, body: Callable[[Transaction], Awaitable[T]]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def whole() -> None:
            try:
                async with store.transaction() as transaction:
                    answer.set_result(await body(transaction))
            except Exception as error:  # noqa: BLE001 - the bug: it is too late to say so
                if not answer.done():
                    answer.set_exception(error)

        going_on.add(asyncio.ensure_future(whole()))
        return await answer

    going_on: set[asyncio.Future[None]] = set()
    yield Edit(idempotency, "transact", hastily)


@bug("I2", situation="no references")
def idempotency_row_outside_tx() -> Iterator[Edit]:
    """The answer of a key is stored after the order, in a transaction of its own."""

    async def answered_once(
        sent: Sent, *, store: Store, ids: Ids, do: Do, mark: str | None = None
    ) -> Response:
        name, tenant = idempotency.required(sent.key), sent.who.tenant
        asked = Asked(tenant=tenant, actor=sent.who.actor, command_id=idempotency.command_id(name))
        mark = mark or hashlib.sha256(await sent.request.body()).hexdigest()

        async def look(transaction: Transaction) -> Answer | None:
            return await transaction.answers.claim(tenant, f"key:{name}", mark)

        async def keep(transaction: Transaction, answer: Answer) -> None:
            if await transaction.answers.claim(tenant, f"key:{name}", mark) is None:
                await transaction.answers.keep(tenant, f"key:{name}", answer)

        answer = await transact(store, ids, look)
        if answer is None:
            reply = await transact(store, ids, lambda t: do(t, asked))
            body = reply.body.model_dump_json().encode()
            answer = Answer(mark, reply.status, reply.headers, body)
            await transact(store, ids, lambda t: keep(t, answer))
        return Response(
            answer.body,
            answer.status,
            headers=dict(answer.headers),
            media_type="application/json",
        )

    for api in (capture.api, fulfillment.api, inventory.api):
        yield Edit(api, "answered_once", answered_once)


@bug("I15")
def answer_told_anew() -> Iterator[Edit]:
    """A repeat is answered from the stored answer's fields, written out once more."""

    async def anew(
        store: Store, ids: Ids, body: Callable[[Transaction], Awaitable[tuple[Answer, bool]]]
    ) -> tuple[Answer, bool]:
        answer, replayed = await transact(store, ids, body)
        if replayed:
            told = json.dumps(json.loads(answer.body), sort_keys=True).encode()
            answer = replace(answer, body=told)
        return answer, replayed

    yield Edit(idempotency, "transact", anew)
