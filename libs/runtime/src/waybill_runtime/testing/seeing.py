"""What a command's sender is shown, against what whoever reads next is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from waybill_events import codec
from waybill_events.envelope import DEFAULT_TENANT, StreamId
from waybill_runtime.decider import AnyDecider, Intent
from waybill_runtime.testing.working import CAUSE, working
from waybill_runtime.testing.world import World, simulate
from waybill_runtime.work import See, V

ID = "1"


def shown_and_read(
    decider: AnyDecider,
    see: See[V],
    asked: Iterable[Sequence[object]],
    refusals: tuple[type[Exception], ...],
) -> list[tuple[V | None, V | None]]:
    """After each transaction: what its `Work` has seen, and what its stored stream folds to.

    Each of `asked` is one transaction's commands on one stream; those refused are passed over.
    """

    async def main() -> list[tuple[V | None, V | None]]:
        on = World().infrastructure("db")
        pairs = []
        for commands in asked:
            async with working(on) as work:
                await work.load(decider, [ID])
                for command in commands:
                    try:
                        work.execute(Intent(decider, ID, command), CAUSE)
                    except refusals:
                        continue
            shown = work.seen(decider, ID, see)
            name = str(StreamId(DEFAULT_TENANT, decider.category, ID))
            async with on.store.reading() as reading:
                stream = (await reading.streams.load([name], lock=False))[name]
            read: V | None = None
            for recorded in stream.events:
                # A copy holds no model yet: it is decoded from what was stored.
                read = see(read, recorded, codec.decode(replace(recorded)))
            pairs.append((shown, read))
        return pairs

    return simulate(1, main())
