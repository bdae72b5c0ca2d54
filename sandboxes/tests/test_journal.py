"""The journal file: what a crash in mid-write leaves, and who may write."""

import asyncio
import os
from pathlib import Path

import pytest

from waybill_sandboxes import journal, shell


def test_records_come_back_in_order_after_reopening(tmp_path: Path) -> None:
    file = journal.FileJournal(tmp_path / "deep" / "one.jsonl")
    for number in range(3):
        file.append({"n": number, "text": "naïve\nline"})
    file.close()

    again = journal.FileJournal(tmp_path / "deep" / "one.jsonl")

    assert [one["n"] for one in again.records()] == [0, 1, 2]
    assert [one["n"] for one in again.records(after=2)] == [2]
    assert list(again.records(after=3)) == []
    again.close()


@pytest.mark.parametrize("torn", [b'{"n":', b'{"n":1}', b"\xff"])
def test_a_torn_last_line_is_cut_and_writing_goes_on(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'{"n":0}\n' + torn)

    file = journal.FileJournal(path)
    file.append({"n": 7})
    file.close()

    assert path.read_bytes() == b'{"n":0}\n{"n":7}\n'


def test_damage_before_the_last_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'{"n":0}\nnot json\n{"n":2}\n')

    with pytest.raises(journal.JournalDamaged, match="line 2"):
        journal.FileJournal(path)


def test_two_owners_of_one_journal_are_refused(tmp_path: Path) -> None:
    file = journal.FileJournal(tmp_path / "one.jsonl")

    with pytest.raises(journal.JournalInUse):
        journal.FileJournal(tmp_path / "one.jsonl")
    file.close()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the file was each time it was brought to the disk."""
    lengths: list[int] = []

    def fsync(fd: int) -> None:
        lengths.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    return lengths


def test_closing_brings_what_was_appended_to_the_disk(tmp_path: Path, on_disk: list[int]) -> None:
    file = journal.FileJournal(tmp_path / "one.jsonl")
    file.append({"n": 0})
    file.close()
    assert on_disk == [len(b'{"n":0}\n')]


async def test_what_is_new_is_brought_to_the_disk_now_and_then(
    tmp_path: Path, on_disk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "SYNC_EVERY_S", 0.01)
    file = journal.FileJournal(tmp_path / "one.jsonl")
    file.append({"n": 0})
    syncing = asyncio.ensure_future(shell.syncing(file)())
    line = len(b'{"n":0}\n')
    async with asyncio.timeout(10):
        while not on_disk:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        file.append({"n": 1})
        while len(on_disk) < 2:
            await asyncio.sleep(0.01)
    assert on_disk == [line, 2 * line], "nothing was new in between"
    syncing.cancel()
    file.close()
