"""Runs one proof: a system of its own, a crowd, quiet, audit, evidence."""

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx

from waybill import ledger
from waybill import shop as shops
from waybill.audit import outside
from waybill.chaos import auditing, settling
from waybill.chaos.ground import Ground
from waybill.chaos.house import House
from waybill.chaos.load import Load
from waybill.chaos.recovery import Recovery
from waybill.programs import BusName
from waybill.proof import Proof
from waybill.prove import customers
from waybill.prove.customers import Tally
from waybill_runtime.adapters.http_client import HttpClient
from waybill_runtime.clock import Clock

Name = Literal["oversell", "double-submit", "gateway"]
Tell = Callable[[str], None]
Figures = dict[str, float]

STRUCK = "_struck"
TOP_UPS_MAX = 20
TOP_UP_PAUSE_S = 2.0
FACING_EXPIRY_S = "8"

LIES = {"timeout_after_charge": 0.3, "timeout_before_charge": 0.1, "stored_error": 0.05}
CALLBACK_LIES = {"duplicate_callbacks": 0.5, "reordered_callbacks": 0.5}
DEVIATIONS = 4
"""So many standard deviations below what is to be expected are too few lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a proof is to be. `units` are for sale; `posts` go out at once per key."""

    orders: int
    at_once: int
    rounds: int = 1
    units: int = 0
    posts: int = 1


SIZES: Mapping[Name, tuple[Size, Size]] = {
    "oversell": (
        Size(orders=120, units=20, at_once=40),
        Size(orders=10_000, units=1_000, at_once=200, rounds=5),
    ),
    "double-submit": (
        Size(orders=20, posts=10, at_once=4),
        Size(orders=1_000, posts=50, at_once=4),
    ),
    "gateway": (Size(orders=60, at_once=30), Size(orders=20_000, at_once=100)),
}
"""Short and full."""

SETTINGS: Mapping[Name, Mapping[str, str]] = {
    # A pending payment and its order's deadline come at the same time: late money and expiry race.
    "oversell": {
        "CAPTURE_UNPAID_ORDER_TTL_S": FACING_EXPIRY_S,
        "INVENTORY_HOLD_GRACE_S": "1",
        "GATEWAY_PENDING_S": FACING_EXPIRY_S,
    },
    "double-submit": {},
    "gateway": {
        "GATEWAY_FAULTS": json.dumps(LIES | CALLBACK_LIES),
        "CAPTURE_UNPAID_ORDER_TTL_S": "600",
    },
}


class _Tuned(House):
    """A house whose programs are told more."""

    def __init__(self, path: Path, bus: BusName, clock: Clock, more: Mapping[str, str]) -> None:
        super().__init__(path, bus, clock, proxied=False)
        self._more = more

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self._more}


_NO_LOOKS = {"I13": "its customers look at their orders, not at tracking pages"}
_ONE_POST = {"I15": "each of its keys is posted once"}
LEFT_OUT: Mapping[Name, Mapping[str, str]] = {
    "oversell": {**_NO_LOOKS, **_ONE_POST},
    "double-submit": _NO_LOOKS,
    "gateway": {**_NO_LOOKS, **_ONE_POST},
}
"""Guarantees that a proof need not show, each with the reason."""


@dataclass(slots=True)
class Stage:
    """What a proof plays on."""

    shop: shops.Shop
    house: House
    http: httpx.AsyncClient
    size: Size
    tell: Tell

    async def entries(self) -> Sequence[Mapping[str, Any]]:
        """The gateway's own ledger."""
        return await outside.gateway(self.house.system, self.http)

    async def struck(self) -> Mapping[str, int]:
        """How often each lie of the gateway struck, as it counts them itself."""
        answer = await self.http.get(f"{self.house.system.values['GATEWAY_URL']}/faults")
        struck: Mapping[str, int] = answer.raise_for_status().json()["struck"]
        return struck

    async def sold_out(self, sku: str) -> tuple[int, int]:
        """On hand, and held or allocated."""
        url = f"{self.house.system.values['INVENTORY_URL']}/v1/stock/{sku}"
        key = self.house.system.values["OPERATOR_KEY"]
        answer = await self.http.get(url, headers={"Authorization": f"Bearer {key}"})
        totals = answer.json()["totals"]
        return totals["on_hand"], totals["held"] + totals["allocated"]


