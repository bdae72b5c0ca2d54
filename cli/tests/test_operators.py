"""The operators' commands on real databases: export, projections, parked keys, audit."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from waybill import registry, system
from waybill.__main__ import app
from waybill.embedded.fixtures import TestPostgres
from waybill.failure import NOT_FOUND, UNAVAILABLE, USAGE, Failure
from waybill_events.catalogue import TOPICS
from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.bus import Partition
from waybill_runtime.relay import message
from waybill_runtime.stored import Document, Parked, StreamWrite
from waybill_runtime.testing.world import recorded

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

FACT = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)

NONSENSE = "ValueError: this is no event, and what says so is longer than\none line"
CONFUSED = ("inventory", "tracking")
"""Who parked it."""


def said(version: int, key: str = "cus_1") -> Recorded:
    stream = f"default/preferences/{key}"
    return recorded(FACT, stream=stream, version=version, topic="notifications", key=key)


@pytest.fixture(scope="module")
def shop(postgres: TestPostgres) -> Iterator[None]:
    """Six databases and a bus; notification said three things, the third is not taken yet."""
    names = {name: f"operators_{name}" for name in (*registry.SERVICES, "bus")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HOME", "/nonexistent")
        patch.setenv("BUS", "postgres")
        for name, database in names.items():
            patch.setenv(f"{name.upper()}_DATABASE_URL", postgres.create_database(database))
        for name in CONFUSED:
            patch.setenv(f"{name.upper()}_KEY_PEPPER", "pepper")
        for variable in ("DATABASE_URL", "GATEWAY_URL", "CARRIER_URL", "MAIL_URL"):
            patch.delenv(variable, raising=False)
        found = system.find(None)
        asyncio.run(_fill(found))
        yield
    for database in names.values():
        postgres.drop_database(database)


async def _fill(found: system.System) -> None:
    for name in registry.SERVICES:
        await migrate.upgrade(found.dsn(name))
    events = [said(1), said(2), said(1, "cus_2")]
    async with found.connect("notification") as on:
        await on.bus.ensure_topics(sorted(TOPICS))
        producer = await on.bus.producer()
        await producer.send([message(event) for event in events])
        await producer.close()
        async with on.store.transaction() as transaction:
            await transaction.streams.append(
                [
                    StreamWrite("default/preferences/cus_1", 0, events[:2]),
                    StreamWrite("default/preferences/cus_2", 0, events[2:]),
                ]
            )
    async with found.connect("tracking") as on, on.store.transaction() as transaction:
        await transaction.parking.park("tracking", [_parked(said(2), 1), _parked(said(1), 2)])


def _parked(event: Recorded, offset: int) -> Parked:
    sent = message(event)
    return Parked(
        position=0,
        tenant=event.tenant,
        key=event.key,
        reason="ArithmeticError: cannot be applied",
        partition=Partition(sent.topic, 0),
        offset=offset,
        headers=sent.headers,
        value=sent.value,
        parked_at=event.occurred_at,
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_every_event_is_a_cloud_event_on_a_line_of_its_own(shop: None) -> None:
    answer = run("events", "export")
    assert answer.exit_code == 0, answer.output
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    places = [(one["stream"], one["streamversion"]) for one in lines]
    one, two = "default/preferences/cus_1", "default/preferences/cus_2"
    assert places == [(one, 1), (one, 2), (two, 1)]
    assert lines[0]["specversion"] == "1.0"
    assert lines[0]["type"] == FACT.TYPE
    assert lines[0]["data"] == FACT.model_dump()
    assert run("events", "export", "--service", "capture").stdout == ""


def test_projections_are_listed_with_their_lag_and_verified(shop: None) -> None:
    rows = json.loads(run("projections", "list", "--json").stdout)
    by_view = {row["view"]: row for row in rows}
    assert by_view["timeline"]["lag"] == 3
    assert by_view["orders"]["lag"] == 0
    assert run("projections", "verify", "tokens").exit_code == 0


def test_a_view_that_differs_fails_its_verification(shop: None) -> None:
    async def falsify() -> None:
        async with system.find(None).connect("capture") as on, on.store.transaction() as at:
            await at.documents.put("default", "orders", {"ord_x": Document("{}")})

    async def mend() -> None:
        async with system.find(None).connect("capture") as on, on.store.transaction() as at:
            await at.documents.drop("default", "orders", ["ord_x"])

    asyncio.run(falsify())
    try:
        answer = run("projections", "verify", "orders")
        assert answer.exit_code == 1
        assert "DIFFERS" in answer.stdout
    finally:
        asyncio.run(mend())


def test_a_rebuild_makes_the_next_generation_live(shop: None) -> None:
    assert run("projections", "rebuild", "tokens").exit_code == 0
    rows = json.loads(run("projections", "list", "--json", "--service", "tracking").stdout)
    assert {row["view"]: row["generation"] for row in rows}["tokens"] == 2


def test_an_audit_names_the_parked_and_says_what_it_could_not_have(shop: None) -> None:
    answer = run("audit", "--json")
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    found = {one["guarantee"]: one for one in told["guarantees"]}
    assert found["I9"]["verdict"] == "holds"
    assert found["I8"]["looked_at"]["read models"] > 0
    assert (found["I8"]["violations"], found["I8"]["unseen"]) == ([], ["documents"])
    assert found["I11"]["violations"] == [
        {
            "guarantee": "I11",
            "what": "parked",
            "ids": ["tracking", "notifications/0"],
            "text": "tracking has parked 2 deliveries of notifications/0",
        }
    ]
    assert found["I14"]["missing"] == ["the services' logs"]
    behind = [f"tracking is {n} behind on notifications/{at}" for n, at in ((2, 8), (1, 11))]
    assert set(behind) < {one["text"] for one in found["I10"]["violations"]}


def test_a_database_of_another_release_is_told_before_anything_is_read(
    shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waybill_runtime.adapters.postgres.schema.serves", lambda revision: False)
    with pytest.raises(Failure, match=r"the database of capture, .*the schema is at") as told:
        run_plainly("parked", "list")
    assert told.value.code == UNAVAILABLE


def test_parked_keys_are_listed_shown_retried_and_gone(shop: None) -> None:
    (row,) = json.loads(run("parked", "list", "--json").stdout)
    assert (row["service"], row["key"], row["count"]) == ("tracking", "cus_1", 2)
    assert row["tenant"] == "default"
    shown = json.loads(run("parked", "show", str(row["position"])).stdout)
    assert (shown["tenant"], shown["headers"]["ce_type"]) == ("default", FACT.TYPE)
    assert shown["value"] == FACT.model_dump()
    with pytest.raises(Failure) as unknown:
        run_plainly("parked", "retry", "nothing")
    assert unknown.value.code == NOT_FOUND
    with pytest.raises(Failure) as without:
        run_plainly("parked", "discard", "cus_1", "--reason", " ")
    assert without.value.code == USAGE
    answer = run_plainly("parked", "retry", "cus_1")
    assert "2 applied, 0 known already, 0 left" in answer.stdout
    assert json.loads(run("parked", "list", "--json").stdout) == []


def test_a_keyless_message_parked_everywhere_is_given_up_with_one_command(shop: None) -> None:
    asyncio.run(_park_nonsense())
    listed = run("parked", "list").stdout
    assert listed.count("(none)") == len(CONFUSED) + 1, listed
    assert "name it with an empty key: waybill parked retry ''" in listed
    with pytest.raises(Failure) as many:
        run_plainly("parked", "discard", "", "--reason", "nonsense")
    assert many.value.what == "(none) is parked in inventory, tracking."
    assert "--all-services" in many.value.remedy
    everywhere = ("parked", "discard", "", "--reason", "nonsense", "--all-services")
    with pytest.raises(Failure) as both:
        run_plainly(*everywhere, "--service", "tracking")
    assert both.value.code == USAGE
    gone = run_plainly(*everywhere).stdout
    assert gone.splitlines() == [f"{name} (none): discarded orders/0 offset 7" for name in CONFUSED]
    assert json.loads(run("parked", "list", "--json").stdout) == []


def test_what_is_parked_is_listed_with_one_line_for_each_thing_to_read(shop: None) -> None:
    asyncio.run(_park_nonsense())
    try:
        lines = run("parked", "list", "--service", "tracking").stdout.splitlines()
        head, row, reason = lines[:3]
        assert head.split() == ["service", "key", "count", "oldest", "position"]
        assert row.split()[:3] == ["tracking", "(none)", "1"]
        assert len(row) <= 80
        assert reason == "  " + " ".join(NONSENSE.split())
    finally:
        run_plainly("parked", "discard", "", "--reason", "nonsense", "--all-services")


async def _park_nonsense() -> None:
    nonsense = replace(_parked(said(1, ""), 7), partition=Partition("orders", 0), reason=NONSENSE)
    for name in CONFUSED:
        async with system.find(None).connect(name) as on, on.store.transaction() as transaction:
            await transaction.parking.park(name, [nonsense])


def run_plainly(*arguments: str) -> Result:
    """Raises what the command raised, as `main` would get it."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)
