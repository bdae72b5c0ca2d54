"""The command on a system of stand-ins, with a real Postgres: up, crashes, down, clean."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from waybill import state
from waybill.embedded import place
from waybill.home import Home
from waybill.programs import ROLES, SERVICES
from waybill.testing import standin
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.http import auth

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


class Shop:
    """A folder with stand-ins in it, and the command run there."""

    def __init__(self, folder: Path, python: tuple[str, ...] = (sys.executable,)) -> None:
        self.folder = folder
        self.home = folder / ".waybill"
        self.python = python
        self.standins = standin.install(folder / "standins", SERVICES)
        self.env = {"PYTHONPATH": str(self.standins)}

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.endswith(("_PORT", "_URL"))}
        clean = {k: v for k, v in clean.items() if k not in ("BUS", "WAREHOUSE", "WAYBILL_HOME")}
        return subprocess.run(
            [*self.python, "-P", "-m", "waybill", *arguments],
            cwd=self.folder,
            env={**clean, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def up(self, *arguments: str, **env: str) -> None:
        answer = self.run("up", *arguments, **env)
        assert answer.returncode == 0, answer.stderr

    def state(self) -> state.State:
        return state.read(Home(self.home))

    def pid(self, name: str) -> int:
        found = self.state().programs[name].pid
        assert found is not None
        return found

    def supervisor_pid(self) -> int:
        found = self.state().supervisor.pid
        assert found is not None
        return found

    def status(self) -> dict[str, dict[str, object]]:
        answer = self.run("status", "--json")
        return {row["name"]: row for row in json.loads(answer.stdout)["programs"]}


async def scopes_at(shop: Shop, service: str, key: str) -> frozenset[str] | None:
    """What a service's own store says about a key; None when it is not let in."""
    env = standin.seen(shop.standins, service)[0].env
    prefix = f"{service.upper()}_"
    clock = SystemClock()
    store = await PostgresStore.open(env[f"{prefix}DATABASE_URL"], clock=clock, max_connections=2)
    try:
        await store.ping()
        found = await auth.KeyRing(store, clock, env[f"{prefix}KEY_PEPPER"]).principal(key)
        return None if found is None else found.scopes
    finally:
        await store.close()


