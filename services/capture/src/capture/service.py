"""Places orders, cancels them, reads them, and takes in what others say of them."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from capture import bodies, decider, due, reactor, views
from capture.decider import commands
from waybill_events import capture
from waybill_events.identity import suffix, token_hash
from waybill_runtime.consumer import Incoming
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.http import conditions
from waybill_runtime.http.problem import FieldError, Refused, not_found
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Answer, Document
from waybill_runtime.work import Asked, Work, caused_by, seen_in

RECIPIENTS = "recipients"

ORDER: Decider[commands.Command, decider.State] = Decider(
    category="order",
    topic="orders",
    initial=decider.INITIAL,
    decide=decider.decide,
    evolve=decider.evolve,
    key=lambda event: event.order_id,
    follow=due.follow,
)

RECIPIENT: Decider[capture.RecipientErased, bool] = Decider(
    category="recipient",
    topic="orders",
    initial=False,
    decide=lambda command, erased: [] if erased else [command],
    evolve=lambda _, __: True,
    key=lambda event: event.order_id,
)
"""A recipient's stream says one thing, once: that it was erased."""


async def on_events(work: Work, batch: Sequence[Incoming]) -> None:
    """Note what others say of our orders, a batch at a time."""
    await work.run(
        [
            (Intent(ORDER, order_id, command), caused_by(incoming.recorded, "capture"))
            for incoming in batch
            for order_id, command in reactor.react(incoming.event)
        ]
    )


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tracking tokens: 256 bits derived from the order id, unguessable without the secret.

    Derived, so that no store holds a usable one but the stored answer that gave it out; the log
    carries only its hash.
    """

    secret: str
    url: str

    def link(self, tenant: str, order_id: str) -> bodies.TrackingLink:
        digest = hmac.new(
            self.secret.encode(), f"{tenant}/{order_id}".encode(), hashlib.sha256
        ).digest()
        token = "trk_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return bodies.TrackingLink(token=token, url=f"{self.url}/v1/track/{token}")


class Orders:
    """The storefront's commands and reads."""

    def __init__(
        self,
        on: Infrastructure,
        tokens: Tokens,
        *,
        shipping_options: Sequence[str],
        unpaid_order_ttl_s: int,
    ) -> None:
        self._on = on
        self._shipping_options = tuple(shipping_options)
        self._tokens = tokens
        self._ttl = timedelta(seconds=unpaid_order_ttl_s)

    async def place(
        self, transaction: Transaction, asked: Asked, body: bodies.PlaceOrder
    ) -> bodies.PlacedOrder:
        """Accept an order within the caller's transaction.

        Raises:
            Refused: 422 where fields do not fit together, 409 where the shop's own reference is
                taken already.
        """
        if faults := [
            FieldError(pointer=p, detail=d) for p, d in body.faults(self._shipping_options)
        ]:
            fields = ", ".join(fault.pointer for fault in faults)
            raise Refused(422, "invalid-request", f"Please mend {fields}.", errors=faults)
        work = Work(transaction, now=self._on.store.now(), ids=self._on.ids, tenant=asked.tenant)
        order_id = self._on.ids.new("ord")
        await self._claim_reference(transaction, asked.tenant, order_id, body)
        link = self._tokens.link(asked.tenant, order_id)
        order = self._order(order_id, body, link.token, work)
        await transaction.documents.put(
            asked.tenant, RECIPIENTS, {order.recipient_ref: _recipient(body)}
        )
        work.begin(ORDER, order_id)
        work.execute(
            Intent(ORDER, order_id, commands.PlaceOrder(order=order)),
            asked.cause,
        )
        await work.flush()
        return bodies.PlacedOrder(
            id=order_id,
            status="placed",
            version=1,
            total=bodies.Total(amount_minor=order.total_minor, currency=order.currency),
            tracking=link,
            created_at=work.now,
        )

    async def _claim_reference(
        self, transaction: Transaction, tenant: str, order_id: str, body: bodies.PlaceOrder
    ) -> None:
        """The natural key: a shop's reference names one order of its channel, for ever."""
        if body.external_ref is None:
            return
        name = f"ref:{body.channel}:{body.external_ref}"
        taken = await transaction.answers.claim(tenant, name, order_id)
        if taken is not None:
            detail = (
                f"external_ref {body.external_ref!r} of channel {body.channel!r} is order "
                f"{taken.fingerprint}. Read that one, or send another reference."
            )
            errors = [FieldError(pointer="/external_ref", detail=detail)]
            raise Refused(409, "external-ref-taken", detail, errors=errors)
        await transaction.answers.keep(tenant, name, Answer(order_id, 201, {}, b""))

    def _order(
        self, order_id: str, body: bodies.PlaceOrder, token: str, work: Work
    ) -> capture.OrderPlaced:
        return capture.OrderPlaced(
            order_id=order_id,
            external_ref=body.external_ref,
            channel=body.channel,
            currency=body.currency,
            customer_ref=body.customer.ref,
            recipient_ref=f"rcp_{suffix(order_id)}",
            country_code=body.shipping_address.country_code,
            locale=body.customer.locale,
            lines=tuple(
                capture.OrderLine(
                    line_id=f"ln_{number}",
                    sku=line.sku,
                    name=line.name,
                    quantity=line.quantity,
                    unit_price_minor=line.unit_price_minor,
                )
                for number, line in enumerate(body.lines, start=1)
            ),
            shipping=capture.ShippingChoice(
                option=body.shipping.option, price_minor=body.shipping.price_minor
            ),
            payment=capture.PaymentChoice(method=body.payment.method, token=body.payment.token),
            total_minor=body.total_minor,
            allow_partial=body.allow_partial,
            tracking_token_hash=token_hash(token),
            expires_at=work.now + self._ttl,
        )

    async def cancel(
        self,
        transaction: Transaction,
        asked: Asked,
        order_id: str,
        reason: str,
        if_match: str | None,
    ) -> bodies.OrderView:
        """Ask for a cancellation; the answer shows whether it is done, asked for, or neither.

        Raises:
            Refused: 404 no such order, 412 and 428 as conditions say, 409 too late.
        """
        work = Work(transaction, now=self._on.store.now(), ids=self._on.ids, tenant=asked.tenant)
        # Under the stream's lock: nobody commits between this comparison and our own commit.
        await work.load(ORDER, [order_id])
        if not (version := work.version(ORDER, order_id)):
            raise _no_order(order_id)
        conditions.check_match(if_match, version)
        command = commands.RequestCancellation(reason=capture.GivenReason(reason))
        try:
            work.execute(Intent(ORDER, order_id, command), asked.cause)
        except decider.CannotCancel as error:
            detail = f"It is too late to cancel: {error}. Arrange a return instead."
            raise Refused(409, "too-late-to-cancel", detail) from error
        await work.flush()
        return self._view(asked.tenant, order_id, work.seen(ORDER, order_id, views.see))

    async def read(self, tenant: str, order_id: str) -> bodies.OrderView:
        """An order as it stands now, folded from its stream; 404 when there is none."""
        async with self._on.store.reading() as reading:
            seen = await seen_in(reading, ORDER, tenant, order_id, views.see)
        return self._view(tenant, order_id, seen)

    def _view(self, tenant: str, order_id: str, seen: views.OrderSeen | None) -> bodies.OrderView:
        if seen is None:
            raise _no_order(order_id)
        placed = seen.placed
        cancellation = "requested" if seen.cancelling else None
        if seen.cancellation_refused and not seen.cancelling:
            cancellation = "refused"
        return bodies.OrderView(
            id=placed.order_id,
            status=seen.status,
            version=seen.version,
            total=bodies.Total(amount_minor=placed.total_minor, currency=placed.currency),
            tracking=self._tokens.link(tenant, placed.order_id),
            created_at=seen.created_at,
            external_ref=placed.external_ref,
            channel=placed.channel,
            payment_status=seen.payment_status,
            charged_minor=seen.charged_minor,
            fulfillment_status=seen.fulfillment_status,
            return_status="none",
            cancellation=cancellation,
            reason=seen.reason,
            lines=[_line(seen, line) for line in seen.lines.values()],
        )

    async def find(
        self, tenant: str, filters: dict[str, str], after: str | None, limit: int
    ) -> Sequence[views.OrderRow]:
        """Orders with these attributes, newest first, one more than `limit` if there are."""
        async with self._on.store.reading() as reading:
            found = await reading.documents.find(
                tenant, views.ORDERS.name, filters, after=after, descending=True, limit=limit + 1
            )
        return [views.ORDERS.model.validate_json(document.body) for _, document in found]


def _recipient(body: bodies.PlaceOrder) -> Document:
    address, customer = body.shipping_address, body.customer
    recipient = bodies.Recipient(
        **address.model_dump(), email=customer.email, phone=customer.phone, locale=customer.locale
    )
    attributes = {} if customer.ref is None else {"customer_ref": customer.ref}
    return Document(recipient.model_dump_json(), attributes=attributes)


def _line(seen: views.OrderSeen, line: views.LineSeen) -> bodies.LineView:
    """Each unit in exactly one place."""
    ordered = line.line.quantity
    rest = ordered - line.cancelled - line.shipped
    confirmed = seen.status in ("confirmed", "completed")
    return bodies.LineView(
        line_id=line.line.line_id,
        sku=line.line.sku,
        name=line.line.name,
        unit_price_minor=line.line.unit_price_minor,
        quantities=bodies.LineVector(
            ordered=ordered,
            cancelled=line.cancelled,
            pending=0 if seen.reserved else rest,
            held=rest if seen.reserved and not confirmed else 0,
            allocated=rest if confirmed else 0,
            shipped=line.shipped,
            delivered=line.delivered,
        ),
    )


def _no_order(order_id: str) -> Refused:
    return not_found(f"order {order_id}")
