"""Operators mend what broke, on real databases: a parked event repaired, a lost bus refilled."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from waybill import registry, system
from waybill.__main__ import app
from waybill.commands import republish
from waybill.embedded.fixtures import TestPostgres
from waybill.failure import CONFLICT, FAILED, USAGE, Failure
from waybill_events.catalogue import TOPICS
from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.bus import Partition
from waybill_runtime.relay import message
from waybill_runtime.stored import Parked, StreamWrite
from waybill_runtime.testing.world import recorded

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

FACT = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)


def said(version: int) -> Recorded:
    stream = "default/preferences/cus_1"
    return recorded(FACT, stream=stream, version=version, topic="notifications", key="cus_1")


@pytest.fixture
def shop(postgres: TestPostgres) -> Iterator[None]:
    """Six databases and a bus; notification said two things and sent them."""
    names = {name: f"repairing_{name}" for name in (*registry.SERVICES, "bus")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HOME", "/nonexistent")
        patch.setenv("BUS", "postgres")
        for name, database in names.items():
            patch.setenv(f"{name.upper()}_DATABASE_URL", postgres.create_database(database))
        patch.setenv("TRACKING_KEY_PEPPER", "pepper")
        for variable in ("DATABASE_URL", "GATEWAY_URL", "CARRIER_URL", "MAIL_URL"):
            patch.delenv(variable, raising=False)
        asyncio.run(_fill(system.find(None)))
        yield
    for database in names.values():
        postgres.drop_database(database)


async def _fill(found: system.System) -> None:
    for name in registry.SERVICES:
        await migrate.upgrade(found.dsn(name))
    events = [said(1), said(2)]
    async with found.connect("notification") as on:
        await on.bus.ensure_topics(sorted(TOPICS))
        producer = await on.bus.producer()
        await producer.send([message(event) for event in events])
        await producer.close()
        async with on.store.transaction() as transaction:
            await transaction.streams.append([StreamWrite(events[0].stream, 0, events)])
            rows = await transaction.streams.unpublished(10)
            await transaction.streams.published([row.position for row in rows])


def run(*arguments: str) -> Result:
    """Raises what the command raised, as `main` would get it."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


async def _park(*events: Recorded, is_sound: bool = False) -> None:
    """The first version with a body that fits no type, unless all of them are sound."""
    parked = [
        Parked(
            position=0,
            tenant=event.tenant,
            key=event.key,
            reason="InvalidEvent: customer_ref",
            partition=Partition(event.topic, 0),
            offset=event.version,
            headers=message(event).headers,
            value=b'{"customer_ref": 7}'
            if event.version == 1 and not is_sound
            else message(event).value,
            parked_at=event.occurred_at,
        )
        for event in events
    ]
    async with system.find(None).connect("tracking") as on, on.store.transaction() as transaction:
        await transaction.parking.park("tracking", parked)


def test_a_repaired_event_and_what_stood_behind_it_are_taken_in_order(
    shop: None, tmp_path: Path
) -> None:
    asyncio.run(_park(said(1), said(2)))
    (row,) = json.loads(run("parked", "list", "--json").stdout)
    file = tmp_path / "body.json"
    place = ("parked", "repair", str(row["position"]), "--data", str(file), "--reason", "typo")
    file.write_text('{"customer_ref": "c"}')
    with pytest.raises(Failure) as unfit:
        run(*place)
    assert unfit.value.code == USAGE
    file.write_text(FACT.model_dump_json())
    lines = run(*place).stdout.splitlines()
    assert lines == [
        "tracking cus_1: repaired",
        "tracking cus_1: 2 applied, 0 known already, 0 left",
    ]
    assert json.loads(run("parked", "list", "--json").stdout) == []


def test_an_event_that_no_store_has_said_is_shown_as_such_and_not_repaired(
    shop: None, tmp_path: Path
) -> None:
    file = tmp_path / "body.json"
    file.write_text(FACT.model_dump_json())
    asyncio.run(_park(said(1), replace(said(1), event_id="forged"), replace(said(2), version=1)))
    parked = json.loads(run("parked", "list", "--json").stdout)[0]["position"]
    for position, in_store in ((parked, True), (parked + 1, False), (parked + 2, False)):
        place = (str(position), "--service", "tracking")
        shown = CliRunner().invoke(app, ["parked", "show", *place])
        assert json.loads(shown.stdout)["in_store"] is in_store
        if not in_store:
            with pytest.raises(Failure, match="No store has said") as refused:
                run("parked", "repair", *place, "--data", str(file), "--reason", "typo")
            assert refused.value.code == CONFLICT
            assert "discard" in refused.value.remedy


def test_what_is_given_up_takes_no_place_from_the_event_that_stands_behind_it(
    shop: None,
) -> None:
    forged = replace(said(1), event_id="forged")
    asyncio.run(_park(forged))
    asyncio.run(_park(said(1), said(2), is_sound=True))
    place = ("cus_1", "--reason", "not ours", "--service", "tracking")
    assert run("parked", "discard", *place).stdout.endswith("discarded notifications/0 offset 1\n")
    assert asyncio.run(_stands_at()) == 0
    told = run("parked", "retry", "cus_1").stdout
    assert told == "tracking cus_1: 2 applied, 0 known already, 0 left\n"
    assert asyncio.run(_stands_at()) == 2
    asyncio.run(_park(said(1), is_sound=True))
    asyncio.run(_park(forged))
    told = run("parked", "retry", "cus_1").stdout
    assert told == "tracking cus_1: 0 applied, 2 known already, 0 left\n"


async def _stands_at() -> int:
    async with system.find(None).connect("tracking") as on, on.store.reading() as reading:
        return (await reading.inbox.seen("tracking", [said(1).stream])).get(said(1).stream, 0)


async def _lose() -> None:
    connection = await asyncpg.connect(system.find(None).dsn("bus"))
    await connection.execute("TRUNCATE bus_log; UPDATE bus_partition SET next_offset = 0")
    await connection.close()


def test_a_bus_is_refilled_only_when_it_was_lost_and_somebody_says_yes(
    shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republish, "STUCK_S", 0.5)
    monkeypatch.setattr(republish, "LOOK_EVERY_S", 0.5)
    with pytest.raises(Failure) as whole:
        run("republish", "--yes")
    assert whole.value.code == CONFLICT
    assert whole.value.what == "The bus has lost nothing: all 2 events are there."
    asyncio.run(_lose())
    with pytest.raises(Failure) as asked:
        run("republish")
    assert asked.value.code == USAGE
    assert asked.value.lines[0] == "The bus lacks 2 events of notification."
    with pytest.raises(Failure) as no_relay:
        run("republish", "--yes")
    assert no_relay.value.code == FAILED
    assert no_relay.value.what == "2 events still wait for their relays."


async def _on_bus_alone(event: Recorded) -> None:
    async with system.find(None).connect("notification") as on:
        producer = await on.bus.producer()
        await producer.send([message(event)])
        await producer.close()


def test_a_bus_that_alone_has_what_a_store_lost_is_not_cut_off(shop: None) -> None:
    asyncio.run(_on_bus_alone(said(9)))  # it follows nothing: somebody else's
    with pytest.raises(Failure) as whole:
        run("republish", "--yes")
    assert "has lost nothing" in whole.value.what
    asyncio.run(_on_bus_alone(said(3)))
    with pytest.raises(Failure) as refused:
        run("republish", "--yes", "--force")
    assert refused.value.code == CONFLICT
    assert "notification (1 events)" in refused.value.what