def within(limit_s: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A running system in a folder with a space in its name."""
    folder = Path(tempfile.mkdtemp(prefix="waybill shop "))
    folder.chmod(0o711)
    made = Shop(folder)
    try:
        made.up()
        yield made
    finally:
        made.run("clean", "--yes")
        shutil.rmtree(folder)


def test_the_first_up_hands_every_program_what_it_needs(shop: Shop) -> None:
    served = standin.seen(shop.standins, "capture")[0].env
    assert served["CAPTURE_DATABASE_URL"].endswith("/capture")
    assert served["CAPTURE_DATABASE_URL"].startswith("postgresql://capture:")
    assert served["CAPTURE_BUS"] == "postgres"
    assert served["CAPTURE_BUS_DATABASE_URL"].endswith("/bus")
    payment = standin.seen(shop.standins, "payment")[-1].env
    gateway = standin.seen(shop.standins, "gateway")[-1].env
    assert payment["PAYMENT_GATEWAY_API_KEY"] == gateway["GATEWAY_API_KEY"]
    assert payment["PAYMENT_GATEWAY_WEBHOOK_SECRET"] == gateway["GATEWAY_WEBHOOK_SECRET"]
    assert f":{payment['PAYMENT_PORT']}/" in gateway["GATEWAY_CALLBACK_URL"]


async def test_dev_env_is_for_its_owner_and_names_working_keys(shop: Shop) -> None:
    file = shop.home / "dev.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    for role in ROLES:
        scopes = await scopes_at(shop, "tracking", values[f"{role.upper()}_KEY"])
        assert scopes == frozenset(auth.ROLES[role])
    assert await scopes_at(shop, "tracking", values["STOREFRONT_KEY"] + "x") is None
    for name in ("CAPTURE_URL", "MAIL_URL", "DATABASE_URL", "BUS", "KAFKA_BOOTSTRAP"):
        assert name in values
    secrets = shop.home / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600


def test_a_second_up_says_that_it_runs_and_another_bus_is_a_conflict(shop: Shop) -> None:
    before = shop.pid("capture")
    again = shop.run("up")
    assert again.returncode == 0
    assert "already runs" in again.stderr
    assert "capture" in again.stdout
    other = shop.run("up", "--bus", "kafka")
    assert other.returncode == 4
    assert "waybill down" in other.stderr
    assert shop.pid("capture") == before


def test_a_killed_service_is_started_again_within_two_seconds(shop: Shop) -> None:
    before = shop.state().programs["tracking"]
    pid = shop.pid("tracking")
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        now = shop.state().programs["tracking"]
        return now.ready and now.restarts == before.restarts + 1

    # How long its imports take is the machine's business; when it is started is ours.
    assert within(30.0, is_back)
    now = shop.state().programs["tracking"]
    assert now.created - killed_at < 2.0
    assert now.port == before.port
    told = (shop.home / "log" / "supervisor.log").read_text()
    says = f"tracking (pid {pid}) ended by SIGKILL; it is started again in 0.1 s"
    (line,) = [line for line in told.splitlines() if says in line]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.removesuffix(f" {says}"))


def test_a_killed_postgres_is_back_on_its_port(shop: Shop) -> None:
    before = shop.state().programs["postgres"]
    os.kill(shop.pid("postgres"), signal.SIGKILL)

    def is_back() -> bool:
        now = shop.state().programs["postgres"]
        return now.ready and now.pid != before.pid

    assert within(10.0, is_back)
    assert shop.status()["postgres"]["port"] == before.port


def test_status_sums_the_memory_of_every_process(shop: Shop) -> None:
    told = json.loads(shop.run("status", "--json").stdout)
    rss = [row["rss_mib"] for row in told["programs"]]
    assert len(rss) == 12
    assert all(mib > 0 for mib in rss)
    assert told["total"]["rss_mib"] == pytest.approx(sum(rss), abs=0.1)
    assert "total" in shop.run("status").stdout


def test_a_hung_postgres_is_not_ready_and_is_named_by_who_asks_it(shop: Shop) -> None:
    os.kill(shop.pid("postgres"), signal.SIGSTOP)
    try:
        row = shop.status()["postgres"]
        told = shop.run("status")
        audited = shop.run("audit")
    finally:
        os.kill(shop.pid("postgres"), signal.SIGCONT)
    assert (row["ready"], row["why"]) == (False, "no answer to a query within 3 s")
    assert told.returncode == 5
    assert "postgres: no answer to a query within 3 s" in told.stdout
    assert audited.returncode == 5
    assert re.search(r"the database of tracking, in \d+\.\d s", audited.stderr)
    assert within(10.0, lambda: bool(shop.status()["postgres"]["ready"]))
    assert shop.status()["postgres"]["why"] is None


def test_logs_are_shown_and_an_unknown_name_is_not_found(shop: Shop) -> None:
    assert "/readyz" in shop.run("logs", "capture", "-n", "2").stdout
    unknown = shop.run("logs", "nothing")
    assert unknown.returncode == 3
    assert "capture" in unknown.stderr


def test_one_service_stands_still_until_it_is_started_while_all_else_goes_on(shop: Shop) -> None:
    before = {name: one.pid for name, one in shop.state().programs.items()}
    deaths = shop.state().programs["tracking"].restarts
    starts = len(standin.seen(shop.standins, "payment"))

    stopped = shop.run("stop", "payment")
    assert stopped.returncode == 0, stopped.stderr
    assert not psutil.pid_exists(before["payment"] or 0)
    os.kill(shop.pid("tracking"), signal.SIGKILL)  # the supervisor still watches
    assert within(30.0, lambda: shop.state().programs["tracking"].restarts > deaths)
    assert within(30.0, lambda: shop.state().programs["tracking"].ready)
    row = shop.status()["payment"]
    assert (row["ready"], row["stopped"], row["pid"]) == (False, True, None)
    told = shop.run("status")
    assert told.returncode == 5
    assert "payment: it was stopped" in told.stdout
    assert "waybill start payment" in told.stdout
    assert len(standin.seen(shop.standins, "payment")) == starts

    started = shop.run("start", "payment")
    assert started.returncode == 0, started.stderr
    assert shop.state().programs["payment"].ready
    now = {name: one.pid for name, one in shop.state().programs.items()}
    assert {name for name, pid in now.items() if pid != before[name]} == {"payment", "tracking"}

    assert shop.run("stop", "payment").returncode == 0
    assert shop.run("up").returncode == 0
    assert shop.state().programs["payment"].ready
    unknown = shop.run("stop", "postgres")
    assert unknown.returncode == 3
    assert "capture" in unknown.stderr


def test_after_a_killed_supervisor_up_starts_anew_and_leaves_nobody_behind(shop: Shop) -> None:
    old = {name: one.pid for name, one in shop.state().programs.items()}
    os.kill(shop.supervisor_pid(), signal.SIGKILL)
    orphaned = shop.run("status")
    assert orphaned.returncode == 1
    assert "without it" in orphaned.stderr
    shop.up()
    assert not [name for name, pid in old.items() if pid and psutil.pid_exists(pid)]
    assert all(row["ready"] for row in shop.status().values())


def test_down_stops_all_keeps_data_and_ports_and_may_be_said_twice(shop: Shop) -> None:
    pids = [one.pid for one in shop.state().programs.values()]
    ports = (shop.home / "ports.json").read_text()
    assert shop.run("stop", "payment").returncode == 0
    assert shop.run("down").returncode == 0
    assert not [pid for pid in pids if pid and psutil.pid_exists(pid)]
    again = shop.run("down")
    assert again.returncode == 0
    assert "nothing runs" in again.stderr
    assert shop.run("status").returncode == 5
    shop.up("--warehouse", "none")
    assert shop.state().programs["payment"].ready
    assert "warehouse" not in shop.status()
    assert (shop.home / "ports.json").read_text() == ports
    assert shop.run("down").returncode == 0


def test_a_named_port_that_is_taken_is_told_with_its_owner(shop: Shop) -> None:
    shop.run("down")
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = str(mine.getsockname()[1])
        refused = shop.run("up", CAPTURE_PORT=port)
    assert refused.returncode == 4
    assert f"Port {port} (CAPTURE_PORT) is taken" in refused.stderr
    assert f"pid {os.getpid()}" in refused.stderr
    assert shop.run("status").returncode == 5


def test_a_service_that_keeps_dying_ends_up_with_its_last_words(shop: Shop) -> None:
    shop.run("down")
    broken = shop.run("up", STANDIN_BROKEN="carrier")
    assert broken.returncode == 5
    assert "carrier is broken on purpose" in broken.stderr
    assert "carrier keeps dying" in broken.stderr
    assert "carrier.log" in broken.stderr
    assert shop.run("status").returncode == 5


@as_root
def test_an_ordinary_user_runs_it_all_as_itself() -> None:
    """Where root's own Python is closed to others, the system's one runs our packages."""
    python = interpreter_for_everyone()
    if python is None:
        pytest.skip("no Python 3.11 or newer that an ordinary user may run")
    folder = Path(tempfile.mkdtemp(prefix="waybill user "))
    nobody = pwd.getpwnam("nobody")
    lent = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    shop = Shop(folder, (*lent, python))
    packages = os.pathsep.join([str(shop.standins), *sys.path[1:]])
    shop.env = {"PYTHONPATH": packages, "HOME": str(folder)}
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    try:
        shop.up()
        running = shop.state().programs.values()
        owners = {psutil.Process(one.pid).uids().effective for one in running}
        assert owners == {nobody.pw_uid}
        assert shop.run("down").returncode == 0
        assert shop.run("clean", "--yes").returncode == 0
    finally:
        shop.run("down")
        shutil.rmtree(folder)


def interpreter_for_everyone() -> str | None:
    """A Python of our own version that `nobody` can run."""
    name = f"python3.{sys.version_info.minor}"
    for folder in ("/usr/bin", "/usr/local/bin"):
        found = shutil.which(name, path=folder)
        lend = ["setpriv", "--reuid=65534", "--clear-groups", str(found), "-c", "import ssl"]
        if found and subprocess.run(lend, check=False, capture_output=True).returncode == 0:
            return found
    return None


@as_root
def test_a_shop_in_a_folder_that_only_root_reads_runs_and_is_cleaned_whole(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    shop = Shop(tmp_path / "closed")
    try:
        shop.up()
        told = " ".join(shop.state().notes)
        assert "keeps its data in" in told
        elsewhere = place.used(Home(shop.home))
        assert elsewhere is not None
    finally:
        shop.run("clean", "--yes")
    assert not elsewhere.exists()
    assert not shop.home.exists()


def test_clean_asks_first_and_then_drops_the_home_alone(shop: Shop) -> None:
    asked = shop.run("clean")
    assert asked.returncode == 2
    assert shop.home.exists()
    assert shop.run("clean", "--yes").returncode == 0
    assert not shop.home.exists()
    assert shop.standins.exists()


def test_a_folder_of_somebody_elses_is_never_taken_for_a_home(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("dear")
    stranger = Shop(tmp_path / "shop")
    for command in (("up",), ("clean", "--yes")):
        refused = stranger.run(*command, WAYBILL_HOME=str(tmp_path))
        assert refused.returncode == 2
    assert (tmp_path / "letters").read_text() == "dear"
