"""Reading from Kafka as a group member whose positions are its listener's, never the broker's.

aiokafka tells of rebalances from a task of its own, at any moment. Here the callback only leaves
a note and waits: `poll` tells the listener between two batches, in its caller's task.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError
from aiokafka.structs import ConsumerRecord

from waybill_runtime import metrics
from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.kafka import clients
from waybill_runtime.adapters.kafka.records import delivery_of, read_singly
from waybill_runtime.adapters.kafka.watchdog import Watchdog
from waybill_runtime.bus import BusUnavailable, Delivery, Partition
from waybill_runtime.clock import Clock

log = structlog.get_logger(__name__)

_DRAIN_S = 30.0
_ASK_S = 5.0
_COMMIT_S = 2.0
_CHECK_S = 10.0


class _Change:
    """One note of aiokafka's: from now on these are ours, and nothing else."""

    def __init__(self, owned: Mapping[Partition, int]) -> None:
        self.owned = owned
        self.done = asyncio.Event()


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """One member; its client is rebuilt when it breaks or stands still."""

    def __init__(
        self,
        make: Callable[[], AIOKafkaConsumer],
        topics: Sequence[str],
        holdings: Holdings,
        clock: Clock,
        *,
        succeed: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`succeed` is called until it once answers True, before the first joining."""
        self._make = make
        self._succeed = succeed
        self._topics = list(topics)
        self._holdings = holdings
        self._clock = clock
        self._watchdog = Watchdog(clock)
        self._client: AIOKafkaConsumer | None = None
        self._change: _Change | None = None
        self._waiting: asyncio.Timeout | None = None
        self._claims = itertools.count(1)
        self._check_due_s = 0.0
        self.closed = False

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        until_s = self._clock.monotonic_s() + timeout_s
        while True:
            if self.closed:
                raise BusUnavailable("this consumer was closed")
            client = await self._ready()
            try:
                await self._tell_changes(client)
                await self._check_progress(client)
                self._holdings.raise_truncated()
                if batch := await self._fetch(client, max_messages, until_s):
                    return batch
            except clients.FAILURES as error:
                await self._rebuild(repr(error))
                raise BusUnavailable(f"{type(error).__name__}: {error}") from error
            except UnicodeDecodeError:
                if batch := await self._fetch_singly(client, max_messages):
                    return batch
            if self._clock.monotonic_s() >= until_s:
                return ()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        mine = {_pair(p): at for p, at in offsets.items() if p in self._holdings.claims}
        if self._client is None or self.closed or not mine:
            return
        try:
            # aiokafka repeats a commit without limit while the coordinator is away (4.1).
            async with asyncio.timeout(_COMMIT_S):
                await self._client.commit(mine)
        except clients.FAILURES as error:
            metrics.KAFKA_COMMITS_FAILED.inc()
            log.debug("bus.commit_failed", error=repr(error))

    async def close(self) -> None:
        self.closed = True
        await self._let_go()

    async def die(self) -> None:
        """Vanish without leaving the group, as a killed process does."""
        self.closed = True
        self._note_done()
        client, self._client = self._client, None
        if client is not None:
            await clients.kill(client)

    # --- rebalances -----------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called by aiokafka; holds the rebalance up until the batch in hand is finished."""
        self._watchdog.rejoining()
        if revoked:
            await self._note(_Change({}))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called by aiokafka before it delivers; the positions are set while it waits."""
        self._watchdog.joined()
        owned = {Partition(p.topic, p.partition): next(self._claims) for p in assigned}
        await self._note(_Change(owned))

    async def _note(self, change: _Change) -> None:
        self._note_done()
        self._change = change
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(_DRAIN_S):
                await change.done.wait()
        except TimeoutError:
            log.warning("bus.drain_timed_out", seconds=_DRAIN_S)

    def _note_done(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.done.set()

    async def _tell_changes(self, client: AIOKafkaConsumer) -> None:
        """Tell the listener what aiokafka noted, and read from where the listener says."""
        while (change := self._change) is not None:
            ends: dict[Partition, int] = {}
            if change.owned:
                ends = await _ends(client, change.owned)
            await self._holdings.reconcile(change.owned, ends)
            if self._change is change:
                self._seek(client, list(change.owned))
                self._note_done()

    def _seek(self, client: AIOKafkaConsumer, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            try:
                if (position := self._holdings.positions.get(partition)) is None:
                    client.pause(_pair(partition))
                else:
                    client.seek(_pair(partition), position)
                    client.resume(_pair(partition))
            except IllegalStateError:
                # It went away while the listener was asked: another change is on its way.
                log.debug("bus.seek_too_late", partition=str(partition))

    # --- reading --------------------------------------------------------------------------

    async def _fetch(
        self, client: AIOKafkaConsumer, max_messages: int, until_s: float
    ) -> list[Delivery]:
        """What has arrived; nothing when a change is noted meanwhile: it may not be ours now.

        aiokafka hands records out without giving way in between, so that neither a time-out nor
        a cancellation can come after they were taken.
        """
        left_s = max(0.0, until_s - self._clock.monotonic_s())
        records: dict[TopicPartition, list[ConsumerRecord]] = {}
        try:
            async with asyncio.timeout(left_s + 0.1) as self._waiting:
                records = await client.getmany(
                    timeout_ms=int(left_s * 1000), max_records=max_messages
                )
        except TimeoutError:
            return []
        finally:
            self._waiting = None
        if self._change is not None:
            return []
        return self._in_sequence(records)

    def _in_sequence(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> list[Delivery]:
        """Records that follow our positions without a gap; a gap means that the log was cut.

        aiokafka jumps by itself when an offset is out of range, and says nothing (4.1).
        """
        batch: list[Delivery] = []
        for pair, found in records.items():
            partition = Partition(pair.topic, pair.partition)
            position = self._holdings.positions.get(partition)
            if position is None:
                continue
            taken: list[Delivery] = []
            for record in found:
                if record.offset != position + len(taken):
                    self._holdings.halt(partition, position + len(taken), record.offset)
                    break
                taken.append(delivery_of(partition, record))
            else:
                self._holdings.advance(taken)
            batch += taken
        return batch

    async def _fetch_singly(self, client: AIOKafkaConsumer, max_messages: int) -> list[Delivery]:
        """What has arrived, past a record that aiokafka cannot decode, which is handed out bare."""
        positions = dict(self._holdings.positions)
        self._seek(client, list(positions))
        batch: list[Delivery] = []
        try:
            ends = await _ends(client, positions)
            for partition, position in positions.items():
                count = min(ends[partition] - position, max_messages - len(batch))
                batch += await read_singly(client, partition, position, count)
        except clients.FAILURES as error:
            await self._rebuild(repr(error))
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        if self._change is not None:
            return []
        self._holdings.advance(batch)
        self._seek(client, list(positions))
        return batch

    async def _check_progress(self, client: AIOKafkaConsumer) -> None:
        """Now and then compare positions with the broker's ends: cut short, or standing still?"""
        if self._watchdog.rejoins_too_long():
            raise TimeoutError("the group did not take us in again")
        now_s = self._clock.monotonic_s()
        if now_s < self._check_due_s or not self._holdings.positions:
            return
        self._check_due_s = now_s + _CHECK_S
        positions = dict(self._holdings.positions)
        ends = await _ends(client, positions)
        for partition in [p for p, position in positions.items() if ends[p] < position]:
            self._holdings.halt(partition, positions[partition], ends[partition])
            self._seek(client, [partition])
        if self._watchdog.stands_still(positions, ends):
            raise TimeoutError("messages are waiting and none arrive")

    # --- the client -----------------------------------------------------------------------

    async def _ready(self) -> AIOKafkaConsumer:
        if self._client is None:
            # Once: two of one place, against the promise, must not expel each other for ever.
            if self._succeed is not None and await self._succeed():
                self._succeed = None
            client = self._make()
            await clients.started(client)
            # Subscribed only now: started with topics, aiokafka waits for its first assignment
            # without limit, and the assignment waits for poll.
            client.subscribe(self._topics, listener=self)
            self._client = client
            self._watchdog.rejoining()
        return self._client

    async def _rebuild(self, why: str) -> None:
        """Begin again with a new client: what was ours is not until the group says so."""
        log.warning("bus.consumer_rebuilt", why=why)
        metrics.KAFKA_CONSUMERS_REBUILT.inc()
        await self._let_go()
        await self._holdings.reconcile({}, {})

    async def _let_go(self) -> None:
        self._note_done()
        client, self._client = self._client, None
        if client is not None:
            # Shielded: a cancelled close must not leave a member behind that never polls.
            await asyncio.shield(clients.discard(client))


def _pair(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


async def _ends(
    client: AIOKafkaConsumer, partitions: Collection[Partition]
) -> dict[Partition, int]:
    async with asyncio.timeout(_ASK_S):
        ends = await client.end_offsets([_pair(partition) for partition in partitions])
    return {Partition(pair.topic, pair.partition): end for pair, end in ends.items()}
