"""How a part that fails is started again."""

import asyncio

import pytest

from waybill_runtime.lifecycle import (
    FAILING_S,
    RESTART_DELAY_S_MAX,
    Failing,
    Stopping,
    alongside,
    keep_running,
    rest_s,
)
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


@pytest.mark.parametrize(("runs_s", "is_told"), [(0.0, True), (RESTART_DELAY_S_MAX + 1, False)])
def test_only_a_part_that_does_nothing_but_fail_is_called_failing(
    runs_s: float, is_told: bool
) -> None:
    async def main() -> None:
        loop, failing = asyncio.get_running_loop(), Failing()

        async def part() -> None:
            await asyncio.sleep(runs_s)
            raise OSError("again")

        async with alongside(keep_running("part", part, Stopping(), failing)):
            await asyncio.sleep(FAILING_S - 1)
            assert failing.parts(loop.time()) == {}
            await asyncio.sleep(10)
            said = "fails again and again for 39 s: OSError"
            assert failing.parts(loop.time()) == ({"part": said} if is_told else {})

    SeededLoop.of(1).run(main())


def test_a_part_that_goes_on_has_got_over_it() -> None:
    async def main() -> None:
        loop, failing = asyncio.get_running_loop(), Failing()

        async def part() -> None:
            if loop.time() < 40:
                raise OSError("again")
            await asyncio.sleep(1_000)

        async with alongside(keep_running("part", part, Stopping(), failing)):
            await asyncio.sleep(39)
            assert failing.parts(loop.time()).keys() == {"part"}
            await asyncio.sleep(15)
            assert failing.parts(loop.time()) == {}

    SeededLoop.of(1).run(main())


@pytest.mark.parametrize(("worked_s", "rests_s"), [(0.0, 0.0), (0.01, 0.02), (0.2, 0.25)])
def test_a_part_rests_twice_as_long_as_it_worked_within_its_limit(
    worked_s: float, rests_s: float
) -> None:
    assert rest_s(worked_s, 0.25) == rests_s
