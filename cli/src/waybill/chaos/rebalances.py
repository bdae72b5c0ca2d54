"""How often partitions were shared out anew, as the bus itself shows it.

On Kafka the broker's log says each time that a group stabilised; on the embedded bus each change
of a group's members is one, as far as looking every second sees them.
"""

import asyncio
from collections import defaultdict

import asyncpg

from waybill.chaos.faults.messages import TROUBLE
from waybill.chaos.house import House

LOOK_EVERY_S = 1.0
STABILISED = "Stabilized group"
_MEMBERS = "SELECT grp, member FROM bus_member"


class Rebalances:
    """Counts while `run` runs; `count` is what it came to so far."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen = 0
        self._before = self._stabilised()

    @property
    def count(self) -> int:
        if self._house.bus == "kafka":
            return self._stabilised() - self._before
        return self._seen

    async def run(self) -> None:
        """Look until cancelled; a bus that is away is looked at again."""
        members: dict[str, frozenset[str]] = {}
        while self._house.bus == "postgres":
            try:
                async with asyncio.timeout(10.0):
                    connection = await asyncpg.connect(self._house.dsn("bus"), timeout=5.0)
                    try:
                        while True:
                            members = self._compare(members, await connection.fetch(_MEMBERS))
                            await asyncio.sleep(LOOK_EVERY_S)
                    finally:
                        await connection.close(timeout=2.0)
            except TROUBLE:
                await asyncio.sleep(LOOK_EVERY_S)

    def _compare(
        self, before: dict[str, frozenset[str]], rows: "list[asyncpg.Record]"
    ) -> dict[str, frozenset[str]]:
        now: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            now[row["grp"]].add(row["member"])
        self._seen += sum(before[group] != now[group] for group in before)
        return {group: frozenset(members) for group, members in now.items()}

    def _stabilised(self) -> int:
        return sum(
            line.count(STABILISED)
            for path in self._house.home.logs.glob("kafka.log*")
            for line in [path.read_text(errors="replace")]
        )
