"""What an auditor sees of a simulated system: the same oracles as for a real one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from waybill import rebuilding
from waybill.audit import consumers, privacy, wire
from waybill.audit.evidence import Compared, Evidence, LogLine, OnBus, Taken
from waybill.audit.facts import Json
from waybill.failure import Failure
from waybill.ledger import Polled, Posted
from waybill.programs import SERVICES
from waybill.simulation.storefront import PERSON, REFUSED
from waybill.simulation.system import System
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import DEFAULT_TENANT, Recorded, StreamId
from waybill_runtime.bus import Partition
from waybill_runtime.projector import AnyView

PERSONAL = (*privacy.values_of(PERSON), "buyer@example.com", REFUSED, "+442079460000")
PAGE = 1_000


@dataclass(slots=True)
class Memory:
    """What an earlier look at the same system found: what cannot have changed is not done again."""

    bus: dict[tuple[Partition, int], OnBus] = field(default_factory=dict)
    views: dict[str, tuple[object, Sequence[Compared]]] = field(default_factory=dict)
    """By service: all that its rebuilds go by, and what they came to."""


async def gather(
    system: System, clients: list[Posted | Polled], logs: Sequence[LogLine], memory: Memory
) -> Evidence:
    """Everything there is, with every order expected to have ended."""
    events: list[Recorded] = []
    taken: list[Taken] = []
    given_up: dict[str, Sequence[Json]] = {}
    for name in SERVICES:
        async with system.world.infrastructure(name, "auditor").store.reading() as reading:
            events += [event async for event in reading.streams.scan()]
    bus = await _bus(system, events, memory)
    ends = system.world.broker.ends(sorted(TOPICS))
    stored = {event.event_id: event for event in events}
    for name in SERVICES:
        on = system.world.infrastructure(name, "auditor")
        given_up[name] = await wire.discards(on, bus)
        taken += await consumers.taken(name, on, ends, bus, stored, given_up[name])
    sunk = (*system.outside.mail.messages, *system.outside.text.messages)
    return Evidence(
        at=system.world.clock.now(),
        events=events,
        bus=bus,
        gateway=_gateway(system),
        carrier=_carrier(system),
        mail=[{"message_id": message_id} for message_id in sunk],
        views=await _views(system, memory),
        tracked=await _revisions(system, "tracking", "customer"),
        shown=await _shown(system, clients),
        consumers=taken,
        given_up=given_up,
        stock=await _stock(system),
        personal=PERSONAL,
        recipients=set(await _revisions(system, "capture", "recipients")),
        logs=logs,
        clients=clients,
        require_settled=True,
    )


async def _views(system: System, memory: Memory) -> list[Compared]:
    """Each view beside its rebuild. One that cannot be rebuilt is told as such."""
    found: list[Compared] = []
    for name in SERVICES:
        goes_by = _goes_by(system, name)
        before, compared = memory.views.get(name, (None, ()))
        if before != goes_by:
            compared = [await _view(system, name, view) for view in _views_of(system, name)]
            memory.views[name] = goes_by, compared
        found += compared
    return found


def _views_of(system: System, name: str) -> Sequence[AnyView]:
    return system.nodes[name].service.blueprint.views


def _goes_by(system: System, name: str) -> object:
    """All that a rebuild of a service's views reads: the same again comes to the same."""
    rows = system.world.database(name).rows
    stands = {p: held.next_offset for (who, p), held in rows.positions.items() if who == name}
    live = {view.name: rows.generations.get(view.name, 1) for view in _views_of(system, name)}
    ends = system.world.broker.ends(SUBSCRIPTIONS[name])
    return [stands, live, ends, dict(rows.documents), dict(rows.marks), dict(rows.parked)]


async def _view(system: System, name: str, view: AnyView) -> Compared:
    on = system.world.infrastructure(name, "auditor")
    try:
        comparison = await rebuilding.rebuild(on, name, view, switch=False)
    except Failure as failure:
        why = str(failure.__cause__ or failure)
        return Compared(f"{name} {view.name}", "", "", 0, (why,))
    return wire.compared(name, comparison)


async def _bus(system: System, events: list[Recorded], memory: Memory) -> list[OnBus]:
    """All messages. One that was seen to say what the store says is not read again."""
    stored = {event.event_id: event for event in events}
    bus = system.world.infrastructure("capture", "auditor").bus
    found: list[OnBus] = []
    async for delivery in wire.messages(bus, {}):
        place = delivery.partition, delivery.offset
        known = memory.bus.get(place)
        if known is None or stored.get(known.event.event_id) is not known.event:
            known = memory.bus[place] = wire.on_bus(delivery, stored)
        found.append(known)
    return found


async def _shown(system: System, clients: list[Posted | Polled]) -> dict[str, int] | None:
    """What the tracking API shows where a client wrote its token down; None where none did."""
    tokens = {seen.order_id: seen.token for seen in clients if seen.token}
    found: dict[str, int] = {}
    async with system.client("tracking") as http:
        for order_id, token in tokens.items():
            answer = await http.get(f"/v1/track/{token}")
            found[order_id] = answer.json()["version"] if answer.is_success else 0
    return found if tokens else None


def _carrier(system: System) -> list[dict[str, object]]:
    """Each purchase is a label of its own: two for one shipment are two."""
    return [
        {
            "operation": "buy_label",
            "outcome": "approved",
            "reference": reference,
            "shipment_id": f"label {number}",
        }
        for number, reference in enumerate(system.outside.carrier.purchases, start=1)
    ]


def _gateway(system: System) -> list[dict[str, object]]:
    return [
        {
            "seq": number,
            "operation": entry.operation,
            "outcome": entry.outcome,
            "idempotency_key": entry.idempotency_key,
            "reference": entry.reference,
            "amount_minor": entry.amount_minor,
            "released_minor": entry.released_minor,
            "authorization_id": entry.authorization_id,
            "currency": entry.currency,
            "expires_at": entry.expires_at and entry.expires_at.isoformat(),
        }
        for number, entry in enumerate(system.outside.gateway.ledger, start=1)
    ]


async def _stock(system: System) -> dict[str, Any]:
    """What the stock API shows of every SKU."""
    store = system.world.infrastructure("inventory", "auditor").store
    async with store.reading() as reading:
        names = await reading.streams.stream_ids(DEFAULT_TENANT, "stock", after="", limit=10_000)
    skus = [StreamId.parse(name).id for name in names]
    async with system.client("inventory") as http:
        return {sku: (await http.get(f"/v1/stock/{sku}")).json() for sku in skus}


async def _revisions(system: System, service: str, view: str) -> dict[str, int]:
    """Key and revision of every document of a view."""
    found: dict[str, int] = {}
    store = system.world.infrastructure(service, "auditor").store
    async with store.reading() as reading:
        after: str | None = None
        while page := await reading.documents.find(
            DEFAULT_TENANT, view, {}, after=after, limit=PAGE
        ):
            found.update({key: document.revision for key, document in page})
            after = page[-1][0]
    return found
