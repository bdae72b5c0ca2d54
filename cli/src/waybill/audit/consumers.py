"""Where a consumer is on each partition that it reads: of real, simulated and tested systems."""

from collections import Counter
from collections.abc import Mapping, Sequence

from waybill.audit import wire
from waybill.audit.evidence import OnBus, Taken
from waybill.audit.facts import Json
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition
from waybill_runtime.infrastructure import Infrastructure

PAGE = 1_000


async def taken(
    name: str,
    on: Infrastructure,
    ends: Mapping[Partition, int],
    bus: Sequence[OnBus],
    stored: Mapping[str, Recorded],
    given_up: Sequence[Json],
) -> Sequence[Taken]:
    """How far it has come towards these ends of the bus, and what it left behind or overran.

    One that is behind has passed nothing over: it has not come there yet.
    """
    wanted = {p: end for p, end in ends.items() if p.topic in SUBSCRIPTIONS[name]}
    async with on.store.reading() as reading:
        positions = await reading.inbox.positions(name)
    is_there = all(positions.get(p, 0) >= end for p, end in wanted.items())
    after = await on.bus.bounds(SUBSCRIPTIONS[name])
    parked = await _parked(on, name)
    passed_over = await wire.passed_over(name, on, bus, stored, given_up) if is_there else {}
    ahead = await wire.ahead(name, on, bus)
    return [
        Taken(
            consumer=name,
            topic=partition.topic,
            partition=partition.number,
            applied=positions.get(partition, 0),
            written=end,
            beyond=max(0, positions.get(partition, 0) - after[partition][1]),
            parked=parked[partition],
            passed_over=passed_over.get(partition, ()),
            ahead=ahead.get(partition, ()),
        )
        for partition, end in sorted(wanted.items())
    ]


async def _parked(on: Infrastructure, name: str) -> Counter[Partition]:
    """Parked deliveries by partition."""
    found: Counter[Partition] = Counter()
    after = 0
    async with on.store.reading() as reading:
        while page := await reading.parking.parked(name, after=after, limit=PAGE):
            found.update(parked.partition for parked in page)
            after = page[-1].position
    return found
