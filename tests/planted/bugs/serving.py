"""Bugs in what services decide: stock, deadlines, shipments, messages."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bugs.planting import Edit, bug
from capture import service as capture_service
from capture.decider import rules
from capture.decider.state import Confirmed
from fulfillment.effects.labels import Labels
from inventory import due as inventory_due
from inventory import service as inventory_service
from inventory.decider import reservation, stock
from inventory.decider.commands import Considered, Expire
from inventory.decider.holding import Allocated, State
from notification import reactor as notification_reactor
from notification.decider import Tell
from waybill_events import inventory
from waybill_events.capture import CancellationReason, GivenReason, OrderEvent
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import Follow
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Effect, Timer
from waybill_runtime.service import Blueprint, Service


@bug(
    "I3",
    nearest="Stock is decided from a snapshot under its stream's lock, not updated in place: here "
    "what is promised to others is not compared, and the books take every move as it comes.",
)
def unconditional_stock_update() -> Iterator[Edit]:
    """Whatever is on the shelf is available, though it may be promised to somebody else."""

    def moved(
        command: stock.Move, location: str, level: stock.Level, quantity: int
    ) -> inventory.StockLevel:
        return inventory.StockLevel(
            location=location,
            on_hand=level.on_hand - (quantity if command.kind == "consume" else 0),
            held=level.held + quantity * stock._HELD.get(command.kind, 0),
            allocated=level.allocated + quantity * stock._ALLOCATED.get(command.kind, 0),
        )

    yield Edit(stock.Level, "available", property(lambda level: level.on_hand))
    yield Edit(stock, "_moved", moved)


@bug("I1", "I7", situation="bad partners")
def expiry_by_app_clock() -> Iterator[Edit]:
    """A timer asks its own machine for the time instead of the database that made it due."""

    def by_own_clock(timer: Timer, on: Infrastructure) -> Timer:
        return lambda work, fired: timer(work, [replace(j, now=on.clock.now()) for j in fired])

    def called_by_own_clock(effect: Effect, on: Infrastructure) -> Effect:
        return lambda job: effect(replace(job, now=on.clock.now()))

    def init(self: Service, blueprint: Blueprint, infrastructure: Infrastructure) -> None:
        timers = {k: by_own_clock(t, infrastructure) for k, t in blueprint.timers.items()}
        effects = {k: called_by_own_clock(e, infrastructure) for k, e in blueprint.effects.items()}
        real(self, replace(blueprint, timers=timers, effects=effects), infrastructure)

    real = Service.__init__
    yield Edit(Service, "__init__", init)


@bug("I3", situation="night")
def release_after_commit() -> Iterator[Edit]:
    """The sweeper lets go of whatever is past its deadline, confirmed or not."""

    def decide(considered: Considered, state: State) -> Sequence[Event]:
        if isinstance(considered.command, Expire) and isinstance(state, Allocated):
            return [reservation._released(state, "expired", state.units)]
        return real(considered, state)

    def follow(recorded: Recorded, event: Event) -> Follow:
        job_id = f"{inventory_due.EXPIRE}:{recorded.stream}"
        if not isinstance(event, inventory.StockReserved):
            return Follow()
        job = inventory_due.deadline(job_id, recorded.tenant, event.order_id, event.expires_at)
        return Follow(schedule=(job,))

    real = reservation.decide
    rules = replace(inventory_service.RESERVATION, decide=decide, follow=follow)
    yield Edit(inventory_service, "RESERVATION", rules)


@bug(
    "I6",
    nearest="A shipment's label is bought once under one key and looked up first: here under "
    "another key at each try, and nobody looks.",
)
def missing_shipment_unique() -> Iterator[Edit]:
    """Nothing keeps a second label for the same shipment from being bought."""

    async def ask(self: Labels, order: object, phase: object, *, is_first_try: bool) -> object:
        key = f"{phase.idempotency_key}:{self._on.ids.new('try')}"  # type: ignore[attr-defined]
        anew = replace(phase, idempotency_key=key)  # type: ignore[type-var]
        verdict = await real(self, order, anew, is_first_try=True)  # type: ignore[arg-type]
        return replace(verdict, idempotency_key=phase.idempotency_key)  # type: ignore[attr-defined]

    real = Labels._ask
    yield Edit(Labels, "_ask", ask)


@bug(
    "I1",
    "I7",
    situation="bad partners",
    nearest="Two timers watch over an order that waits for money, its own and its hold's. One "
    "alone would do; here both are missing.",
)
def saga_without_timer() -> Iterator[Edit]:
    """Nothing is due when money never comes: the payment service will surely say something."""

    def follow(_: Recorded, __: Event) -> Follow:
        return Follow()

    yield Edit(capture_service, "ORDER", replace(capture_service.ORDER, follow=follow))
    held = replace(inventory_service.RESERVATION, follow=follow)
    yield Edit(inventory_service, "RESERVATION", held)


@bug("I5", situation="regrets")
def cancelled_without_the_warehouse() -> Iterator[Edit]:
    """A confirmed order is cancelled at once; nobody asks whether its parcel has left."""

    def request(reason: CancellationReason | GivenReason, state: Confirmed) -> Sequence[OrderEvent]:
        asked = real(reason, state)
        return [rules._cancelled(state.order.order_id, reason)] if asked else asked

    real = rules._request_cancellation
    yield Edit(rules, "_request_cancellation", request)


@bug("I12")
def message_for_every_delivery() -> Iterator[Edit]:
    """A message's key is drawn anew each time, so that none is ever left out as a duplicate."""

    def react(recorded: Recorded, event: Event, channels: object) -> object:
        told = real(recorded, event, channels)  # type: ignore[arg-type]
        return [(f"{key}:{number}", tell) for key, tell in told for number in (1, 2)]

    real = notification_reactor.react
    yield Edit(notification_reactor, "react", react)


@bug("I12")
def message_decided_twice() -> Iterator[Edit]:
    """Every message is due once more, under an id and a key of its own: nothing finds the other."""

    def react(recorded: Recorded, event: Event, channels: object) -> object:
        told = real(recorded, event, channels)  # type: ignore[arg-type]
        return [(key + more, _named(tell, more)) for key, tell in told for more in ("", "-b")]

    real = notification_reactor.react
    yield Edit(notification_reactor, "react", react)


def _named(tell: Tell, more: str) -> Tell:
    decision = tell.decision
    anew = {"message_id": decision.message_id + more, "dedupe_key": decision.dedupe_key + more}
    return replace(tell, decision=decision.model_copy(update=anew))


@bug("I14")
def address_in_the_event() -> Iterator[Edit]:
    """The buyer's name travels in the order's first event, for the label's sake."""

    def order(self: object, order_id: str, body: object, token: str, work: object) -> object:
        placed = real(self, order_id, body, token, work)  # type: ignore[arg-type]
        name = body.shipping_address.name  # type: ignore[attr-defined]
        return placed.model_copy(update={"customer_ref": name})

    real = capture_service.Orders._order
    yield Edit(capture_service.Orders, "_order", order)
