"""A store that was set back is given what it said, and nothing that it never said."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from typer.testing import CliRunner, Result

from waybill import system
from waybill.__main__ import app
from waybill.embedded.fixtures import TestPostgres
from waybill.failure import CONFLICT, NOT_FOUND, USAGE, Failure
from waybill_events.catalogue import TOPICS
from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime import discarded, setback
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.relay import message
from waybill_runtime.stored import StreamWrite
from waybill_runtime.testing.world import recorded

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

STREAM = "default/preferences/cus_1"


def said(version: int, event_id: str = "") -> Recorded:
    fact = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)
    event = recorded(fact, stream=STREAM, version=version, topic="notifications", key="cus_1")
    return replace(event, event_id=event_id or f"e{version}")


@pytest.fixture
def shop(postgres: TestPostgres) -> Iterator[None]:
    """Two events that notification lost, the first of which tracking took, and two forged ones.

    One of these claims the place of the second, one comes after it and was given up in tracking.
    """
    names = {name: f"restoring_{name}" for name in ("notification", "tracking", "bus")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HOME", "/nonexistent")
        patch.setenv("BUS", "postgres")
        for name, database in names.items():
            patch.setenv(f"{name.upper()}_DATABASE_URL", postgres.create_database(database))
        patch.setenv("NOTIFICATION_KEY_PEPPER", "pepper")
        patch.setenv("NOTIFICATION_CAPTURE_URL", "http://127.0.0.1:1")
        patch.setenv("NOTIFICATION_CAPTURE_KEY", "key")
        patch.delenv("DATABASE_URL", raising=False)
        asyncio.run(_fill(system.find(None)))
        before = structlog.get_config()
        yield
        structlog.configure(**before)  # the command logs to a stream that is closed with it
    for database in names.values():
        postgres.drop_database(database)


async def _fill(found: system.System) -> None:
    for name in ("notification", "tracking"):
        await migrate.upgrade(found.dsn(name))
    forged = said(3, "forged-3")
    async with found.connect("tracking") as on:
        await on.bus.ensure_topics(sorted(TOPICS))
        producer = await on.bus.producer()
        events = (said(1), said(2), said(2, "forged-2"), forged)
        await producer.send([message(event) for event in events])
        await producer.close()
        async with on.store.transaction() as transaction:
            await transaction.inbox.mark("tracking", {STREAM: 1})
            gone = {"event": {"event_id": forged.event_id, "version": forged.version}}
            await discarded.keep(transaction, "tracking", forged, gone)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["restore-from-bus", "--service", "notification", *arguments])


def refused(*arguments: str) -> tuple[Failure, list[str]]:
    """Why, and what was shown before."""
    told = run(*arguments)
    assert isinstance(told.exception, Failure), told.exception
    return told.exception, [" ".join(line.split()) for line in told.stdout.splitlines()]


async def _stands_at() -> tuple[int, bool]:
    """How far the store is, and whether its service would start halted."""
    async with system.find(None).connect("notification") as on:
        async with on.store.reading() as reading:
            version = (await reading.streams.load([STREAM], lock=False))[STREAM].version
        return version, bool(await setback.is_set_back(on.store, on.bus, ["notifications"]))


def test_what_was_lost_is_shown_with_who_took_it_and_what_was_forged_is_left_out_by_its_id(
    shop: None,
) -> None:
    asked, shown = refused()
    assert asked.code == USAGE
    assert "Was a backup restored" in asked.remedy
    assert "`waybill audit` first" in asked.remedy
    assert asked.lines[0].startswith("3 events will be appended to the store of notification")
    assert asked.lines[1].startswith("1 of them were taken by no service that reads them")
    kind = "notification.contact_preference_changed.v1 2026-01-01 00:00:00Z"
    assert shown == [
        f"+ e1 {STREAM}@1 {kind} taken by tracking",
        f"+ e2 {STREAM}@2 {kind} taken by none of tracking",
        f"+ forged-3 {STREAM}@3 {kind} given up in tracking",
        f"? forged-2 {STREAM}@2 {kind} taken by none of tracking, claims a place of another",
    ]
    asked, shown = refused("--without", "e1", "--reason", "not ours")
    assert asked.lines[0].startswith("0 events will be appended")
    assert [(line[:4], line.rpartition(", ")[2]) for line in shown[1:]] == [
        ("- e2", "follows what is left out"),
        ("- fo", "follows what is left out"),
    ]
    doubted, _ = refused("--yes")
    assert doubted.code == CONFLICT
    assert "1 claim a place of another, 1 were given up" in doubted.what
    assert refused("--yes", "--without", "forged-2")[0].code == USAGE
    without = ("--yes", "--reason", "not ours", "--without", "forged-2")
    assert "0 claim a place of another, 1 were given up" in refused(*without)[0].what
    assert refused(*without, "--without", "e9")[0].code == NOT_FOUND
    assert asyncio.run(_stands_at()) == (0, True)
    told = run(*without, "--without", "forged-3").stdout.splitlines()
    assert told[-1] == "notification: 2 events are back (2 of preferences), 2 left out"
    assert asyncio.run(_stands_at()) == (2, False)
    assert refused("--yes")[0].code == NOT_FOUND


def test_a_store_that_has_gone_on_otherwise_is_given_nothing_until_that_is_settled(
    shop: None,
) -> None:
    async def go_on() -> None:
        async with (
            system.find(None).connect("notification") as on,
            on.store.transaction() as transaction,
        ):
            other = [said(1, "other-1"), said(2, "other-2")]
            await transaction.streams.append([StreamWrite(STREAM, 0, other)])

    asyncio.run(go_on())
    for arguments in ((), ("--yes",)):
        told, shown = refused(*arguments)
        assert told.code == CONFLICT
        assert "says 3 otherwise" in told.what
        assert "restore the same backup once more" in told.remedy
        assert [line[:4] for line in shown if line.endswith("the store says another there")] == [
            "! e1",
            "! e2",
            "! fo",
        ]
    ids = ("e1", "e2", "forged-2", "forged-3")
    without = [each for one in ids for each in ("--without", one)]
    done = run("--yes", "--reason", "not ours", *without).stdout.splitlines()
    assert done[-1] == "notification: 0 events are back (none), 4 left out"
