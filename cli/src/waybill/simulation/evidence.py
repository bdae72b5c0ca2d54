"""What an auditor sees of a simulated system: the same oracles as for a real one."""

from typing import Any

from waybill.audit.evidence import Compared, Evidence, OnBus, Taken
from waybill.ledger import Polled, Posted
from waybill.programs import SERVICES
from waybill.simulation.system import System
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import DEFAULT_TENANT, Recorded, StreamId, from_message
from waybill_runtime.rebuild import Rebuild


async def gather(system: System, clients: list[Posted | Polled]) -> Evidence:
    """Everything there is, with every order expected to have ended."""
    events: list[Recorded] = []
    views: list[Compared] = []
    consumers: list[Taken] = []
    bus = await _bus(system)
    for name in SERVICES:
        on = system.world.infrastructure(name, "auditor")
        async with on.store.reading() as reading:
            events += [event async for event in reading.streams.scan()]
            positions = await reading.inbox.positions(name)
            parked = await reading.parking.parked_backlog(name)
        bounds = await on.bus.bounds(SUBSCRIPTIONS[name])
        consumers += [
            Taken(
                name,
                topic,
                sum(at for p, at in positions.items() if p.topic == topic),
                sum(end for p, (_, end) in bounds.items() if p.topic == topic),
                parked.count,
            )
            for topic in SUBSCRIPTIONS[name]
        ]
        for view in system.nodes[name].service.blueprint.views:
            rebuild = Rebuild(
                view, consumer=name, store=on.store, bus=on.bus, ids=on.ids, switch=False
            )
            async for _ in rebuild.run():
                pass
            if (compared := rebuild.comparison) is not None:
                views.append(
                    Compared(
                        compared.view,
                        compared.live_hash,
                        compared.rebuilt_hash,
                        compared.documents,
                    )
                )
    return Evidence(
        at=system.world.clock.now(),
        events=events,
        bus=bus,
        gateway=_gateway(system),
        carrier=[
            {"operation": "buy_label", "outcome": "approved", "reference": r, "shipment_id": r}
            for r in system.outside.carrier.purchases
        ],
        mail=[{"message_id": message_id} for message_id in system.outside.mail.messages],
        views=views,
        tracked=await _tracked(system),
        consumers=consumers,
        stock=await _stock(system),
        personal=["A. Buyer", "1 High Street", "buyer@example.com", "+442079460000"],
        logs=(),
        clients=clients,
        require_settled=True,
    )


async def _bus(system: System) -> list[OnBus]:
    found = []
    bus = system.world.infrastructure("capture", "auditor").bus
    for partition, (first, end) in (await bus.bounds(sorted(TOPICS))).items():
        for delivery in await bus.read(partition, first, end - first):
            message = delivery.message
            event = from_message(message.topic, message.headers, message.value)
            found.append(
                OnBus(
                    message.topic,
                    partition.number,
                    delivery.offset,
                    event.event_id,
                    event.stream,
                    event.version,
                    event.data,
                )
            )
    return found


def _gateway(system: System) -> list[dict[str, object]]:
    return [
        {
            "seq": number,
            "operation": entry.operation,
            "outcome": entry.outcome,
            "idempotency_key": entry.idempotency_key,
            "reference": entry.reference,
            "amount_minor": entry.amount_minor,
            "authorization_id": entry.authorization_id,
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


async def _tracked(system: System) -> dict[str, int]:
    """The version of every order's tracking view."""
    found: dict[str, int] = {}
    store = system.world.infrastructure("tracking", "auditor").store
    async with store.reading() as reading:
        after: str | None = None
        while page := await reading.documents.find(
            DEFAULT_TENANT, "customer", {}, after=after, limit=100
        ):
            found.update({key: document.revision for key, document in page})
            after = page[-1][0]
    return found
