"""The command far from any home: what the environment says, secrets in files, and who acts."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill import record, system
from waybill.__main__ import app
from waybill.failure import UNAVAILABLE, USAGE, Failure
from waybill_runtime.settings import SECRETS_DIR

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
CHANGES = (
    ("parked", "retry", "ord_1"),
    ("parked", "discard", "ord_1", "--reason", "not ours"),
    ("parked", "repair", "1", "--data", "/dev/null", "--reason", "it was 2"),
    ("projections", "rebuild", "orders"),
    ("keys", "add", "--name", "till", "--role", "storefront"),
    ("keys", "rotate", "1f00ba42"),
    ("keys", "revoke", "1f00ba42"),
)


@pytest.fixture(autouse=True)
def _in_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No home, and nothing said yet."""
    for name in os.environ:
        if name.endswith(("_URL", "_KEY", "_PEPPER")) or name in (*system.NAMED, "WAYBILL_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv(SECRETS_DIR, str(folder))
    return folder


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is a number, as in an image."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_secrets_are_read_from_files_as_the_services_read_theirs(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "CAPTURE_DATABASE_URL").write_text("postgresql://file/capture\n")
    (secrets / "PAYMENT_DATABASE_URL").write_text("postgresql://file/payment\n")
    (secrets / "PAYMENT_KEY_PEPPER").write_text("pepper\n")
    (secrets / "..data").mkdir()
    monkeypatch.setenv("PAYMENT_DATABASE_URL", "postgresql://variable/payment")
    found = system.find(None)
    assert found.dsn("capture") == "postgresql://file/capture"
    assert found.dsn("payment") == "postgresql://variable/payment"
    assert found.values["PAYMENT_KEY_PEPPER"] == "pepper"


def test_secrets_that_are_not_mounted_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRETS_DIR, "/nowhere/secrets")
    with pytest.raises(Failure, match="/nowhere/secrets") as told:
        system.find(None)
    assert told.value.code == USAGE


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({"CAPTURE_DATABASE_URL": ""}, "where the database of bus is"),
        ({"BUS": "kafka"}, "where Kafka is"),
        ({"BUS": "kafka", "KAFKA_BOOTSTRAP": "k:9092", "KAFKA_REPLICATION": "x"}, "not x"),
        ({"BUS": "kafka", "KAFKA_BOOTSTRAP": "k:9092"}, "where the database of capture is"),
    ],
)
def test_what_nobody_said_is_named(
    said: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)

    async def main() -> None:
        async with system.find(None).connect("capture"):
            pass

    with pytest.raises(Failure, match=missing):
        asyncio.run(main())


def test_topics_made_anew_have_the_copies_that_the_services_give_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, int]] = []

    class Kafka:
        def __init__(self, bootstrap: str, *, replication: int) -> None:
            made.append((bootstrap, replication))

        async def close(self) -> None:
            """Nothing was opened."""

    monkeypatch.setattr("waybill_runtime.adapters.kafka.bus.KafkaBus", Kafka)
    for name, value in (("BUS", "kafka"), ("KAFKA_BOOTSTRAP", "k:9092")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CAPTURE_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/capture")

    async def main() -> None:
        async with system.find(None).connect("capture"):
            pass

    for copies in ("3", ""):
        monkeypatch.setenv("KAFKA_REPLICATION", copies)
        with pytest.raises(Failure, match="capture") as told:
            system.run(main())
        assert "reached from here" in told.value.remedy
    assert made == [("k:9092", 3), ("k:9092", 1)]


@pytest.mark.parametrize("words", CHANGES, ids=lambda words: "-".join(words[:2]))
def test_nothing_that_is_kept_with_a_name_is_done_by_nobody(
    words: tuple[str, ...], nameless: None
) -> None:
    refused = CliRunner().invoke(app, list(words)).exception
    assert isinstance(refused, Failure)
    assert "who you are" in refused.what
    assert refused.code == USAGE


def test_user_says_who_acts_where_accounts_are_numbers(
    nameless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "operator-ann")
    assert record.who() == "operator-ann"


def test_status_without_a_home_asks_the_services_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = b'{"detail": "The store was set back."}'

    async def said(*words: str) -> tuple[int, str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            ok = line.startswith(b"GET /well/readyz ")
            head = b"HTTP/1.1 200 OK\r\n" if ok else b"HTTP/1.1 503 Service Unavailable\r\n"
            writer.write(head + f"Content-Length: {len(problem)}\r\n\r\n".encode() + problem)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            at = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            monkeypatch.setenv("CAPTURE_URL", f"{at}/well")
            monkeypatch.setenv("PAYMENT_URL", f"{at}/ill")
            monkeypatch.setenv("TRACKING_URL", "http://127.0.0.1:1")
            answer = await asyncio.to_thread(CliRunner().invoke, app, ["status", *words])
            return answer.exit_code, answer.stdout

    code, text = asyncio.run(said("--json"))
    rows = {row["name"]: row for row in json.loads(text)["programs"]}
    assert code == UNAVAILABLE
    assert {name: row["ready"] for name, row in rows.items()} == {
        "capture": True,
        "payment": False,
        "tracking": False,
    }
    assert rows["payment"]["why"] == "The store was set back."
    assert rows["tracking"]["why"]
    code, text = asyncio.run(said())
    assert code == UNAVAILABLE
    assert "payment: The store was set back." in text
