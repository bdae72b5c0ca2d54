"""Hostile events, in short: each is parked under its own key or passed by, and orders go on."""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import structlog

import bending
import events_day
import planting
import serving
from waybill import programs
from waybill.embedded.fixtures import TestPostgres
from waybill_runtime.bus import Message

PATIENCE_S = 300
EVENTS = 280
EVENTS_ON_KAFKA = 112
ORDERS = 6


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hostile_events_hold_nobody_up_and_change_nothing(seed: int) -> None:
    day = events_day.play(seed, 560)
    assert day.violations == []
    assert day.ways.keys() == {*bending.WAYS, "known before"}
    assert min(day.fates[fate] for fate in ("parked", "noted", "known")) > 0
    assert day.fates.total() == day.deliveries


def ascii_names(message: Message) -> Message:
    """The Postgres bus is written to by our own producers alone, which take no other names."""
    named = [(name.encode("ascii", "replace").decode(), raw) for name, raw in message.headers]
    return replace(message, headers=tuple(named))


async def strike(running: serving.Serving, sent: Sequence[bending.Hostile]) -> events_day.Day:
    """Send it all to a running system, and judge once everybody has taken it."""
    day = events_day.Day(events=len(sent))
    places = {
        name: events_day.Place(service, service.infrastructure)
        for name, service in running.services.items()
    }
    before = events_day.failed_parts()
    await events_day.send(places["capture"].on.bus, [one.message for one in sent])
    await events_day.caught_up(places, day)
    for place in places.values():
        await events_day.judge(place, sent, day)
    if events_day.failed_parts() != before:
        day.violations.append("a part of a service ended by an exception")
    return day


def hostile(running: serving.Serving, count: int) -> list[bending.Hostile]:
    """Made from what is on the bus by now."""
    bus = running.services["capture"].infrastructure.bus
    corpus = running.call(events_day.corpus_of(bus))
    return events_day.draw(random.Random(count), corpus, 0, count)


def check(running: serving.Serving, day: events_day.Day) -> None:
    assert day.violations == []
    assert min(day.fates[fate] for fate in ("parked", "noted", "known")) > 0
    planting.more(running, ORDERS, ORDERS)  # orders that come after all of it go on


@pytest.mark.postgres
@pytest.mark.timeout(PATIENCE_S)
def test_hostile_events_on_the_postgres_bus_hold_nobody_up(postgres: TestPostgres) -> None:
    names = [*programs.SERVICES, "bus"]
    databases = {name: postgres.create_database(f"bent_{name}") for name in names}
    with serving.serving(serving.on_postgres(databases, databases["bus"])) as running:
        planting.plant(running, ORDERS)
        sent = [replace(one, message=ascii_names(one.message)) for one in hostile(running, EVENTS)]
        check(running, running.call(strike(running, sent)))
    for name in names:
        postgres.drop_database(f"bent_{name}")


@pytest.mark.kafka
@pytest.mark.timeout(PATIENCE_S)
def test_hostile_events_on_kafka_hold_nobody_up(
    postgres: TestPostgres, kafka_bootstrap: str
) -> None:
    databases = {n: postgres.create_database(f"bent_kafka_{n}") for n in programs.SERVICES}
    with serving.serving(serving.on_kafka(databases, kafka_bootstrap)) as running:
        planting.plant(running, ORDERS)
        check(running, running.call(strike(running, hostile(running, EVENTS_ON_KAFKA))))
    for name in programs.SERVICES:
        postgres.drop_database(f"bent_kafka_{name}")
