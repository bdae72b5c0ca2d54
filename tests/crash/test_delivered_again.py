"""A case that is to deliver everything again fails when it did not."""

import pytest

from crash_again import Again

ALL = {"messages": 7, "commands": 2, "jobs": 3}


def lacking(**changes: int) -> str:
    owed = {"messages": 1, "commands": 2, "jobs": 3}
    return Again({**ALL, **changes}, owed, ()).lacking


def test_all_that_was_owed_was_delivered_again() -> None:
    assert lacking() == ""
    assert Again({"messages": 1, "jobs": 0}, {"messages": 1, "jobs": 0}, ()).lacking == ""


@pytest.mark.parametrize("what", ALL)
def test_what_was_not_delivered_again_is_said(what: str) -> None:
    assert lacking(**{what: 0}).startswith("delivered again: 0 of")
    assert what in lacking(**{what: 0})
