"""How a part that fails is started again."""

import asyncio

from waybill_runtime.lifecycle import RESTART_DELAY_S_MAX, Stopping, keep_running
from waybill_runtime.testing.seeded_loop import SeededLoop


def delays_s(ran_s: list[float]) -> list[float]:
    """How long each start waited, of a part that fails after so many seconds."""

    async def main() -> list[float]:
        loop, stopping, failed_s = asyncio.get_running_loop(), Stopping(), 0.0
        waited: list[float] = []
        runs = iter(ran_s)

        async def part() -> None:
            nonlocal failed_s
            waited.append(loop.time() - failed_s)
            if (after_s := next(runs, None)) is None:
                stopping.set()
                return
            await asyncio.sleep(after_s)
            failed_s = loop.time()
            raise OSError("again")

        await keep_running("part", part, stopping)
        return waited[1:]

    return [round(waited_s, 3) for waited_s in SeededLoop.of(1).run(main())]


def test_one_that_fails_at_once_waits_longer_and_longer() -> None:
    assert delays_s([0.0] * 8) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_one_that_ran_for_a_while_is_started_again_soon() -> None:
    assert delays_s([0.0] * 7 + [RESTART_DELAY_S_MAX + 1, 0.0])[-2:] == [0.1, 0.2]
