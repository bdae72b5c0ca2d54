"""Gateway and carrier lie: time-outs before and after the deed, errors, callbacks out of turn.

They count themselves how often they did: whose lies nobody heard have not struck.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from waybill.chaos.ground import Ground, NotStruck, dice
from waybill.chaos.plan import Fault

LIES: Mapping[str, tuple[str, ...]] = {
    "gateway": (
        "timeout_before_charge",
        "timeout_after_charge",
        "error_before_charge",
        "stored_error",
    ),
    "carrier": ("timeout_before_label", "timeout_after_label"),
}
CALLBACKS = ("duplicate_callbacks", "reordered_callbacks", "late_callbacks", "lost_callbacks")
RATE = (0.1, 0.5)
ALL_LIES_MAX = 0.8
"""Of one request at most one lie strikes: gateway and carrier refuse more than 1 together."""


@asynccontextmanager
async def lie(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Answers mislead about what was done."""
    async with _lying(ground, fault, lies_drawn(fault)) as note:
        yield note


@asynccontextmanager
async def callbacks(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Callbacks come twice, late, out of their order or not at all."""
    async with _lying(ground, fault, _drawn(fault, CALLBACKS)) as note:
        yield note


def lies_drawn(fault: Fault) -> Mapping[str, float]:
    """How often each of its lies strikes, all together ALL_LIES_MAX at most."""
    drawn = _drawn(fault, LIES[fault.target])
    share = min(1.0, ALL_LIES_MAX / sum(drawn.values()))
    return {name: round(rate * share, 2) for name, rate in drawn.items()}


def _drawn(fault: Fault, names: tuple[str, ...]) -> Mapping[str, float]:
    drawn = dice(fault)
    return {name: round(drawn.uniform(*RATE), 2) for name in names}


@asynccontextmanager
async def _lying(ground: Ground, fault: Fault, rates: Mapping[str, float]) -> AsyncIterator[str]:
    active = ground.lies.setdefault(fault.target, {})
    active[fault.number] = rates
    try:
        before = await _struck(ground, fault.target)
        lies = await _tell(ground, fault.target)
        if not rates.items() <= lies.items():
            raise NotStruck(f"{fault.target} does not lie as it was told to")
        yield ", ".join(f"{name} {rate}" for name, rate in rates.items())
        after = await _struck(ground, fault.target)
    finally:
        del active[fault.number]
        with suppress(NotStruck):
            await _tell(ground, fault.target)
    # One that was started anew meanwhile counts from nothing.
    if not any(after.get(name, 0) not in (0, before.get(name, 0)) for name in rates):
        raise NotStruck(f"{fault.target} was asked nothing that it lied about")


async def _tell(ground: Ground, partner: str) -> Mapping[str, float]:
    """The partner lies as all active faults together want it; a restarted one lies no more.

    Answers what it lies about by its own word.
    """
    rates: dict[str, float] = {}
    for one in ground.lies[partner].values():
        rates.update(one)
    found: Mapping[str, float] = await _ask(ground, partner, "POST", rates)
    return found


async def _struck(ground: Ground, partner: str) -> Mapping[str, int]:
    """How often each lie struck, by the partner's own count since it started."""
    found: Mapping[str, int] = (await _ask(ground, partner, "GET"))["struck"]
    return found


async def _ask(ground: Ground, partner: str, method: str, rates: object = None) -> Any:
    url = f"{ground.house.system.values[f'{partner.upper()}_URL']}/faults"
    try:
        answer = await ground.http.request(method, url, json=rates)
        return answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise NotStruck(f"{partner} does not answer: {type(error).__name__}") from error
