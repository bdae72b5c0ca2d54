"""What happens on the bus: duplicates, positions that go back, poison, broken connections."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg

from waybill.chaos.ground import ENDED, POLL_S, Ground, NotStruck, dice
from waybill.chaos.plan import Fault
from waybill_runtime.bus import BusTruncated, BusUnavailable, Delivery, Message, Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.stored import StoreUnavailable

SLICE_MAX = 40
BACK_MAX = 60
TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    BusTruncated,
    BusUnavailable,
    StoreUnavailable,
    OSError,
    TimeoutError,
)
"""What a store or a bus answers that was just struck: come again. An internal error is asyncpg's
word for a connection that was cut while a statement was on its way."""
POISON = "chaos-poison"
SHOWS_WITHIN_S = 5.0
_POSITIONS = "SELECT topic, number, next_offset FROM consumer_position WHERE consumer = $1"


@asynccontextmanager
async def republish(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """A slice of one partition is sent again, in its order, behind everything else."""
    drawn = dice(fault)
    try:
        async with ground.house.system.connect("capture") as on:
            bounds = await on.bus.bounds([fault.target])
            filled = sorted(p for p, (first, end) in bounds.items() if end > first)
            if not filled:
                raise NotStruck(f"nothing is on {fault.target} yet")
            partition = drawn.choice(filled)
            first, end = bounds[partition]
            at = drawn.randrange(first, end)
            found = await on.bus.read(partition, at, drawn.randint(1, SLICE_MAX))
            again = [one.message for one in found if _is_ours(one)]
            await _send(on, again)
            await _see(ground, on, again, bounds)
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
    yield f"{len(again)} messages of {partition.topic}/{partition.number} from offset {at}"


@asynccontextmanager
async def rewind(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """A consumer's positions go back, as after a restore of them alone, and it starts anew."""
    back = dice(fault).randint(1, BACK_MAX)
    await ground.process(fault.target)
    before = await positions(ground, fault.target)
    await _ask(
        ground,
        fault.target,
        "UPDATE consumer_position SET next_offset = greatest(0, next_offset - $1)"
        " WHERE consumer = $2",
        back,
        fault.target,
    )
    process = await ground.strike(fault.target, signal.SIGKILL)
    await ground.see(process, {ENDED})
    after = await positions(ground, fault.target)
    moved = sum(after.get(place, 0) < at for place, at in before.items())
    if not moved:
        raise NotStruck(f"no position of {fault.target} went back")
    yield f"{moved} positions, up to {back} messages each"


@asynccontextmanager
async def cut_bus(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Postgres ends every session on the bus's database."""
    rows = await _ask(
        ground,
        "bus",
        "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    ended = sum(row["ended"] for row in rows)
    if not ended:
        raise NotStruck("nobody had a session on the bus's database")
    yield f"{ended} sessions ended"


@asynccontextmanager
async def poison(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """A message that is no event comes in an order's key, and parks it.

    What follows of that order waits until staff have discarded the poison.
    """
    if not ground.load.recent:
        raise NotStruck("there is no order yet")
    drawn = dice(fault)
    key = drawn.choice(ground.load.recent[:20]).order_id
    value = drawn.randbytes(drawn.randint(0, 200))
    headers = ((POISON, str(fault.number).encode()),)
    planted = [Message(fault.target, key, value, headers)]
    # Noted before it is sent: a send that is not answered may have been done all the same.
    ground.planted.append({"number": fault.number, "topic": fault.target, "key": key})
    try:
        async with ground.house.system.connect("capture") as on:
            bounds = await on.bus.bounds([fault.target])
            await _send(on, planted)
            await _see(ground, on, planted, bounds)
        yield f"key {key}"
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
    finally:
        ground.poisoned.set()


async def planted_places(ground: Ground) -> list[tuple[Partition, int]]:
    """Where on the bus the poison of this home's runs stands: partition and offset."""
    found: list[tuple[Partition, int]] = []
    async with ground.house.system.connect("capture") as on:
        for topic in sorted({one["topic"] for one in ground.planted}):
            bounds = await on.bus.bounds([topic])
            for partition, (first, end) in bounds.items():
                at = first
                while at < end:
                    batch = await on.bus.read(partition, at, 1_000)
                    if not batch:
                        break
                    found += [(partition, one.offset) for one in batch if not _is_ours(one)]
                    at = batch[-1].offset + 1
    return found


async def _send(on: Infrastructure, messages: Sequence[Message]) -> None:
    producer = await on.bus.producer()
    try:
        await producer.send(messages)
    finally:
        await producer.close()


async def _see(
    ground: Ground,
    on: Infrastructure,
    sent: Sequence[Message],
    before: Mapping[Partition, tuple[int, int]],
) -> None:
    """Return once each of these stands on the bus, behind the ends that it had before.

    Raises:
        NotStruck: one does not, or there is none.
    """
    deadline_s = ground.clock.monotonic_s() + SHOWS_WITHIN_S
    left = Counter((one.key, one.value, one.headers) for one in sent)
    ends = {partition: end for partition, (_, end) in before.items()}
    while left and ground.clock.monotonic_s() < deadline_s:
        for partition in list(ends):
            for one in await on.bus.read(partition, ends[partition], SLICE_MAX):
                ends[partition] = one.offset + 1
                left -= Counter([(one.message.key, one.message.value, one.message.headers)])
        if left:
            await asyncio.sleep(POLL_S)
    if left or not sent:
        raise NotStruck(f"{left.total()} of {len(sent)} messages did not reach the bus")


def _is_ours(delivery: Delivery) -> bool:
    """Whether a message is the system's own, and none that we planted."""
    return all(name != POISON for name, _ in delivery.message.headers)


async def positions(ground: Ground, consumer: str) -> Mapping[tuple[str, int], int]:
    """How far a consumer is, by its own store."""
    rows = await _ask(ground, consumer, _POSITIONS, consumer)
    return {(row["topic"], row["number"]): row["next_offset"] for row in rows}


async def _ask(
    ground: Ground, database: str, statement: str, *arguments: object
) -> "list[asyncpg.Record]":
    """What a database answers to its superuser."""
    try:
        async with asyncio.timeout(10.0):
            connection = await asyncpg.connect(ground.house.dsn(database), timeout=5.0)
            try:
                return list(await connection.fetch(statement, *arguments))
            finally:
                await connection.close(timeout=2.0)
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
