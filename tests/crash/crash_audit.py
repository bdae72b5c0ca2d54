"""Evidence for the oracles of `waybill audit`: of one case's orders alone, or of everything.

Read as an outsider reads: the event tables, the bus, the ledgers of gateway, carrier and mail sink,
the stock API. How far consumers are is told of everything by their positions, as in any audit; of
one case's orders, while others are under way, by their inboxes, stream by stream.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from crash_system import System
from waybill.audit import consumers, wire
from waybill.audit.evidence import Compared, Evidence, OnBus, Taken
from waybill.audit.facts import Json
from waybill.audit.outside import Logs
from waybill.ledger import Polled, Posted
from waybill.programs import SERVICES
from waybill.registry import views
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import Recorded
from waybill_events.identity import suffix
from waybill_runtime.adapters.postgres.bus_codec import unpack
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Delivery, Message, Partition
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.rebuild import Rebuild

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

PERSONAL = ("A. Buyer", "1 High Street", "N1 9GU", "buyer@example.com", "+442079460000")
PAGE = 1000

_EVENTS = """
SELECT event_id, type, stream, version, tenant, topic, key, occurred_at, causation_id,
       correlation_id, actor, origin, data
  FROM events WHERE $1::text[] IS NULL OR key = ANY($1::text[]) ORDER BY stream, version
"""
_BUS = """
SELECT topic, partition, "offset", key, headers, value FROM bus_log
 WHERE $1::bytea[] IS NULL OR key = ANY($1::bytea[])
"""
_TAKEN = "SELECT source, version FROM inbox WHERE consumer = $1 AND source = ANY($2::text[])"
_PARKED = """
SELECT topic FROM parked WHERE consumer = $1 AND key = ANY($2::text[])
"""
_TRACKED = """
SELECT d.key, d.version FROM document d LEFT JOIN view_generation g USING (view)
 WHERE d.view = 'customer' AND d.generation = coalesce(g.live, 1)
   AND ($1::text[] IS NULL OR d.key = ANY($1::text[]))
