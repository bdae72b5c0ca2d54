"""The seeded loop: virtual time, the same seed the same way, killed nodes stay dead."""

import asyncio

import pytest

from waybill_runtime.testing.seeded_loop import SeededLoop, Stuck


def _interleaving(seed: int) -> tuple[list[str], str]:
    loop, order = SeededLoop.of(seed), list[str]()

    async def worker(name: str) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            order.append(name)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(worker(name))

    loop.run(main())
    return order, loop.trace


def test_the_same_seed_gives_the_same_order_and_trace() -> None:
    assert _interleaving(7) == _interleaving(7)


def test_seeds_differ_in_order() -> None:
    assert len({tuple(_interleaving(seed)[0]) for seed in range(20)}) > 10


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600))
            group.create_task(asyncio.sleep(86_400))
        return asyncio.get_running_loop().time()

    assert SeededLoop.of(1).run(main()) == 86_400


def test_a_killed_node_does_nothing_more_not_even_its_cleanup() -> None:
    loop, done = SeededLoop.of(1), list[str]()

    async def node() -> None:
        try:
            await asyncio.sleep(10)
            done.append("woke")
        finally:
            done.append("cleaned up")

    async def main() -> list[str]:
        with loop.on("node"):
            task = asyncio.create_task(node())
        await asyncio.sleep(1)
        loop.kill("node")
        await asyncio.sleep(100)
        assert not task.done()
        return list(done)

    assert loop.run(main()) == []


def test_a_paused_node_stands_still_and_goes_on_where_it_was() -> None:
    loop, ticks = SeededLoop.of(1), list[float]()

    async def node() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(loop.time())

    async def main() -> None:
        with loop.on("node"):
            task = asyncio.create_task(node())
        await asyncio.sleep(2.5)
        loop.pause("node")
        await asyncio.sleep(10)
        assert ticks == [1, 2]
        loop.resume("node")
        await asyncio.sleep(1.75)
        task.cancel()

    loop.run(main())
    assert ticks == [1, 2, 12.5, 13.5]


def test_a_paused_node_may_be_killed() -> None:
    loop, done = SeededLoop.of(1), list[str]()

    async def node() -> None:
        await asyncio.sleep(1)
        done.append("woke")

    async def main() -> list[str]:
        with loop.on("node"):
            task = asyncio.create_task(node())
        loop.pause("node")
        await asyncio.sleep(2)
        loop.kill("node")
        loop.resume("node")
        await asyncio.sleep(2)
        assert not task.done()
        return list(done)

    assert loop.run(main()) == []


def test_what_the_dead_left_behind_is_unwound_with_the_loop() -> None:
    loop, done = SeededLoop.of(1), list[str]()

    async def child() -> None:
        done.append("never begun")

    async def node() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                loop.kill("node")
        finally:
            done.append("unwound")

    async def main() -> None:
        with loop.on("node"):
            task = asyncio.create_task(node())
        await asyncio.wait([task], timeout=5)

    loop.run(main())
    assert done == ["unwound"]


def test_waiting_for_nothing_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        SeededLoop.of(1).run(main())
