"""A day of a shop on memory, under virtual time, while hostile events come in on every topic."""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

import bending
import planting
from bending import Hostile
from waybill import programs
from waybill.simulation import system
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_runtime.bus import Bus, Message
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.rebuild import Rebuild
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

WAVES = 4
ORDERS = 6
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """One service, as its owner looks at it."""

    service: Service
    on: Infrastructure


@dataclass(slots=True)
class Day:
    """What came of it."""

    events: int = 0
    deliveries: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    """Deliveries by what became of them, over the six consumers."""
    orders: int = 0
    violations: list[str] = field(default_factory=list)


def play(seed: int, events: int) -> Day:
    """One day with so many hostile events."""
    loop = SeededLoop.of(seed)
    with tempfile.TemporaryDirectory() as scratch:
        return loop.run(_play(loop, seed, events, Path(scratch)))


async def _play(loop: SeededLoop, seed: int, events: int, scratch: Path) -> Day:
    whole = system.make(World(seed), loop)
    dice = random.Random(seed)
    before = failed_parts()
    await whole.begin()
    helpers = [whole.work_warehouse(scratch), whole.carry_parcels()]
    await _receive(whole)
    ids = [await _place(whole, number) for number in range(ORDERS)]
    await _ended(whole, ids)
    places = {
        name: Place(whole.nodes[name].service, whole.world.infrastructure(name, "outsider"))
        for name in programs.SERVICES
    }
    bus = places["capture"].on.bus
    corpus = await corpus_of(bus)
    sent: list[Hostile] = []
    for wave in range(WAVES):
        some = draw(dice, corpus, len(sent), events // WAVES)
        sent += some
        await send(bus, [one.message for one in some])
        ids.append(await _place(whole, ORDERS + wave))
        await asyncio.sleep(dice.random())
    day = Day(events=len(sent), orders=len(ids))
    await _ended(whole, ids, day)
    await caught_up(places, day)
    day.ways.update(one.way for one in sent)
    for name, place in places.items():
        await judge(place, sent, day)
        await _compare(name, place, day)
    if failed_parts() != before:
        day.violations.append("a part of a service ended by an exception")
    for helper in helpers:
        helper.cancel()
    await whole.stop()
    return day


def draw(dice: random.Random, corpus: Sequence[Message], start: int, count: int) -> list[Hostile]:
    ways = list(bending.WAYS)
    found = []
    for number in range(start, start + count):
        way = number % (len(ways) + 1)
        if way == len(ways):
            found.append(bending.again(dice, corpus))
        else:
            found.append(bending.bend(dice, corpus, number, ways[way]))
    dice.shuffle(found)
    return found


# --- the shop ---------------------------------------------------------------------------------


async def _receive(whole: system.System) -> None:
    lines = [{"sku": sku, "quantity": 100_000} for sku in planting.SKUS]
    async with whole.client("inventory", **{"Idempotency-Key": "stock"}) as http:
        receipt = {"location": "main", "reference": "PO-1", "lines": lines}
        (await http.post("/v1/stock/receipts", json=receipt)).raise_for_status()


async def _place(whole: system.System, number: int) -> str:
    body: dict[str, Any] = {**planting.ORDER, "external_ref": f"good-{number}"}
    async with whole.client("capture", **{"Idempotency-Key": f"good-{number}"}) as http:
        answer = (await http.post("/v1/orders", json=body)).raise_for_status()
    return str(answer.json()["id"])


async def _statuses(whole: system.System, ids: Sequence[str]) -> Mapping[str, str]:
    async with whole.client("capture") as http:
        return {id_: (await http.get(f"/v1/orders/{id_}")).json()["status"] for id_ in ids}


async def _ended(whole: system.System, ids: Sequence[str], day: Day | None = None) -> None:
    """Wait until every order of the shop is completed, as each must be."""
    ends_s = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        statuses = await _statuses(whole, ids)
        if set(statuses.values()) == {"completed"}:
            return
        if asyncio.get_running_loop().time() > ends_s:
            break
        await asyncio.sleep(1)
    if day is None:
        raise TimeoutError(f"before any hostile event: {statuses}")
    day.violations += [
        f"{id_} is {status}" for id_, status in statuses.items() if status != "completed"
    ]


# --- the bus ----------------------------------------------------------------------------------


async def corpus_of(bus: Bus) -> list[Message]:
    """Every message that there is."""
    found = []
    for partition, (first, end) in (await bus.bounds(sorted(TOPICS))).items():
        found += [one.message for one in await bus.read(partition, first, end - first)]
    return found


async def send(bus: Bus, messages: Sequence[Message]) -> None:
    producer = await bus.producer()
    await producer.send(messages)
    await producer.close()


async def _behind(places: Mapping[str, Place]) -> list[str]:
    found = []
    for name, place in places.items():
        async with place.on.store.reading() as reading:
            positions = await reading.inbox.positions(name)
        bounds = await place.on.bus.bounds(SUBSCRIPTIONS[name])
        found += [
            f"{name} stands at {positions.get(partition, 0)} of {end} of {partition}"
            for partition, (_, end) in bounds.items()
            if positions.get(partition, 0) < end
        ]
    return found


async def caught_up(places: Mapping[str, Place], day: Day) -> None:
    """Wait until no consumer is behind on any partition: one that stays so is stuck."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + PATIENCE_S
    while (behind := await _behind(places)) and loop.time() < ends_s:
        await asyncio.sleep(1)
    day.violations += behind


# --- what became of it ------------------------------------------------------------------------


async def judge(place: Place, sent: Sequence[Hostile], day: Day) -> None:
    """Each hostile event was parked or passed by as its rule says, and nothing else was."""
    on, service = place.on, place.service
    name = service.blueprint.name
    mine = [one for one in sent if one.message.topic in SUBSCRIPTIONS[name]]
    day.deliveries += len(mine)
    wanted = [
        (one, fate_of(one, service.handles, is_strict=service.blueprint.strict)) for one in mine
    ]
    async with on.store.reading() as reading:
        parked = await reading.parking.parked(name, limit=1_000_000)
        noted = await reading.inbox.seen(name, {one.stream for one in mine})
        events = [event async for event in reading.streams.scan()]
    fates = Counter(fate for _, fate in wanted)
    day.fates.update(fates)
    if len(parked) != fates["parked"]:
        day.violations.append(f"{name} parked {len(parked)}, not {fates['parked']}")
    good = [row for row in parked if bending.MARK not in row.key and row.key]
    day.violations += [f"{name} parked {row.key}: {row.reason}" for row in good]
    day.violations += [f"{name} gives no reason for {row.key}" for row in parked if not row.reason]
    for one, fate in wanted:
        if (fate == "noted") != (noted.get(one.stream) == 1) and fate != "known":
            day.violations.append(f"{name}: {one.way} is not {fate}: {one.message.headers}")
    day.violations += [
        f"{name} recorded {event.type} for {event.key}"
        for event in events
        if bending.MARK in f"{event.key} {event.stream} {event.data}"
    ]


def fate_of(one: Hostile, handles: set[str], *, is_strict: bool) -> str:
    """What must become of it at a service that acts on these types."""
    match one.fate:
        case "unreadable":
            return "parked" if bending.header(one.message, "ce_type") in handles else "noted"
        case "stranger":
            return "parked" if is_strict else "noted"
        case fate:
            return fate


async def _compare(name: str, place: Place, day: Day) -> None:
    """A rebuild judges as the live consumer did."""
    on = place.on
    for view in place.service.blueprint.views:
        rebuild = Rebuild(view, consumer=name, store=on.store, bus=on.bus, ids=on.ids, switch=False)
        async for _ in rebuild.run():
            pass
        found = rebuild.comparison
        if found is None or found.live_hash != found.rebuilt_hash:
            day.violations.append(f"{name}'s view {view.name} is not its rebuild")


def failed_parts() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "waybill_part_failures"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
