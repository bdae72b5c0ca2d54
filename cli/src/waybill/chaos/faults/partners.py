"""Gateway and carrier lie: time-outs before and after the deed, errors, callbacks out of turn."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

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
        await _tell(ground, fault.target)
        yield ", ".join(f"{name} {rate}" for name, rate in rates.items())
    finally:
        del active[fault.number]
        await _tell(ground, fault.target, must=False)


async def _tell(ground: Ground, partner: str, *, must: bool = True) -> None:
    """The partner lies as all active faults together want it; a restarted one lies no more."""
    rates: dict[str, float] = {}
    for one in ground.lies[partner].values():
        rates.update(one)
    url = f"{ground.house.system.values[f'{partner.upper()}_URL']}/faults"
    try:
        answer = await ground.http.post(url, json=rates)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        if must:
            raise NotStruck(f"{partner} does not answer: {type(error).__name__}") from error