"""


@dataclass(slots=True)
class _Numbered:
    """A list at a sandbox that only grows, read on from where it was left."""

    url: str
    name: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def read(self, system: System) -> Sequence[dict[str, Any]]:
        while True:
            after = self.seen[-1]["seq"] if self.seen else 0
            answer = await system.http.get(self.url, params={"after": after, "limit": PAGE})
            page = answer.raise_for_status().json()[self.name]
            # Another case may have read on meanwhile.
            after = self.seen[-1]["seq"] if self.seen else 0
            self.seen += [one for one in page if one["seq"] > after]
            if not page:
                return self.seen


class Auditor:
    """Reads one running system; owed a `close`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._pools: dict[str, Pool] = {}
        self._on: dict[str, Infrastructure] = {}
        self._gateway = _Numbered(f"{system.urls['gateway']}/ledger", "entries")
        self._carrier = _Numbered(f"{system.urls['carrier']}/ledger", "entries")
        self._mail = _Numbered(f"{system.urls['mail']}/messages", "messages")
        self.not_ours: set[str] = set()
        """Keys of messages that a case itself put on the bus, as a stranger would."""

    async def open(self) -> None:
        for name in (*SERVICES, "bus"):
            self._pools[name] = await asyncpg.create_pool(
                self._system.databases[name], min_size=0, max_size=2
            )
        clock = SystemClock()
        for name in SERVICES:
            dsn = self._system.databases[name]
            store = await PostgresStore.open(dsn, clock=clock, max_connections=2, name="auditor")
            self._on[name] = Infrastructure(
                store, self._system.bus, clock, RandomIds(clock), Stopping()
            )

    async def close(self) -> None:
        for on in self._on.values():
            await on.store.close()
        for pool in self._pools.values():
            pool.terminate()

    async def events(self, service: str, keys: Collection[str] | None) -> list[Recorded]:
        rows = await self._pools[service].fetch(_EVENTS, None if keys is None else sorted(keys))
        return [Recorded(**dict(row)) for row in rows]

    async def of_orders(
        self, orders: Collection[str], skus: Collection[str], clients: Sequence[Posted | Polled]
    ) -> Evidence:
        """What there is of some orders and SKUs. Views are compared when all is over."""
        return await self._gather({*orders, *skus}, orders, skus, clients)

    async def of_everything(self, clients: Sequence[Posted | Polled]) -> Evidence:
        rows = await self._pools["inventory"].fetch(
            "SELECT id FROM streams WHERE category = 'stock'"
        )
        return await self._gather(None, None, [row["id"] for row in rows], clients)

    async def _gather(
        self,
        keys: Collection[str] | None,
        orders: Collection[str] | None,
        skus: Collection[str],
        clients: Sequence[Posted | Polled],
    ) -> Evidence:
        events = [event for name in SERVICES for event in await self.events(name, keys)]
        stored = {event.event_id: event for event in events}
        bus = await self._bus(keys, stored)
        given_up = {name: await wire.discards(on, bus) for name, on in self._on.items()}
        if keys is None:
            taken = await self._taken(bus, stored, given_up)
        else:
            taken = await self._taken_of(events, keys)
        mine = None if orders is None else {suffix(order) for order in orders}
        return Evidence(
            at=datetime.now(UTC),
            events=events,
            bus=bus,
            gateway=self._of_gateway(await self._gateway.read(self._system), orders),
            carrier=[
                entry
                for entry in await self._carrier.read(self._system)
                if mine is None or suffix(str(entry["reference"])) in mine
            ],
            mail=[
                message
                for message in await self._mail.read(self._system)
                if mine is None or suffix(message["message_id"] or "msg_?") in mine
            ],
            stock=await self._stock(skus),
            recipients=await self._recipients(mine),
            tracked=await self._tracked(orders),
            shown=await self._shown(clients),
            consumers=taken,
            given_up=given_up,
            views=None if keys is not None else await self._views(),
            personal=PERSONAL,
            logs=Logs(self._system.scratch) if keys is None else None,
            clients=clients,
            require_settled=True,
        )

    async def _bus(
        self, keys: Collection[str] | None, stored: Mapping[str, Recorded]
    ) -> list[OnBus]:
        """All that was sent, read or not, but what a case itself put there as a stranger."""
        wanted = None if keys is None else [key.encode() for key in sorted(keys)]
        found = []
        for row in await self._pools["bus"].fetch(_BUS, wanted):
            key = row["key"].decode()
            if key not in self.not_ours:
                message = Message(row["topic"], key, row["value"], unpack(row["headers"]))
                place = Partition(row["topic"], row["partition"])
                found.append(wire.on_bus(Delivery(message, place, row["offset"]), stored))
        return found

    def _of_gateway(
        self, ledger: Sequence[dict[str, Any]], orders: Collection[str] | None
    ) -> Sequence[dict[str, Any]]:
        if orders is None:
            return ledger
        held = {
            entry["authorization_id"]
            for entry in ledger
            if entry["operation"] == "authorize" and entry["reference"] in orders
        }
        mine = [
            entry
            for entry in ledger
            if entry["authorization_id"] in held or entry["reference"] in orders
        ]
        # The whole ledger is numbered without gaps, and is judged so at the end: this is a part.
        return [{**entry, "seq": number} for number, entry in enumerate(mine, start=1)]

    async def _stock(self, skus: Collection[str]) -> Mapping[str, Any]:
        shown = {}
        for sku in skus:
            url = f"{self._system.front('inventory')}/v1/stock/{sku}"
            answer = await self._system.http.get(url, timeout=5)
            shown[sku] = answer.raise_for_status().json()
        return shown

    async def _recipients(self, mine: Collection[str] | None) -> set[str]:
        rows = await self._pools["capture"].fetch(
            "SELECT key FROM document WHERE view = 'recipients'"
        )
        return {row["key"] for row in rows if mine is None or suffix(row["key"]) in mine}

    async def _shown(self, clients: Sequence[Posted | Polled]) -> Mapping[str, int]:
        """What the tracking API shows to whoever placed these orders."""
        found = {}
        for order_id, token in {c.order_id: c.token for c in clients if c.token}.items():
            url = f"{self._system.front('tracking')}/v1/track/{token}"
            answer = await self._system.http.get(url, timeout=5)
            found[order_id] = answer.json()["version"] if answer.is_success else 0
        return found

    async def _tracked(self, orders: Collection[str] | None) -> Mapping[str, int]:
        wanted = None if orders is None else sorted(orders)
        rows = await self._pools["tracking"].fetch(_TRACKED, wanted)
        return {row["key"]: row["version"] for row in rows}

    async def _taken(
        self,
        bus: Sequence[OnBus],
        stored: Mapping[str, Recorded],
        given_up: Mapping[str, Sequence[Json]],
    ) -> list[Taken]:
        """Where each consumer is on each partition."""
        bounds = await self._system.bus.bounds(sorted(TOPICS))
        ends = {partition: end for partition, (_, end) in bounds.items()}
        return [
            one
            for name, on in self._on.items()
            for one in await consumers.taken(name, on, ends, bus, stored, given_up[name])
        ]

    async def _taken_of(self, events: Sequence[Recorded], keys: Collection[str]) -> list[Taken]:
        """For each consumer and topic: versions taken of these streams, and what there are.

        What was left behind shows in the sums; offsets are judged of everything, at the end.
        """
        found = []
        for consumer in SERVICES:
            pool = self._pools[consumer]
            written: dict[str, dict[str, int]] = {t: {} for t in SUBSCRIPTIONS[consumer]}
            for event in events:
                if event.topic in written:
                    written[event.topic][event.stream] = event.version
            sources = [stream for of_topic in written.values() for stream in of_topic]
            taken = {
                row["source"]: row["version"] for row in await pool.fetch(_TAKEN, consumer, sources)
            }
            parked = [row["topic"] for row in await pool.fetch(_PARKED, consumer, sorted(keys))]
            found += [
                Taken(
                    consumer=consumer,
                    topic=topic,
                    partition=0,
                    applied=sum(min(taken.get(s, 0), v) for s, v in streams.items()),
                    written=sum(streams.values()),
                    parked=parked.count(topic),
                    beyond=0,
                    passed_over=(),
                    ahead=[
                        f"{stream} at version {taken[stream]}, beyond its last, {version},"
                        for stream, version in streams.items()
                        if taken.get(stream, 0) > version
                    ],
                )
                for topic, streams in written.items()
            ]
        return found

    async def _views(self) -> list[Compared]:
        """Every read model beside its rebuild from offset 0."""
        found = []
        for service, on in self._on.items():
            for view in views(service):
                rebuild = Rebuild(
                    view,
                    consumer=service,
                    store=on.store,
                    bus=on.bus,
                    ids=on.ids,
                    switch=False,
                )
                async for _ in rebuild.run():
                    pass
                told = rebuild.comparison
                assert told is not None
                found.append(wire.compared(service, told))
        return found
