"""How long a recovery took, and whether it was one of one kill alone."""

import asyncio
from collections.abc import Callable, Collection, Sequence

import httpx
import pytest

from waybill.chaos.recovery import Recovered, Recovery
from waybill_runtime.testing.world import World, simulate

URLS = {"capture": "http://capture", "payment": "http://payment"}


class Services:
    """What each service says that it has done; `None` while it is away."""

    def __init__(self) -> None:
        self.done: dict[str, float | None] = {"capture": 500.0, "payment": 500.0}
        self.unready: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if self.done[name] is None:
            raise httpx.ConnectError("away")
        if request.url.path == "/readyz":
            return httpx.Response(503 if name in self.unready else 200)
        return httpx.Response(200, text=f"waybill_relayed_total {self.done[name]}\n")


Story = Sequence[tuple[float, Callable[[Services, Recovery], object]]]
"""What happens, after how many seconds."""


def lived(story: Story, active: Collection[int] = ()) -> Sequence[Recovered]:
    async def run() -> Sequence[Recovered]:
        clock = World().clock
        services = Services()
        transport = httpx.MockTransport(services)
        async with httpx.AsyncClient(transport=transport) as http, asyncio.TaskGroup() as group:
            recovery = Recovery(http, clock, lambda: URLS, lambda: active)
            recovery.watch_in(group)
            for after_s, happens in story:
                await asyncio.sleep(after_s)
                happens(services, recovery)
            await recovery.settle()
        return sorted(recovery.found, key=lambda one: one.what)

    return simulate(1, run())


def kill(name: str, number: int) -> Callable[[Services, Recovery], object]:
    def strike(services: Services, recovery: Recovery) -> None:
        services.done[name] = None
        recovery.killed(f"service {name}", {name: None}, number, restarted=True)

    return strike


def kill_postgres(services: Services, recovery: Recovery) -> None:
    recovery.killed("postgres", dict(services.done), 9, restarted=False)


def says(name: str, done: float | None) -> Callable[[Services, Recovery], object]:
    return lambda services, _: services.done.update({name: done})


def test_a_service_has_recovered_once_it_is_ready_and_has_done_something() -> None:
    (one,) = lived(
        [
            (0, kill("capture", 1)),
            (1, says("capture", 0)),
            (1, lambda services, _: services.unready.add("capture")),
            (0, says("capture", 1)),
            (1, lambda services, _: services.unready.clear()),
        ]
    )
    assert one.in_time
    assert one.alone
    assert one.took_s == pytest.approx(3.0, abs=0.5)


def test_what_does_not_recover_is_told_as_such() -> None:
    (one,) = lived([(0, kill("capture", 1))])
    assert not one.in_time
    assert one.took_s >= 90


def test_two_recoveries_at_one_time_are_alone_neither() -> None:
    """However short the moment of a kill is."""
    story = [
        (0, kill("capture", 1)),
        (3, kill("payment", 2)),
        (1, says("payment", 1)),
        (1, says("capture", 1)),
    ]
    assert [one.alone for one in lived(story)] == [False, False]
    apart = [
        (0, kill("capture", 1)),
        (3, says("capture", 1)),
        (3, kill("payment", 2)),
        (1, says("payment", 1)),
    ]
    assert [one.alone for one in lived(apart)] == [True, True]


def test_a_recovery_beside_another_fault_is_not_alone() -> None:
    assert not lived([(0, kill("capture", 1)), (1, says("capture", 1))], active=[7])[0].alone
    assert lived([(0, kill("capture", 7)), (1, says("capture", 1))], active=[7])[0].alone


def test_after_postgres_was_killed_a_service_that_began_anew_counts_from_nothing() -> None:
    """It need not do first all that it had done in the life before."""
    (one,) = lived(
        [
            (0, kill_postgres),
            (1, says("payment", 501)),
            (1, says("capture", None)),
            (1, says("capture", 0)),
            (1, says("capture", 2)),
        ]
    )
    assert one.in_time
    assert one.took_s == pytest.approx(4.0, abs=0.5)
