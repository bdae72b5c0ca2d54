"""A read model built again and switched under way, while customers go on reading it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from waybill import registry
from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.plan import Fault
from waybill_runtime.lifecycle import alongside

READ_EVERY_S = 0.1
WAIT_S = 200.0
TRIES = 5
REFUSED_FROM = 500


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
    yield "; ".join(done)


async def _one(ground: Ground, fault: Fault, view: str) -> str:
    """Build it; interrupted by another fault, it is called again, as staff would."""
    reads = {"answered": 0, "refused": 0}
    async with alongside(_read(ground, reads)):
        for attempt in range(1, TRIES + 1):
            tries = attempt
            code, text = await ground.command(
                "projections", "rebuild", view, "--service", fault.target
            )
            if code == 0:
                break
            await asyncio.sleep(1.0)
    verdict = "failed" if code else "equal" if f"{view} equal" in text else "different"
    ground.told.append(
        {
            "what": "rebuild",
            "fault": fault.number,
            "service": fault.target,
            "view": view,
            "verdict": verdict,
            "tries": tries,
            "reads": dict(reads),
            **({} if verdict == "equal" else {"said": text[-400:]}),
        }
    )
    return f"{view} {verdict} after {tries} tries"


async def _read(ground: Ground, reads: dict[str, int]) -> None:
    """A customer who reads on. Refused is an error of the service, not a service that is away."""
    url = ground.house.system.values["TRACKING_URL"]
    while True:
        for placed in ground.load.recent[:3]:
            with suppress(httpx.HTTPError):
                answer = await ground.http.get(f"{url}/v1/track/{placed.token}", timeout=5.0)
                refused = answer.status_code >= REFUSED_FROM and answer.status_code != 503
                reads["refused" if refused else "answered"] += 1
        await asyncio.sleep(READ_EVERY_S)
