"""The watchdog over a Kafka consumer, on a clock that is turned by hand."""

from datetime import UTC, datetime

from waybill_runtime.adapters.kafka.watchdog import REJOIN_S, STILL_S, Watchdog
from waybill_runtime.bus import Partition

ONE, TWO = Partition("orders", 1), Partition("orders", 2)


class HandClock:
    def __init__(self) -> None:
        self.time_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time_s, UTC)

    def monotonic_s(self) -> float:
        return self.time_s


def test_a_partition_that_moves_is_never_taken_for_stuck() -> None:
    clock = HandClock()
    watchdog = Watchdog(clock)
    for step in range(20):
        clock.time_s = step * 10.0
        assert not watchdog.stands_still({ONE: step}, {ONE: 1_000})


def test_an_idle_partition_is_never_taken_for_stuck() -> None:
    clock = HandClock()
    watchdog = Watchdog(clock)
    for step in range(20):
        clock.time_s = step * 10.0
        assert not watchdog.stands_still({ONE: 7}, {ONE: 7})


def test_one_partition_that_stands_still_while_another_moves_is_found() -> None:
    clock = HandClock()
    watchdog = Watchdog(clock)
    found = []
    for step in range(5):
        clock.time_s = step * 10.0
        found.append(watchdog.stands_still({ONE: step, TWO: 3}, {ONE: 100, TWO: 4}))
    assert found == [step * 10.0 >= STILL_S for step in range(5)]


def test_a_rejoin_that_never_ends_is_found_once() -> None:
    clock = HandClock()
    watchdog = Watchdog(clock)
    watchdog.rejoining()
    clock.time_s = REJOIN_S - 1
    watchdog.rejoining()
    assert not watchdog.rejoins_too_long()
    clock.time_s = REJOIN_S
    assert watchdog.rejoins_too_long()
    assert not watchdog.rejoins_too_long()


def test_a_rejoin_that_ended_is_forgotten() -> None:
    clock = HandClock()
    watchdog = Watchdog(clock)
    watchdog.rejoining()
    watchdog.joined()
    clock.time_s = REJOIN_S * 2
    assert not watchdog.rejoins_too_long()
