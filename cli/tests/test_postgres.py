"""An embedded Postgres survives what machines do to it."""

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from waybill.embedded import account, place, server
from waybill.embedded.postgres import EmbeddedPostgres
from waybill.home import Home

pytestmark = pytest.mark.postgres
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends Postgres another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a space in its name that every user can walk through."""
    made = Path(tempfile.mkdtemp(prefix="waybill test "))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def running(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "home")
    server.start()
    yield server
    server.stop("immediate")
    server.drop()


def test_it_comes_back_with_its_data_and_port_after_kill_9(running: EmbeddedPostgres) -> None:
    running.create_database("kept", owner="kept", password="secret")
    port, pid = running.port, running.pid()
    running.kill()
    assert not running.ready()
    running.start()
    assert running.pid() != pid
    assert running.port == port
    assert server.version(server.into(running.dsn(), "kept", user="kept", password="secret"))


def test_starting_and_stopping_twice_is_the_same_as_once(running: EmbeddedPostgres) -> None:
    pid = running.pid()
    running.start()
    assert running.pid() == pid
    again = EmbeddedPostgres(running.place)
    assert again.pid() == pid
    again.stop()
    again.stop()
    assert running.pid() is None


def test_a_stale_pid_file_that_names_a_stranger_is_not_believed(running: EmbeddedPostgres) -> None:
    running.stop()
    stale = running.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{running.data}\n0\n0\n\n\n\nready\n")
    running.account.own(stale)
    assert running.pid() is None
    assert not running.ready()
    stale.write_text(f"999999\n{running.data}\n0\n0\n\n\n\nready\n")
    running.start()
    assert running.ready()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_what_it_says_is_committed_is_on_the_disk(
    running: EmbeddedPostgres, setting: str
) -> None:
    connection = await asyncpg.connect(running.dsn())
    try:
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    finally:
        await connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux syncs a whole file system")
async def test_after_a_crash_the_file_system_is_synced_at_once(running: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(running.dsn())
    try:
        assert await connection.fetchval("SHOW recovery_init_sync_method") == "syncfs"
    finally:
        await connection.close()


def test_only_its_user_reads_the_data_and_only_we_the_password(running: EmbeddedPostgres) -> None:
    assert running.room.stat().st_mode & 0o077 == 0
    assert (running.room / "password").stat().st_mode & 0o077 == 0
    assert psutil.Process(running.pid()).uids().real != 0


@as_root
def test_a_home_that_only_root_reads_has_its_data_elsewhere(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    closed = EmbeddedPostgres(folder / "closed" / "home")
    try:
        closed.start()
        home = Home(folder / "closed" / "home")
        assert closed.place in place.outside(home)
        assert "keeps its data" in closed.notes[0]
        assert EmbeddedPostgres(home.path).place == closed.place
    finally:
        closed.stop("immediate")
        closed.drop()
    assert not closed.place.exists()


@as_root
def test_root_lends_an_account_that_is_not_root() -> None:
    lent = account.unprivileged()
    assert lent.uid == pwd.getpwnam(lent.name).pw_uid
    assert lent.uid != 0
