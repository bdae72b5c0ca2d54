"""Evidence of a running system, read in an order that raises no false alarm while orders flow.

Clients' ledgers first: what they were told must be in the stores read after. Then the stores,
capture last: whatever follows from an order is read before the order itself. Then ledgers outside,
which can only know more. The bus must come to hold all that the stores held; what it holds beyond
that is looked for in the stores a second time before anybody calls it a stray.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx

from waybill import ledger, rebuilding, registry
from waybill.audit import consumers, facts, outside, privacy, quiet, tracks, wire
from waybill.audit.evidence import Compared, Evidence, OnBus, Taken
from waybill.audit.facts import Json
from waybill.failure import Failure
from waybill.ledger import Polled, Posted
from waybill.system import System
from waybill_events import envelope
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import Recorded, StreamId
from waybill_runtime.bus import BusTruncated, BusUnavailable, Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import LEASE_S
from waybill_runtime.rebuild import Incomplete, Progress

T = TypeVar("T")
Tell = Callable[[str], None]

READ_ORDER = ("tracking", "notification", "fulfillment", "payment", "inventory", "capture")
RECIPIENTS = "recipients"
CUSTOMER = "customer"
PAGE = 1_000
PATIENCE_S = 15.0
"""How long relays and consumers may take to come to where the stores and the bus were."""
QUIET_S = LEASE_S + PATIENCE_S
"""How long a settled system may take to be quiet: who was killed holds jobs until a lease ends."""
LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class Gathered:
    """The evidence, and what is worth knowing of how it was had."""

    evidence: Evidence
    notes: list[str] = field(default_factory=list)


async def gather(system: System, *, settled: bool, tell: Tell) -> Gathered:
    """Everything there is to look at.

    Raises:
        StoreUnavailable: a service's store does not answer; there is no audit without the logs.
    """
    async with AsyncExitStack() as stack:
        on = {name: await stack.enter_async_context(system.connect(name)) for name in READ_ORDER}
        http = await stack.enter_async_context(outside.client())
        return await _Gathering(system, on, http, tell).run(settled=settled)


class _Gathering:
    """One audit's reading; `notes` grow as it goes."""

    def __init__(
        self,
        system: System,
        on: Mapping[str, Infrastructure],
        http: httpx.AsyncClient,
        tell: Tell,
    ) -> None:
        self._system = system
        self._on = on
        self._http = http
        self._tell = tell
        self._notes: list[str] = []
        self._given_up: dict[str, Sequence[Json]] = {}

    async def run(self, *, settled: bool) -> Gathered:
        if settled and (busy := await quiet.wait(self._on, QUIET_S)):
            self._notes.append(f"not everything was quiet when it was read: {busy}")
        at = self._on["capture"].clock.now()
        clients = list(ledger.read(self._system.home.path / ledger.FOLDER))
        events = await self._events()
        evidence = replace(
            Evidence.of_the_log_alone(at, events), clients=clients, require_settled=settled
        )
        if not events:
            return Gathered(evidence, self._notes)
        self._tell("reading ledgers, mails and stock")
        skus = sorted({StreamId.parse(e.stream).id for e in events if e.topic == "stock"})
        evidence = replace(
            evidence,
            gateway=await self._had("gateway's ledger", outside.gateway(self._system, self._http)),
            carrier=await self._had("carrier's ledger", outside.carrier(self._system, self._http)),
            mail=await self._had("mail sink", outside.mail(self._system, self._http)),
            stock=await self._had("stock API", self._stock(skus)),
            logs=await self._had("logs", _at_once(lambda: outside.Logs(self._system.home.logs))),
        )
        self._tell("reading the bus")
        bus = await self._had("bus", self._bus(events))
        evidence = replace(
            evidence,
            bus=bus,
            consumers=await self._had("consumers", self._consumers(bus or (), events)),
            given_up=self._given_up,
            tracked=await self._tracked(),
            shown=await self._shown(clients),
        )
        evidence = await self._with_vault(evidence)
        return Gathered(replace(evidence, views=await self._views()), self._notes)

    async def _had(self, what: str, source: Awaitable[T]) -> T | None:
        """What a source gives; None, and a note, when it cannot be had."""
        try:
            return await source
        except (outside.NotHad, BusUnavailable, BusTruncated) as error:
            self._notes.append(f"{what} could not be had: {error}")
            return None

    async def _events(self) -> list[Recorded]:
        found: list[Recorded] = []
        words: facts.Words = {}
        for name in READ_ORDER:
            before = len(found)
            async with self._on[name].store.reading() as reading:
                found += [facts.slim(event, words) async for event in reading.streams.scan()]
            self._tell(f"read {len(found) - before:,} events of {name}")
        return found

    async def _stock(self, skus: Sequence[str]) -> Mapping[str, Json]:
        shown, notes = await outside.stock(self._system, self._http, skus)
        self._notes += notes
        return shown

    async def _bus(self, events: Sequence[Recorded]) -> Sequence[OnBus]:
        """The whole bus, read until it holds every event given, or patience ends."""
        stored = {event.event_id: event for event in events}
        on = self._on["capture"]
        found: list[OnBus] = []
        at: dict[Partition, int] = {}
        missing = set(stored)
        deadline_s = on.clock.monotonic_s() + PATIENCE_S
        while True:
            async for delivery in wire.messages(on.bus, at):
                message = wire.on_bus(delivery, stored)
                missing.discard(message.event.event_id)
                found.append(message)
            if not missing or on.clock.monotonic_s() > deadline_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return await self._without_newer(found, stored)

    async def _without_newer(
        self, found: list[OnBus], stored: Mapping[str, Recorded]
    ) -> Sequence[OnBus]:
        """Leave out what was stored and sent only after the stores were read."""
        newer = {m.event.event_id: m.event for m in found if m.event.event_id not in stored}
        if not newer:
            return found
        confirmed: set[str] = set()
        for name in sorted({TOPICS[event.topic] for event in newer.values()}):
            async with self._on[name].store.reading() as reading:
                async for event in reading.streams.scan():
                    if newer.get(event.event_id) == event:
                        confirmed.add(event.event_id)
        if confirmed:
            self._notes.append(
                f"{len(confirmed):,} messages came after the stores were read, and are in them now"
            )
        return [message for message in found if message.event.event_id not in confirmed]

    async def _consumers(self, bus: Sequence[OnBus], events: Sequence[Recorded]) -> Sequence[Taken]:
        """How far each has come towards where the bus ends now."""
        ends = await self._on["capture"].bus.bounds(sorted(TOPICS))
        stored = {event.event_id: event for event in events}
        ends_at = {partition: end for partition, (_, end) in ends.items()}
        found: list[Taken] = []
        for name in registry.SERVICES:
            found += await self._consumer(name, ends_at, bus, stored)
        return found

    async def _consumer(
        self,
        name: str,
        ends: Mapping[Partition, int],
        bus: Sequence[OnBus],
        stored: Mapping[str, Recorded],
    ) -> Sequence[Taken]:
        on = self._on[name]
        wanted = {p: end for p, end in ends.items() if p.topic in SUBSCRIPTIONS[name]}
        deadline_s = on.clock.monotonic_s() + PATIENCE_S
        while True:
            async with on.store.reading() as reading:
                positions = await reading.inbox.positions(name)
            if all(positions.get(p, 0) >= end for p, end in wanted.items()):
                break
            if on.clock.monotonic_s() > deadline_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        given_up = self._given_up[name] = await wire.discards(on, bus)
        return await consumers.taken(name, on, ends, bus, stored, given_up)

    async def _tracked(self) -> Mapping[str, int]:
        """Versions of the customers' views, of orders whose token is in no client's ledger too."""
        documents = _documents(self._on["tracking"], CUSTOMER)
        return {key: version async for key, version, _ in documents}

    async def _shown(self, clients: Sequence[Posted | Polled]) -> Mapping[str, int] | None:
        """What the tracking API answers, where clients wrote their tokens down."""
        known = tracks.tokens(clients)
        if not known:
            self._notes.append("tracking views are read from the store: no client kept a token")
            return None
        shown = await self._had("tracking API", tracks.shown(self._system, self._http, known))
        if shown is not None and len(shown) < len(known):
            self._notes.append(f"tracking API: a sample of {len(shown):,} of {len(known):,} orders")
        return shown

    async def _with_vault(self, evidence: Evidence) -> Evidence:
        """References of the recipient vault, and the values in it that must be nowhere else."""
        personal: set[str] = set()
        there: set[str] = set()
        async for reference, _, body in _documents(self._on["capture"], RECIPIENTS):
            there.add(reference)
            personal.update(privacy.values_of(json.loads(body)))
        wanted = {
            fact.data["recipient_ref"]
            for fact in evidence.of("capture.order_placed")
            if fact.data.get("recipient_ref")
        }
        there |= await self._erased_since(wanted - there, evidence)
        return replace(evidence, personal=sorted(personal), recipients=there)

    async def _erased_since(self, gone: set[str], evidence: Evidence) -> set[str]:
        """Of references that are not there: those that were erased after the log was read."""
        gone -= {fact.data["recipient_ref"] for fact in evidence.of("capture.recipient_erased")}
        if not gone:
            return set()
        names = {str(StreamId(envelope.DEFAULT_TENANT, "recipient", one)): one for one in gone}
        async with self._on["capture"].store.reading() as reading:
            streams = await reading.streams.load(sorted(names), lock=False)
        return {names[stream] for stream, loaded in streams.items() if loaded.version}

    async def _views(self) -> Sequence[Compared] | None:
        found: list[Compared] = []
        for name in registry.SERVICES:
            for view in registry.views(name):
                self._tell(f"rebuilding {view.name} of {name} to compare")

                def tell(at: Progress, what: str = f"{name} {view.name}") -> None:
                    self._tell(f"rebuilding {what}: {at.done:,} of {at.total:,}")

                try:
                    compared = await rebuilding.rebuild(
                        self._on[name], name, view, switch=False, tell=tell
                    )
                except (Failure, BusUnavailable, BusTruncated) as error:
                    if isinstance(error.__cause__, Incomplete):
                        why = (str(error.__cause__),)
                        found.append(Compared(f"{name} {view.name}", "", "", 0, why))
                        continue
                    self._notes.append(f"{view.name} of {name} could not be compared: {error}")
                    return None
                found.append(wire.compared(name, compared))
        return found


async def _at_once(work: Callable[[], T]) -> T:
    return work()


async def _documents(on: Infrastructure, view: str) -> AsyncIterator[tuple[str, int, str]]:
    """Key, revision and body of every document of a view."""
    after: str | None = None
    async with on.store.reading() as reading:
        while page := await reading.documents.find(
            envelope.DEFAULT_TENANT, view, {}, after=after, limit=PAGE
        ):
            for key, document in page:
                yield key, document.revision, document.body
            after = page[-1][0]
