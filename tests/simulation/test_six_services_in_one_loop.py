"""The whole system in one process: orders go all the way while nodes die and messages repeat.

Everything runs for real but store, bus, gateway, carrier and mail, which are the memory adapters.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from waybill import programs
from waybill.audit.evidence import Finding
from waybill.audit.oracles import judge
from waybill.ledger import Polled, Posted
from waybill.simulation import evidence, system
from waybill_runtime.adapters.memory.broker import NoFaults
from waybill_runtime.bus import Message, Partition
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World
from waybill_sandboxes.warehouse.plan import Behaviour

TERMINAL = ("completed", "rejected", "expired", "cancelled")
TOKENS = (
    "tok_approve",
    "tok_approve",
    "tok_decline",
    "tok_timeout_after_charge",
    "tok_timeout_before_charge",
    "tok_stored_error",
    "tok_capture_timeout_after_charge",
    "tok_pending",
)
SKUS = ("plenty", "scarce", "short")


class Repeats(NoFaults):
    """A bus that says things twice and now and then starts a little further back."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.repeated = 0

    def copies(self, node: str, message: Message) -> int:
        again = self._random.random() < 0.1
        self.repeated += again
        return 2 if again else 1

    def rewinds(self, node: str, partition: Partition) -> int:
        return 3 if self._random.random() < 0.005 else 0


structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@dataclass
class Day:
    """What a simulated day came to."""

    statuses: dict[str, str] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    killed: int = 0
    repeated: int = 0
    trace: str = ""


def order(number: int, dice: random.Random) -> dict[str, object]:
    lines = [
        {"sku": sku, "name": sku.title(), "quantity": dice.randint(1, 3), "unit_price_minor": 250}
        for sku in dice.sample(SKUS, dice.randint(1, 2))
    ]
    return {
        "external_ref": f"ref-{number}",
        "currency": "GBP",
        "customer": {"email": "buyer@example.com", "phone": "+442079460000"},
        "shipping_address": {
            "name": "A. Buyer",
            "line1": "1 High Street",
            "city": "London",
            "postal_code": "N1 9GU",
            "country_code": "GB",
        },
        "lines": lines,
        "shipping": {"option": "standard", "price_minor": 495},
        "payment": {"method": "card", "token": dice.choice(TOKENS)},
        "allow_partial": dice.random() < 0.3,
    }


class Client:
    """A storefront: posts, sometimes cancels, looks, and writes down what it saw."""

    def __init__(self, running: system.System, seed: int, count: int) -> None:
        self._running = running
        self._dice = random.Random(seed)
        self._count = count
        self.ids: list[str] = []
        self.seen: list[Posted | Polled] = []

    async def shop(self) -> None:
        for number in range(self._count):
            body = order(number, self._dice)
            order_id = await self._post(f"key-{number}", body)
            self.ids.append(order_id)
            if self._dice.random() < 0.2:
                await asyncio.sleep(self._dice.random())
                await self._cancel(number, order_id)
            await asyncio.sleep(self._dice.random() * 0.5)

    async def _post(self, key: str, body: dict[str, object]) -> str:
        """Post until there is an answer, with one key, as a good client does."""
        while True:
            async with self._running.client("capture", **{"Idempotency-Key": key}) as http:
                try:
                    answer = await http.post("/v1/orders", json=body)
                except OSError:
                    answer = None
                except Exception as error:  # a node that is down refuses the connection
                    if "is down" not in str(error):
                        raise
                    answer = None
            if answer is not None and answer.status_code == 201:
                order_id = str(answer.json()["id"])
                self.seen.append(
                    Posted(key=key, status=201, order_id=order_id, body_sha256=answer.text)
                )
                return order_id
            assert answer is None or answer.status_code in (409, 503), answer.text
            await asyncio.sleep(0.3)

    async def _cancel(self, number: int, order_id: str) -> None:
        headers = {"Idempotency-Key": f"cancel-{number}", "If-Match": "*"}
        if "capture" in self._running.nodes:
            async with self._running.client("capture", **headers) as http:
                await http.post(f"/v1/orders/{order_id}/cancel", json={})

    async def statuses(self) -> dict[str, str]:
        async with self._running.client("capture") as http:
            return {
                order_id: (await http.get(f"/v1/orders/{order_id}")).json()["status"]
                for order_id in self.ids
            }


