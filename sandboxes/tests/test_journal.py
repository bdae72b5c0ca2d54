"""The journal file: what a crash in mid-write leaves, and who may write."""

from pathlib import Path

import pytest

from waybill_sandboxes import journal


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