async def prove(
    name: Name, path: Path, bus: BusName, clock: Clock, tell: Tell, *, full: bool
) -> Proof:
    """Run it.

    Raises:
        Failure: the system does not come up, a customer is not served, the audit breaks.
    """
    size = SIZES[name][full]
    house = _Tuned(path, bus, clock, SETTINGS[name])
    begun, begun_s = clock.now(), clock.monotonic_s()
    limits = httpx.Limits(max_connections=256)
    try:
        await house.open()
        book = ledger.Ledger(house.home.path / ledger.FOLDER / f"{name}.jsonl")
        async with HttpClient(timeout=30.0, trust_env=False, limits=limits) as http:
            shop = shops.Shop(http, house.system.values, book, clock)
            asked, reached = await PLAYS[name](Stage(shop, house, http, size, tell))
            load = Load(shop, book, clock, seed=1, first=1, at_once=1)
            ground = Ground(house, load, Recovery(http, clock, dict, set), http, clock)
            reached["quiet_s"], _ = await settling.settle(ground, tell)
            tell("auditing")
            audited = await auditing.audit(ground)
    finally:
        await house.close()
    asked["quiet_s"] = settling.QUIET_S
    return Proof(
        name=f"{name}-{bus}",
        command=f"waybill prove {name} --bus {bus}" + (" --full" if full else ""),
        seed=None,
        started_at=begun,
        duration_s=clock.monotonic_s() - begun_s,
        asked=asked,
        reached=reached,
        shortfalls=shortfalls(asked, reached),
        left_out=LEFT_OUT[name],
        findings=audited.findings,
        details={"settings": dict(SETTINGS[name]), "requests": shop.counts.requests},
    )


def shortfalls(asked: Figures, reached: Figures) -> Sequence[str]:
    """Every figure that is not what was asked; quiet may come sooner, more lies may strike."""
    return [
        f"{name}: {reached[name]:g} of {wanted:g}"
        for name, wanted in asked.items()
        if _is_short(name, reached[name], wanted)
    ]


def _is_short(name: str, reached: float, wanted: float) -> bool:
    if name == "quiet_s":
        return reached > wanted
    return reached < wanted if name.endswith(STRUCK) else reached != wanted


def fewest(draws: int, rate: float) -> float:
    """How many lies strike at the least, when each of these draws is one as often as said."""
    deviation = math.sqrt(draws * rate * (1 - rate))
    return float(max(1, math.floor(draws * rate - DEVIATIONS * deviation)))


async def _oversell(stage: Stage) -> tuple[Figures, Figures]:
    """Too many for too few; one in ten pays so late that its order may expire first.

    What an expiry sets free is sold to who comes after, until nothing is left.
    """
    size = stage.size
    wrong = expired = raced = sold = 0
    for number in range(size.rounds):
        sku = f"SCARCE-{number}"
        await customers.receive(stage.shop, f"scarce-{number}", sku, size.units)
        tally = Tally()
        wanted, first = size.orders, 0
        for _ in range(TOP_UPS_MAX):
            keys = [f"over-{number}-{n}" for n in range(first, first + wanted)]
            more = await customers.crowd(
                size.at_once,
                [
                    partial(customers.buy, stage.shop, key, sku, _late(n) if not first else _PLAIN)
                    for n, key in enumerate(keys)
                ],
                stage.tell,
            )
            tally.ended += more.ended
            first += wanted
            wanted = max(size.units - tally.statuses["completed"], 0)
            if not wanted:
                break
            await asyncio.sleep(TOP_UP_PAUSE_S)  # for what expired to be released
        statuses = tally.statuses
        stock = await stage.sold_out(sku)
        round_sold = statuses["completed"]
        wrong += round_sold != size.units or stock != (0, 0)
        sold += round_sold
        expired += statuses["expired"]
        raced += statuses["expired"] > 0
    asked = {
        "rounds": float(size.rounds),
        "units_sold": float(size.rounds * size.units),
        "rounds_not_exact": 0.0,
        "rounds_with_expiries": float(size.rounds),
    }
    reached = {
        "rounds": float(size.rounds),
        "units_sold": float(sold),
        "rounds_not_exact": float(wrong),
        "rounds_with_expiries": float(raced),
        "orders_expired": float(expired),
    }
    return asked, reached


