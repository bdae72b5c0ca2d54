"""Keeps payments: takes in facts, refunds for staff, reads, hears callbacks."""

from collections.abc import Sequence
from datetime import datetime

from payment import bodies, calls, decider, due, reactor, views
from payment.decider import commands
from waybill_events import codec
from waybill_events.envelope import DEFAULT_TENANT, StreamId
from waybill_events.identity import suffix
from waybill_runtime.consumer import Incoming
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.http import conditions
from waybill_runtime.http.problem import Refused, not_found
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Answer, Stream
from waybill_runtime.work import Asked, Work, caused_by, seen_in

PAYMENT: Decider[commands.Command, decider.State] = Decider(
    category="payment",
    topic="payments",
    initial=decider.INITIAL,
    decide=decider.decide,
    evolve=decider.evolve,
    key=lambda event: event.order_id,
    follow=due.follow,
)
"""A payment's stream id is its order's id."""


async def on_events(work: Work, batch: Sequence[Incoming]) -> None:
    """Note what others say of our orders, a batch at a time."""
    await work.run(
        [
            (Intent(PAYMENT, order_id, command), caused_by(incoming.recorded, "payment"))
            for incoming in batch
            for order_id, command in reactor.react(incoming.recorded, incoming.event)
        ]
    )


class Payments:
    """Payments of one tenant's orders, by payment id."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on

    async def refund(
        self,
        transaction: Transaction,
        asked: Asked,
        payment_id: str,
        body: bodies.RefundPayment,
        if_match: str | None,
    ) -> bodies.PaymentView:
        """Ask for a refund; its verdict comes with the payment's later versions.

        Raises:
            Refused: 404 no such payment, 412 and 428 as conditions say, 409 more than was
                captured and is not given back.
        """
        order_id = _order_id(payment_id)
        work = Work(transaction, now=self._on.store.now(), ids=self._on.ids, tenant=asked.tenant)
        # Under the stream's lock: nobody commits between this comparison and our own commit.
        await work.load(PAYMENT, [order_id])
        if not (version := work.version(PAYMENT, order_id)):
            raise _no_payment(payment_id)
        conditions.check_match(if_match, version)
        command = commands.Refund(
            refund_id=self._on.ids.new("rfn"), amount_minor=body.amount_minor, reason=body.reason
        )
        try:
            work.execute(Intent(PAYMENT, order_id, command), asked.cause)
        except decider.CannotRefund as error:
            raise Refused(409, "refund-too-large", _at_most(error.refundable_minor)) from error
        await work.flush()
        return _shown(payment_id, work.seen(PAYMENT, order_id, views.see))

    async def read(self, tenant: str, payment_id: str) -> bodies.PaymentView:
        """A payment as it stands now, folded from its stream; 404 when there is none."""
        order_id = _order_id(payment_id)
        async with self._on.store.reading() as reading:
            seen = await seen_in(reading, PAYMENT, tenant, order_id, views.see)
        return _shown(payment_id, seen)

    async def of_order(self, tenant: str, order_id: str) -> bodies.PaymentList:
        """An order's payment, folded from the stream that they share; nothing while it has none."""
        async with self._on.store.reading() as reading:
            seen = await seen_in(reading, PAYMENT, tenant, order_id, views.see)
        return bodies.PaymentList(data=[] if seen is None else [_view(seen)])

    async def hear(self, callback_id: str, order_id: str, key: str) -> bool:
        """Have a call that is under way looked up now; True when there was one.

        Most callbacks come after the answer they tell of: they cost one read. One that is told
        again sets nothing going.
        """
        async with self._on.store.reading() as reading:
            if _under_way(await _stream(reading, DEFAULT_TENANT, order_id), key) is None:
                return False
        async with self._on.store.transaction() as transaction:
            name = f"callback:{callback_id}"
            if await transaction.answers.claim(DEFAULT_TENANT, name, key) is not None:
                return False
            await transaction.answers.keep(DEFAULT_TENANT, name, Answer(key, 204, {}, b""))
            call = _under_way(await _stream(transaction, DEFAULT_TENANT, order_id), key)
            if call is None:
                return False
            told = call.model_copy(update={"is_told": True})
            await transaction.jobs.schedule([told.job(DEFAULT_TENANT, self._now())])
        return True

    def _now(self) -> datetime:
        return self._on.store.now()


async def _stream(transaction: Transaction, tenant: str, order_id: str) -> Stream:
    name = str(StreamId(tenant, PAYMENT.category, order_id))
    return (await transaction.streams.load([name], lock=False))[name]


def _under_way(stream: Stream, key: str) -> calls.Call | None:
    """The call of this key, if its verdict is not in."""
    state: decider.State = decider.INITIAL
    found: calls.Call | None = None
    for recorded in stream.events:
        event = codec.decode(recorded)
        state = PAYMENT.evolve(state, event)
        asked = calls.requested(recorded, event)
        if asked is not None and asked[0].key == key:
            found = asked[0]
    return found if found is not None and decider.is_under_way(state, key) else None


def _shown(payment_id: str, seen: views.PaymentSeen | None) -> bodies.PaymentView:
    if seen is None:
        raise _no_payment(payment_id)
    return _view(seen)


def _view(seen: views.PaymentSeen) -> bodies.PaymentView:
    state = seen.state
    return bodies.PaymentView(
        id=state.payment_id,
        order_id=state.order_id,
        status=seen.status,
        version=seen.version,
        currency=state.currency,
        amounts=bodies.Amounts(
            due_minor=state.due_minor,
            authorized_minor=seen.authorized_minor,
            captured_minor=state.captured_minor,
            voided_minor=seen.voided_minor,
            expired_minor=seen.expired_minor,
            refunded_minor=state.refunded_minor,
        ),
        authorization_expires_at=None if state.hold is None else state.hold.expires_at,
        reason=state.stopped or state.declined,
        operations=[
            bodies.OperationView(
                operation=one.operation,
                idempotency_key=one.key,
                reference=one.reference,
                amount_minor=one.amount_minor,
                status=one.status,
                code=one.code,
                requested_at=one.requested_at,
                settled_at=one.settled_at,
            )
            for one in seen.operations
        ],
        created_at=seen.created_at,
    )


def _order_id(payment_id: str) -> str:
    """The order of a payment: they share their suffix.

    Raises:
        Refused: 404, this is no payment's id.
    """
    if not payment_id.startswith("pay_") or len(payment_id) > 70 or not payment_id.isascii():
        raise _no_payment(payment_id)
    try:
        return f"ord_{suffix(payment_id)}"
    except ValueError as error:
        raise _no_payment(payment_id) from error


def _at_most(refundable_minor: int) -> str:
    if refundable_minor <= 0:
        return "Nothing can be refunded: nothing was captured that is not given back yet."
    return (
        f"At most {refundable_minor} can be refunded: that much was captured and is not given back "
        "yet. Refund that or less."
    )


def _no_payment(payment_id: str) -> Refused:
    return not_found(f"payment {payment_id}")
