"""What happens on the bus: duplicates, positions that go back, poison, broken connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from waybill.chaos.ground import Ground, NotStruck, dice
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
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
    yield f"{len(again)} messages of {partition.topic}/{partition.number} from offset {at}"


@asynccontextmanager
async def rewind(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """A consumer's positions go back, as after a restore of them alone, and it starts anew."""
    back = dice(fault).randint(1, BACK_MAX)
    await ground.process(fault.target)
    moved = await _execute(
        ground,
        fault.target,
        "UPDATE consumer_position SET next_offset = greatest(0, next_offset - $1)"
        " WHERE consumer = $2",
        back,
        fault.target,
    )
    process = await ground.process(fault.target)
    process.kill()
    yield f"{moved}, {back} messages each"


@asynccontextmanager
async def cut_bus(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Postgres ends every session on the bus's database."""
    ended = await _execute(
        ground,
        "bus",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    yield ended


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
    try:
        async with ground.house.system.connect("capture") as on:
            await _send(on, [Message(fault.target, key, value, headers)])
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
    ground.planted.append({"number": fault.number, "topic": fault.target, "key": key})
    yield f"key {key}"
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


async def _send(on: Infrastructure, messages: list[Message]) -> None:
    producer = await on.bus.producer()
    try:
        await producer.send(messages)
    finally:
        await producer.close()


def _is_ours(delivery: Delivery) -> bool:
    """Whether a message is the system's own, and none that we planted."""
    return all(name != POISON for name, _ in delivery.message.headers)


async def _execute(ground: Ground, database: str, statement: str, *arguments: object) -> str:
    try:
        async with asyncio.timeout(10.0):
            connection = await asyncpg.connect(ground.house.dsn(database), timeout=5.0)
            try:
                return str(await connection.execute(statement, *arguments))
            finally:
                await connection.close(timeout=2.0)
    except TROUBLE as error:
        raise NotStruck(f"{type(error).__name__}: {error}") from error
