"""A read model built again and switched under way, while customers go on reading it."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import httpx

from waybill import registry
from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.plan import Fault
from waybill.failure import UNAVAILABLE
from waybill_runtime.lifecycle import alongside

READ_EVERY_S = 0.1
READ_TIMEOUT_S = 5.0
WAIT_S = 200.0
TRIES = 5
"""With pauses between that grow from a second: brokers come back within ten."""
KEPT = 3
"""So many views that were there are read again until the rebuild ends, beside the newest."""
AWAY = frozenset({"tracking", "tracking.database", "postgres"})
HARMLESS = frozenset({"rebuild", "replica"})
AWAY_FOR_S = 10.0
"""A fault on what tracking reads from excuses a read for so long after it has healed."""

Verdict = Literal["equal", "different", "failed", "broken off"]
"""`broken off`: store or bus were away each time; the live view is as it was, nothing compared."""
Read = Literal[
    "answered", "unseen", "limited", "gone", "unavailable", "failed", "timed_out", "away"
]
NO_HARM = frozenset({"answered", "unseen", "limited"})
"""`unseen` has not come yet, `limited` is a customer who asks too often."""


@asynccontextmanager
async def rebuild(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Every view of a service from offset 0, then live. One service at a time."""
    try:
        async with asyncio.timeout(WAIT_S):
            await ground.one_rebuild.acquire()
    except TimeoutError as error:
        raise NotStruck("another rebuild was still under way") from error
    try:
        done = [await _one(ground, fault, view.name) for view in registry.views(fault.target)]
    finally:
        ground.one_rebuild.release()
    note = "; ".join(said for said, _ in done)
    if not any(documents for _, documents in done):
        raise NotStruck(f"nothing was compared: {note}")
    yield note


async def _one(ground: Ground, fault: Fault, view: str) -> tuple[str, int]:
    """Build it; interrupted by another fault, it is called again, as staff would.

    Answers what came of it, and how many documents were compared.
    """
    reads: Counter[str] = Counter(answered=0, refused=0)
    async with alongside(Reader(ground, fault, reads).run()):
        codes: list[int] = []
        while len(codes) < TRIES:
            if codes:
                await asyncio.sleep(2.0 ** (len(codes) - 1))
            code, text = await ground.command(
                "projections", "rebuild", view, "--service", fault.target
            )
            codes.append(code)
            if code == 0:
                break
    verdict, documents = compared(fault.target, view, codes, text)
    if verdict != "equal" or documents:
        ground.told.append(
            {
                "what": "rebuild",
                "fault": fault.number,
                "service": fault.target,
                "view": view,
                "verdict": verdict,
                "documents": documents,
                "tries": len(codes),
                "reads": dict(reads),
                **({} if verdict == "equal" else {"said": text[-400:]}),
            }
        )
    return f"{view} {verdict} after {len(codes)} tries, {documents} documents", documents


def compared(service: str, view: str, codes: Sequence[int], text: str) -> tuple[Verdict, int]:
    """What `waybill projections rebuild` came to, and of how many documents.

    `codes` are the exit codes of all its tries, `text` is what the last one said.

    Equal is what has two hashes that are the same, whatever word stands before them.
    """
    found = re.search(
        rf"^{re.escape(service)} {re.escape(view)} (\w+) (\d+) documents"
        r" live (\S+) rebuilt (\S+)$",
        text,
        re.MULTILINE,
    )
    if set(codes) == {UNAVAILABLE}:
        return "broken off", 0
    if codes[-1] != 0 or found is None:
        return "failed", 0
    word, documents, live, rebuilt = found.groups()
    return ("equal" if word == "equal" and live == rebuilt else "different"), int(documents)


class Reader:
    """A customer who reads on while a view is built. Counts each read by what came of it.

    `refused` are those that the rebuild has to answer for: a view that was there and is gone,
    whatever else strikes; and an error, a 503 or silence, unless a fault on tracking or on its
    database explains it: those are `excused`, and told apart.
    """

    def __init__(self, ground: Ground, fault: Fault, reads: Counter[str]) -> None:
        self._ground = ground
        self._fault = fault
        self._reads = reads
        self._there: dict[str, None] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            newest = [placed.token for placed in self._ground.load.recent[:3]]
            for token in dict.fromkeys([*newest, *list(self._there)[:KEPT]]):
                self._note(await self._read(token))
            await asyncio.sleep(READ_EVERY_S)

    async def _read(self, token: str) -> Read:
        url = self._ground.house.system.values["TRACKING_URL"]
        try:
            answer = await self._ground.http.get(f"{url}/v1/track/{token}", timeout=READ_TIMEOUT_S)
        except httpx.TimeoutException:
            return "timed_out"
        except httpx.HTTPError:
            return "away"
        match answer.status_code:
            case httpx.codes.OK:
                self._there[token] = None
                return "answered"
            case httpx.codes.NOT_FOUND:
                return "gone" if token in self._there else "unseen"
            case httpx.codes.TOO_MANY_REQUESTS:
                return "limited"
            case httpx.codes.SERVICE_UNAVAILABLE:
                return "unavailable"
            case _:
                return "failed"

    def _note(self, read: Read) -> None:
        self._reads[read] += 1
        if read in NO_HARM:
            return
        excused = read != "gone" and any(
            one.target in AWAY and one.kind not in HARMLESS
            for one in self._ground.lately(AWAY_FOR_S)
        )
        self._reads["excused" if excused else "refused"] += 1
