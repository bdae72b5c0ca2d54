"""Notices a Kafka consumer that stopped without saying so (reliability 4.1: #847, #712, #773)."""

from collections.abc import Mapping

from waybill_runtime.bus import Partition
from waybill_runtime.clock import Clock

STILL_S = 30.0
REJOIN_S = 120.0


class Watchdog:
    """Two questions: do positions move while ends do, and does a rejoin ever end?"""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Partition, tuple[int, float]] = {}
        self._rejoining_since_s: float | None = None

    def rejoining(self) -> None:
        """The group is being joined from now on."""
        self._since.clear()
        if self._rejoining_since_s is None:
            self._rejoining_since_s = self._clock.monotonic_s()

    def joined(self) -> None:
        """The group took us in."""
        self._rejoining_since_s = None

    def rejoins_too_long(self) -> bool:
        """Twice the rebalance time-out has passed; asked once, it starts to count anew."""
        since_s = self._rejoining_since_s
        if since_s is None or self._clock.monotonic_s() - since_s < REJOIN_S:
            return False
        self._rejoining_since_s = None
        return True

    def stands_still(
        self, positions: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> bool:
        """Whether some partition has had messages for STILL_S and its position has not moved."""
        now_s = self._clock.monotonic_s()
        self._since = {
            partition: (position, self._first_seen_s(partition, position, now_s))
            for partition, position in positions.items()
            if ends.get(partition, 0) > position
        }
        return any(now_s - since_s >= STILL_S for _, since_s in self._since.values())

    def _first_seen_s(self, partition: Partition, position: int, now_s: float) -> float:
        seen = self._since.get(partition)
        return seen[1] if seen is not None and seen[0] == position else now_s
