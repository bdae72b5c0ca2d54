"""The how-to pages name what exists: metrics, events, statuses, reasons, problems, commands."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from typer.models import CommandInfo

from waybill.__main__ import app
from waybill_events import capture
from waybill_events.catalogue import CATALOGUE
from waybill_runtime import metrics
from waybill_runtime.http.kinds import KINDS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/how-to").glob("*.md"))
STATUSES = {(kind, entry.status) for kind, entry in KINDS.items()}
SAID = r"(?:\.venv/bin/waybill|run --rm(?: -T)? operator| -- waybill)"
SERVICES = r"(?:capture|inventory|payment|fulfillment|notification)"


def sources() -> str:
    """Our own code, in which what a page names must stand."""
    folders = [ROOT / "libs/runtime/src", *(ROOT / "services").glob("*/src")]
    return "\n".join(p.read_text() for folder in folders for p in sorted(folder.rglob("*.py")))


def commands() -> Iterator[str]:
    """Every `waybill` command that there is, subcommands with their group."""
    for command in app.registered_commands:
        yield _name(command)
    for group in app.registered_groups:
        inner = group.typer_instance
        assert inner is not None
        for command in inner.registered_commands:
            yield f"{inner.info.name} {_name(command)}"


def _name(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or command.callback.__name__.replace("_", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_metrics_events_and_commands_that_exist(page: Path) -> None:
    text = page.read_text()
    told = Path(metrics.__file__).read_text()
    named = set(re.findall(r"\bwaybill_[a-z_]+[a-z]\b(?!/)", text)) - {"waybill_runtime"}
    assert {name for name in named if f'"{name}"' not in told} == set()
    types = set(re.findall(rf"\b{SERVICES}\.[a-z]+_[a-z_]+\b", text))
    assert {name for name in types if f"{name}.v1" not in CATALOGUE} == set()
    known = set(commands())
    for called in re.findall(rf"{SAID} ((?:parked |projections |keys )?[a-z-]+)", text):
        assert called in known, called


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_for_operators_leads_to_how_it_is_done_in_containers(page: Path) -> None:
    text = page.read_text()
    operates = r"\.venv/bin/waybill (?:parked|projections|keys|republish|restore-from-bus)"
    if re.search(operates, text):
        assert "(run-commands-in-containers.md" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_job_kinds_logs_and_links_that_exist(page: Path) -> None:
    text, code = page.read_text(), sources()
    for said in re.findall(r"log(?: line| bus)? `([a-z ]+)`", text):
        assert f'"{said}"' in code, said
    for status, kind in re.findall(r"\b([45]\d\d) `([a-z-]+)`", text):
        assert (kind, int(status)) in STATUSES, kind
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


def test_what_the_night_page_looks_at_shows_every_sign_that_it_knows() -> None:
    text = (ROOT / "docs/how-to/operate-at-three-in-the-morning.md").read_text()
    (wanted,) = re.findall(r"grep -E '([^']+)'", text)
    signs = set(re.findall(r"\| [^|]*\b(waybill_[a-z_]+)", text))
    assert {"waybill_bus_truncated_total", "waybill_store_set_back"} <= signs
    assert [sign for sign in sorted(signs) if not re.match(wanted, sign)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_calls_an_api_says_where_its_address_and_key_come_from(page: Path) -> None:
    first = re.search(r"\$(?:[A-Z]+_URL|OPERATOR_KEY)\b", text := page.read_text())
    assert first is None or "dev.env" in text[: first.start()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_for_operators_sends_nobody_to_a_source_file(page: Path) -> None:
    assert re.findall(r"`(?:libs|services|cli)/[^`]*`", page.read_text()) == []


def test_the_restore_page_finds_programs_that_fit_the_embedded_server_and_the_database() -> None:
    text = (ROOT / "docs/how-to/restore-a-backup.md").read_text()
    programs, database = (
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "DATABASE_URL": "postgresql://one@localhost:1/postgres"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for code in re.findall(r"-c '([^']+)'", text)
    )
    for name in re.findall(r'^"\$PROGRAMS/(\w+)"', text, re.MULTILINE):
        assert (Path(programs) / name).exists(), name
    assert database == "postgresql://one@localhost:1/payment"


def test_the_storefronts_page_knows_every_reason_that_we_give() -> None:
    text = (ROOT / "docs/how-to/sell-from-a-storefront.md").read_text()
    given = [
        *get_args(capture.RejectionReason),
        *get_args(capture.ExpiryReason),
        *get_args(capture.CancellationReason),
    ]
    assert [reason for reason in given if f"`{reason}`" not in text] == []
