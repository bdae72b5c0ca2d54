"""S2, S22: an operator adds, lists, rotates and revokes keys, and each of it leaves a line."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from typer.testing import CliRunner

from waybill import registry, system
from waybill.__main__ import app
from waybill.embedded.fixtures import TestPostgres
from waybill.failure import NOT_FOUND, USAGE, Failure
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.http.auth import ROLES, KeyRing, Principal

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def shop(postgres: TestPostgres) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYBILL_HOME", "/nonexistent")
        patch.setenv("BUS", "postgres")
        patch.delenv("DATABASE_URL", raising=False)
        for name in (*registry.SERVICES, "bus"):
            patch.setenv(f"{name.upper()}_DATABASE_URL", postgres.create_database(f"keys_{name}"))
            patch.setenv(f"{name.upper()}_KEY_PEPPER", f"pepper of {name}")
        for name in registry.SERVICES:
            asyncio.run(migrate.upgrade(system.find(None).dsn(name)))
        yield
    for name in (*registry.SERVICES, "bus"):
        postgres.drop_database(f"keys_{name}")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command sends its logs to a stderr that is gone after it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def said(*arguments: str) -> tuple[str, list[dict[str, object]]]:
    """What a command prints, and what it leaves on record."""
    ran = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("{")]
    return ran.stdout.strip(), [line for line in lines if str(line["event"]).startswith("key ")]


def refused(*arguments: str) -> Failure:
    with pytest.raises(Failure) as caught:
        CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    return caught.value


def at(service: str, key: str) -> Principal | None:
    """Who a key is to a service that was started just now."""

    async def asked() -> Principal | None:
        async with system.find(None).connect(service) as on:
            return await KeyRing(on.store, on.clock, f"pepper of {service}").principal(key)

    return asyncio.run(asked())


def test_a_key_is_made_rotated_and_revoked_and_is_on_record_throughout(shop: None) -> None:
    key, told = said("add", "--name", "shop A", "--role", "storefront", "--days", "30")
    key_id = key.split("_")[1]
    assert [line["event"] for line in told] == ["key added"] * len(registry.SERVICES)
    for service in registry.SERVICES:
        found = at(service, key)
        assert found is not None
        assert found.scopes == set(ROLES["storefront"])

    now = datetime.now(UTC)
    new, told = said("rotate", key_id, "--overlap-h", "1")
    assert {line["event"] for line in told} == {"key added", "key ends"}
    assert at("capture", key) is not None
    assert at("capture", new) is not None
    said("revoke", key_id)
    for service in registry.SERVICES:
        assert at(service, key) is None
        assert at(service, new) is not None

    listed = json.loads(said("list", "--json")[0])
    assert {row["id"] for row in listed} == {key_id, new.split("_")[1]}
    ended = {row["id"]: row["expires_at"] for row in listed}
    assert ended[key_id] is not None
    assert datetime.fromisoformat(ended[new.split("_")[1]]) - now > timedelta(days=29)
    assert key_id in said("list", "--service", "capture")[0]
    everything = json.dumps([listed, told])
    for one in (key, new):
        assert one.split("_", 2)[2] not in everything
    assert refused("rotate", key_id).code == NOT_FOUND


def test_a_rotated_key_ends_when_the_old_one_would_have_unless_it_is_told_otherwise(
    shop: None,
) -> None:
    def ends(key: str) -> list[datetime | None]:
        rows = json.loads(said("list", "--json")[0])
        mine = [row["expires_at"] for row in rows if row["id"] == key.split("_")[1]]
        return [end and datetime.fromisoformat(end) for end in mine]

    now = datetime.now(UTC)
    first = said("add", "--name", "shop B", "--role", "storefront", "--days", "9")[0]
    moved = said("rotate", first.split("_")[1], "--overlap-h", "1")[0]
    (end,) = set(ends(moved))
    assert end is not None
    assert timedelta(days=9) - timedelta(minutes=5) < end - now < timedelta(days=9, minutes=5)
    later = said("rotate", moved.split("_")[1], "--days", "90")[0]
    assert all(e and e - now > timedelta(days=89) for e in ends(later))
    endless = said("add", "--name", "shop C", "--role", "stock:read", "--service", "capture")[0]
    assert ends(said("rotate", endless.split("_")[1])[0]) == [None]


def test_a_scope_or_a_key_that_is_none_is_told(shop: None) -> None:
    assert "no scope" in refused("add", "--name", "x", "--role", "storefronts").what
    assert refused("add", "--name", "x", "--role", "all").code == USAGE
    for verb in ("rotate", "revoke"):
        assert refused(verb, "unknown0").code == NOT_FOUND


def test_a_key_may_be_let_in_by_one_service_alone_with_one_scope(shop: None) -> None:
    key, _ = said("add", "--name", "till", "--role", "stock:read", "--service", "inventory")
    found = at("inventory", key)
    assert found is not None
    assert found.scopes == {"stock:read"}
    assert at("capture", key) is None