async def _kill_now_and_then(running: system.System, seed: int, day: Day, times: int) -> None:
    dice = random.Random(seed + 1)
    for _ in range(times):
        await asyncio.sleep(0.3 + dice.random())
        victim = dice.choice(programs.SERVICES)
        running.kill(victim)
        day.killed += 1
        await asyncio.sleep(0.2 + dice.random())
        running.start(victim)


async def _stock(running: system.System) -> None:
    for location, shelf in (
        ("main", {"plenty": 500, "scarce": 6, "short": 40}),
        ("north", {"plenty": 10, "scarce": 3, "short": 1}),
    ):
        lines = [{"sku": sku, "quantity": units} for sku, units in shelf.items()]
        headers = {"Idempotency-Key": f"receipt-{location}"}
        async with running.client("inventory", **headers) as http:
            body = {"location": location, "reference": "PO-1", "lines": lines}
            answer = await http.post("/v1/stock/receipts", json=body)
            assert answer.status_code < 300, answer.text


async def a_day(loop: SeededLoop, seed: int, scratch: Path, *, orders: int, kills: int) -> Day:
    """Open the shop, sell, break things, wait for quiet, audit."""
    day, faults = Day(), Repeats(seed)
    world = World(seed, lease_s=2.0)
    world.broker.faults = faults
    running = system.make(world, loop, Behaviour(short_skus={"short": 1}))
    await running.begin()
    await _stock(running)
    outside = [running.work_warehouse(scratch), running.carry_parcels()]
    client = Client(running, seed, orders)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.shop())
        group.create_task(_kill_now_and_then(running, seed, day, kills))
    for _ in range(600):
        day.statuses = await client.statuses()
        if all(status in TERMINAL for status in day.statuses.values()):
            break
        await asyncio.sleep(1)
    await asyncio.sleep(60)  # for timers, retries and messages still under way
    day.statuses = await client.statuses()
    day.findings = judge(await evidence.gather(running, client.seen))
    day.repeated = faults.repeated
    for task in outside:
        task.cancel()
    await running.stop()
    return day


def simulate(seed: int, scratch: Path, *, orders: int = 12, kills: int = 8) -> Day:
    (scratch / "cursor").unlink(missing_ok=True)
    loop = SeededLoop.of(seed)
    day = loop.run(a_day(loop, seed, scratch, orders=orders, kills=kills))
    day.trace = loop.trace
    return day


@pytest.mark.parametrize("seed", range(6))
def test_orders_end_well_though_nodes_die_and_messages_repeat(seed: int, tmp_path: Path) -> None:
    day = simulate(seed, tmp_path)
    assert day.killed == 8
    assert day.repeated > 0
    assert set(day.statuses.values()) <= set(TERMINAL)
    assert [
        (finding.guarantee, finding.violations[:3])
        for finding in day.findings
        if finding.verdict == "violated"
    ] == []
    checked = {finding.guarantee for finding in day.findings if finding.verdict == "holds"}
    assert checked >= {f"I{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15)}


def test_the_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    first, second = (
        simulate(7, tmp_path, orders=6, kills=4),
        simulate(7, tmp_path, orders=6, kills=4),
    )
    assert first.trace == second.trace
    assert first.statuses == second.statuses


def test_another_seed_gives_another_trace(tmp_path: Path) -> None:
    one, other = simulate(1, tmp_path, orders=2, kills=1), simulate(2, tmp_path, orders=2, kills=1)
    assert one.trace != other.trace
