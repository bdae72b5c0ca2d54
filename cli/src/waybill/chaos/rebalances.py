"""How often partitions were shared out anew, as the bus itself shows it.

On Kafka the broker's log says each time that a group stabilised; on the embedded bus each change
of a group's members is one, as far as looking every second sees them.
"""

import asyncio
from collections import defaultdict

import asyncpg

from waybill import logfiles
from waybill.chaos.faults.messages import TROUBLE
from waybill.chaos.house import House

LOOK_EVERY_S = 1.0
STABILISED = b"Stabilized group"
_MEMBERS = "SELECT grp, member FROM bus_member"


class Rebalances:
    """Counts while `run` runs; `count` is what it came to so far."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen = 0
        self._broker = logfiles.Following(house.home.logs / "kafka.log")

    @property
    def count(self) -> int:
        self._seen += self._broker.read().count(STABILISED)
        return self._seen

    async def run(self) -> None:
        """Look until cancelled; a bus that is away is looked at again."""
        match self._house.bus:
            case "kafka":
                await self._read_the_log()
            case "postgres":
                await self._watch_members()

    async def _read_the_log(self) -> None:
        # Often: a broker's log is rotated away within minutes.
        while True:
            self._seen += self._broker.read().count(STABILISED)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _watch_members(self) -> None:
        members: dict[str, frozenset[str]] = {}
        while True:
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