_PLAIN = "tok_approve"


def _late(number: int) -> str:
    return "tok_pending" if number % 10 == 0 else _PLAIN


async def _double_submit(stage: Stage) -> tuple[Figures, Figures]:
    """Each key posted many times at once: one order, one answer, one capture."""
    size = stage.size
    await customers.receive(stage.shop, "doubled", "DOUBLED", size.orders)
    tally = await customers.crowd(
        size.at_once,
        [
            partial(customers.buy, stage.shop, f"twice-{n}", "DOUBLED", _PLAIN, posts=size.posts)
            for n in range(size.orders)
        ],
        stage.tell,
    )
    orders = {order_id for one in tally.ended for order_id in one.order_ids}
    captures = _approved(await stage.entries(), "capture")
    asked = {
        "keys": float(size.orders),
        "posts": float(size.orders * size.posts),
        "orders": float(size.orders),
        "captures": float(size.orders),
        "keys_answered_differently": 0.0,
        "orders_not_completed": 0.0,
    }
    reached = {
        "keys": float(len(tally.ended)),
        "posts": float(len(tally.ended) * size.posts),
        "orders": float(len(orders)),
        "captures": float(len(captures)),
        "keys_answered_differently": float(sum(one.answers != 1 for one in tally.ended)),
        "orders_not_completed": float(sum(one.status != "completed" for one in tally.ended)),
    }
    return asked, reached


async def _gateway(stage: Stage) -> tuple[Figures, Figures]:
    """A gateway that lies about what it did: each payment is resolved, and made once.

    Each payment is two requests at least, authorise and capture, and as many callbacks.
    """
    size = stage.size
    await customers.receive(stage.shop, "lies", "LIES", size.orders)
    tally = await customers.crowd(
        size.at_once,
        [
            partial(customers.buy, stage.shop, f"lied-to-{n}", "LIES", _PLAIN)
            for n in range(size.orders)
        ],
        stage.tell,
    )
    entries = await stage.entries()
    captures = _approved(entries, "capture")
    references = {entry["reference"] for entry in captures}
    owed = sum(one.total_minor for one in tally.ended if one.status == "completed")
    taken = sum(int(entry["amount_minor"]) for entry in captures)
    given_back = sum(int(e["amount_minor"]) for e in _approved(entries, "refund"))
    struck, lies = await stage.struck(), LIES | CALLBACK_LIES
    asked = {
        "payments": float(size.orders),
        "captured_twice": 0.0,
        "unresolved": 0.0,
        "minor_units_off": 0.0,
        **{f"{lie}{STRUCK}": fewest(2 * size.orders, rate) for lie, rate in lies.items()},
    }
    reached = {
        "payments": float(len(tally.ended)),
        "captured_twice": float(len(captures) - len(references)),
        "unresolved": float(size.orders - len(tally.ended)),
        "minor_units_off": float(abs(taken - given_back - owed)),
        **{f"{lie}{STRUCK}": float(struck.get(lie, 0)) for lie in lies},
        "completed": float(tally.statuses["completed"]),
    }
    return asked, reached


def _approved(entries: Sequence[Mapping[str, Any]], operation: str) -> Sequence[Mapping[str, Any]]:
    return [e for e in entries if (e["operation"], e["outcome"]) == (operation, "approved")]


PLAYS = {"oversell": _oversell, "double-submit": _double_submit, "gateway": _gateway}
