"""S20, S21: secrets come by file or environment and show nowhere; a log line stays one line."""

import importlib
import io
import json
import logging
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from waybill import home as homes
from waybill import plan, programs
from waybill.programs import SERVICES
from waybill.simulation import system
from waybill_runtime import logs
from waybill_runtime.settings import ServiceSettings
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

ROOT = Path(__file__).parents[2]
CANARY = "canary-Zq7"
NAMES_OF_SECRETS = ("secret", "pepper", "password", "api_key", "token", "dsn", "database_url")
NO_SECRETS = {"page_token_limit"}


def settings_of(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_named_like_a_secret_is_kept_as_one_and_never_drawn(service: str) -> None:
    fields = settings_of(service).model_fields
    named = {name for name in fields if any(part in name for part in NAMES_OF_SECRETS)}
    kept = {name for name, field in fields.items() if field.annotation is SecretStr}
    assert named - NO_SECRETS <= kept
    given: dict[str, Any] = {name: SecretStr(f"whsec_{CANARY}") for name in kept}
    given |= {
        name: "http://x" for name, one in fields.items() if one.is_required() and name not in kept
    }
    made = settings_of(service)(**given)
    for drawn in (repr(made), str(made), repr(made.model_dump()), made.model_dump_json()):
        assert CANARY not in drawn
    with pytest.raises(ValidationError) as refused:
        settings_of(service)(**given, port=CANARY)
    assert CANARY not in str(refused.value)


def shop(tmp_path: Path) -> programs.Shop:
    names = (*SERVICES, "bus")
    roles = (*names, *map(programs.owner, names), "postgres")
    databases = {role: f"postgresql://{role}:{CANARY}@127.0.0.1:1/x" for role in roles}
    chosen = programs.Chosen(bus="postgres", warehouse="sandbox", databases=databases)
    ports = dict.fromkeys(programs.port_names("sandbox"), 1)
    return programs.Shop(chosen, programs.Secrets(homes.Home(tmp_path)), ports, "data")


def test_no_program_is_given_a_secret_as_an_argument(tmp_path: Path) -> None:
    """A command line can be read by every user of the machine."""
    made = shop(tmp_path)
    started = made.programs()
    known = json.loads((tmp_path / "secrets.json").read_text()).values()
    assert len(list(known)) > 8
    for program in started:
        for secret in (CANARY, *known):
            assert secret not in " ".join(program.command)
    given = [program for program in started if CANARY in repr(program.env)]
    assert {program.name for program in given} == set(SERVICES)
    # The owner's way in is for migrations: no program that serves is told it.
    assert not any("_owner" in repr(program.env) for program in started)


def test_the_plan_that_holds_all_secrets_tells_none_in_an_error() -> None:
    with pytest.raises(ValidationError) as refused:
        plan.Plan.model_validate({"services": CANARY, "bus_dsn": CANARY})
    assert CANARY not in str(refused.value)


def test_the_repository_holds_no_secret() -> None:
    """What looks like one is a development default that says so, or a test's own."""
    listed = subprocess.run(
        [
            "git",
            "-C",
            str(ROOT),
            "grep",
            "-nIE",
            "-e",
            PATTERN,
            "--",
            ":!*.lock",
            ":!tests",
            ":(glob,exclude)**/tests/**",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert listed.returncode in (0, 1), listed.stderr
    assert listed.stdout.splitlines() == []


PATTERN = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
    r"|sk_live_[A-Za-z0-9]|xox[abp]-[0-9]|AIza[0-9A-Za-z_-]{35}|wb_[0-9a-f]{8}_[A-Za-z0-9_-]{40,}"
    r"|whsec_[A-Za-z0-9+/]{32,}"
)


INJECTIONS = (
    'plain\r\n{"event": "forged"}',
    "\n\n\nforged",
    "a\x00b",
    "\x1b[31mred\x1b[0m",
    "\u2028\u2029\x85\x0b\x0c",
    '"}\n{"event": "forged"}',
    "%s %d {0} ${HOME}",
    "\ud800",
)


def test_whatever_is_logged_stays_one_line_of_json() -> None:
    written = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    before = structlog.get_config()
    try:
        with redirect_stdout(written):
            logs.configure("tested", "debug")
            log = structlog.get_logger("tested")
            for text in INJECTIONS:
                log.info("request", value=text, **{"key": [text]})
                log.info(text)
                logging.getLogger("other").warning("said %s", text)
                try:
                    raise ValueError(text)
                except ValueError:
                    log.exception("failed")
    finally:
        root.handlers, root.level = handlers, level
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()
    found = written.getvalue().split("\n")[:-1]
    assert len(found) == 4 * len(INJECTIONS)
    for line in found:
        told = json.loads(line)
        assert told["service"] == "tested"
        assert told["event"] != "forged"
        assert not any(ord(c) < 32 or c in "\x7f\x85\u2028\u2029" for c in line)


@pytest.fixture(scope="module")
def answered_id() -> Callable[[str], tuple[str, str]]:
    """Tells the request id of the answer to a request with this one, and all that was logged."""
    loop = SeededLoop.of(1)
    whole = system.make(World(), loop)
    loop.run(whole.begin())

    async def asked(given: str) -> httpx.Response:
        async with whole.wire.client("capture", {}) as http:
            return await http.get("/v1/orders", headers={b"X-Request-Id": given.encode()})

    def answered(given: str) -> tuple[str, str]:
        with capture_logs() as logged:
            answer = loop.run(asked(given))
        return answer.headers["x-request-id"], repr(logged)

    return answered


WORDS = ["a b", "a\tb", "x" * 65, "", "é", "a;b", "{}", "a\r\nb", "ok\n", "../../x"]
PEOPLE = ["+442079460000", "442079460000", "020-7946-0000", "ada@example.com", "0207.946.0000", "-"]


@pytest.mark.parametrize("given", [*WORDS, *PEOPLE])
def test_a_request_id_that_is_none_is_replaced(
    given: str, answered_id: Callable[[str], tuple[str, str]]
) -> None:
    answered, logged = answered_id(given)
    assert answered.startswith("req_")
    assert "\n" not in answered
    assert answered in logged
    assert given not in PEOPLE[:-1] or given not in logged


@pytest.mark.parametrize("given", ["550e8400-e29b-41d4-a716-446655440000", "Web-1_a.9", "x" * 64])
def test_a_request_id_of_the_callers_is_his_in_the_answer_and_in_the_log(
    given: str, answered_id: Callable[[str], tuple[str, str]]
) -> None:
    answered, logged = answered_id(given)
    assert answered == given
    assert given in logged
