"""Capture and payment told one history: what the tests of money share.

Stock, warehouse and gateway are the test's; the audit's word is asked for as well.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from capture import decider as orders
from capture import reactor as orders_reactor
from capture import views as orders_views
from capture.decider import commands as to_order
from capture.decider.state import Confirmed, Placed
from payment import calls
from payment import decider as payments
from payment import reactor as payments_reactor
from payment.decider import commands as to_payment
from payment.decider.state import Payment
from tracking import views as tracking_views
from waybill.audit import orders as audit
from waybill.audit.evidence import Evidence
from waybill_events import capture, fulfillment, inventory
from waybill_events.catalogue import CATALOGUE
from waybill_events.envelope import Recorded
from waybill_events.event import Allocation, Event, LineQuantity, Shortage
from waybill_runtime.testing import orders as examples
from waybill_runtime.testing.world import EPOCH, recorded

LATER = EPOCH + timedelta(days=7)
Step: TypeAlias = tuple[Any, ...]
SOURCING = inventory.SourcingDecision(rule="same_locations", candidates=(), chosen=("main",))


class Shop:
    """Capture and payment with topics between them; stock, warehouse and gateway are the test's.

    The warehouse never ships or loses more than there is of a line, as the real one.
    """

    def __init__(self, lines: Sequence[tuple[int, int]], shipping_minor: int) -> None:
        self.order: orders.State = orders.INITIAL
        self.payment: payments.State = payments.INITIAL
        self.log: list[tuple[Recorded, Event]] = []
        self.open: dict[str, int] = {}
        self.on_the_way: deque[fulfillment.ShipmentDispatched] = deque()
        self._calls: deque[calls.Call] = deque()
        self._waiting: dict[tuple[str, str], deque[tuple[Recorded, Event]]] = {}
        self._versions: Counter[str] = Counter()
        self._numbers = 0
        self.ask_order(to_order.PlaceOrder(order=placed(lines, shipping_minor)))

    # --- the two services -----------------------------------------------------------------

    def ask_order(self, command: to_order.Command) -> None:
        try:
            events = orders.decide(command, self.order)
        except orders.CannotCancel:
            return
        for event in events:
            self.order = orders.evolve(self.order, event)
            self.tell(event)

    def ask_payment(self, command: to_payment.Command) -> None:
        try:
            events = payments.decide(command, self.payment)
        except payments.CannotRefund:
            return
        for event in events:
            self.payment = payments.evolve(self.payment, event)
            self.tell(event)

    def tell(self, event: Event) -> None:
        """Put an event into its topic, for whom it concerns."""
        topic = CATALOGUE[event.TYPE].topic
        self._versions[topic] += 1
        row = recorded(event, stream=topic, version=self._versions[topic], topic=topic)
        self.log.append((row, event))
        if (asked := calls.requested(row, event)) is not None:
            self._calls.append(asked[0])
        for service, handles in (
            ("capture", orders_reactor.HANDLES),
            ("payment", payments_reactor.HANDLES),
        ):
            if event.TYPE in handles:
                self._waiting.setdefault((service, topic), deque()).append((row, event))

    def deliver(self, which: int) -> bool:
        """Hand over the first message of one of the topics that have any; False: all is taken."""
        waiting = [at for at, queue in self._waiting.items() if queue]
        if not waiting:
            return False
        service, topic = waiting[which % len(waiting)]
        row, event = self._waiting[service, topic].popleft()
        if service == "capture":
            for _, noted in orders_reactor.react(event):
                self.ask_order(noted)
        else:
            for _, meant in payments_reactor.react(row, event):
                self.ask_payment(meant)
        return True

    # --- the outside ----------------------------------------------------------------------

    def answer(self, word: str) -> bool:
        """The gateway's word on the oldest call; False: there is none."""
        if not self._calls:
            return False
        call = self._calls[0]
        match word:
            case "unknown":
                self.ask_payment(to_payment.NoteUnknown(key=call.key, detail="no answer"))
                return True
            case "approved" if call.operation == "authorize":
                self.ask_payment(
                    to_payment.NoteAuthorized(
                        key=call.key, authorization_id=f"ga:{call.key}", expires_at=LATER
                    )
                )
            case "approved":
                self.ask_payment(to_payment.NoteDone(key=call.key))
            case _:
                self.ask_payment(
                    to_payment.NoteDeclined(
                        key=call.key, code="declined", retryable=word == "try_again"
                    )
                )
        self._calls.popleft()
        return True

    def reserve(self, missing: Mapping[str, int]) -> None:
        """Hold what there is, once; a shop of which everything is missing has everything."""
        if not isinstance(self.order, Placed) or self.open:
            return
        asked = {line.line_id: line.quantity for line in self.order.order.lines}
        short = {line_id: min(missing.get(line_id, 0), n) for line_id, n in asked.items()}
        if sum(short.values()) == sum(asked.values()):
            short = {}
        self.open = {line_id: n - short.get(line_id, 0) for line_id, n in asked.items()}
        self.tell(
            inventory.StockReserved(
                reservation_id="res_x",
                order_id="ord_x",
                allocations=tuple(
                    Allocation(line_id=line_id, sku="A", location="main", quantity=n)
                    for line_id, n in self.open.items()
                    if n
                ),
                shortages=tuple(
                    Shortage(
                        line_id=line_id,
                        sku="A",
                        requested=asked[line_id],
                        available=asked[line_id] - n,
                    )
                    for line_id, n in short.items()
                    if n
                ),
                expires_at=LATER,
                sourcing=SOURCING,
            )
        )

    def lose(self, wanted: Mapping[str, int]) -> None:
        if parts := self._take(wanted):
            self.tell(
                fulfillment.ShortPicked(
                    fulfillment_order_id=f"ffo_x-{self._number()}",
                    order_id="ord_x",
                    location="main",
                    missing=parts,
                )
            )

    def ship(self, wanted: Mapping[str, int]) -> None:
        if parts := self._take(wanted):
            number = self._number()
            event = fulfillment.ShipmentDispatched(
                fulfillment_order_id=f"ffo_x-{number}",
                order_id="ord_x",
                shipment_id=f"shp_x-{number}",
                location="main",
                carrier="sandbox",
                service="standard",
                packages=(),
                lines=parts,
            )
            self.on_the_way.append(event)
            self.tell(event)

    def arrive(self) -> None:
        if self.on_the_way:
            shipped = self.on_the_way.popleft()
            self.tell(
                fulfillment.ShipmentDelivered(
                    fulfillment_order_id=shipped.fulfillment_order_id,
                    order_id="ord_x",
                    shipment_id=shipped.shipment_id,
                    lines=shipped.lines,
                    delivered_at=LATER,
                )
            )

    def _take(self, wanted: Mapping[str, int]) -> tuple[LineQuantity, ...]:
        """So many units out of the warehouse, as far as they are there; none of an ended order."""
        if not isinstance(self.order, Confirmed):
            return ()
        taken = {line_id: min(n, self.open.get(line_id, 0)) for line_id, n in wanted.items()}
        for line_id, n in taken.items():
            self.open[line_id] = self.open.get(line_id, 0) - n
        return tuple(
            LineQuantity(line_id=line_id, sku="A", quantity=n) for line_id, n in taken.items() if n
        )

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def refund(self, amount_minor: int) -> None:
        refund_id = f"rfn_{self._number()}"
        self.ask_payment(
            to_payment.Refund(refund_id=refund_id, amount_minor=amount_minor, reason="goodwill")
        )

    def refund_all(self) -> None:
        if isinstance(self.payment, Payment):
            left_minor = sum(map(self.payment.refundable_minor, self.payment.holds))
            self.refund(max(left_minor, 1))

    def cancel(self) -> None:
        reason = capture.GivenReason("customer_request")
        self.ask_order(to_order.RequestCancellation(reason=reason))

    def expire(self) -> None:
        self.ask_order(to_order.Expire(now=LATER))

    # --- all of it ------------------------------------------------------------------------

    def live(self, steps: Sequence[Step]) -> None:
        """One method after the other, each with its arguments."""
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    def hear(self) -> None:
        """Every message is taken; the gateway says nothing."""
        while self.deliver(0):
            pass

    def rest(self) -> None:
        """Until nobody has anything left to say."""
        while self.deliver(0) or self.answer("approved"):
            pass

    def finish(self) -> None:
        """Everything that is left ships, arrives and is paid."""
        self.rest()
        self.ship(dict(self.open))
        while self.on_the_way:
            self.arrive()
        self.rest()

    def readings(self) -> Iterator[tuple[orders_views.OrderSeen, tracking_views.OrderPart]]:
        """The order as storefront and customer read it, after each of its events."""
        seen: orders_views.OrderSeen | None = None
        tracked: tracking_views.Tracked | None = None
        for row, event in self.log:
            if row.topic != "orders":
                continue
            seen = orders_views.see(seen, row, event)
            tracked = tracking_views.CUSTOMER.project(tracked, row, event)
            assert seen is not None
            assert tracked is not None
            assert tracked.order is not None
            yield seen, tracked.order

    @property
    def has_told_payment(self) -> bool:
        return not self._waiting.get(("payment", "orders"))

    def due_by_audit_minor(self) -> int:
        evidence = Evidence.of_the_log_alone(LATER, [row for row, _ in self.log])
        return audit.due_minor(evidence.by_order["ord_x"])


def placed(lines: Sequence[tuple[int, int]], shipping_minor: int) -> capture.OrderPlaced:
    """An order of these quantities and prices, which may come in part."""
    of_each = [examples.line(at, n, price_minor) for at, (n, price_minor) in enumerate(lines, 1)]
    return examples.placed(
        *of_each, shipping_minor=shipping_minor, allow_partial=True, expires_at=LATER
    )
