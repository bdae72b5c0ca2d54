"""Planted bugs: wrong variants of the real code for the proof to find; no product sees them."""

from bugs import (
    answering,
    consuming,
    paying,
    relaying,
    sending,
    serving,
    showing,
    storing,
)
from bugs.classical import CLASSICAL
from bugs.planting import BUGS, Bug, Edit

__all__ = [
    "BUGS",
    "CLASSICAL",
    "Bug",
    "Edit",
    "answering",
    "consuming",
    "paying",
    "relaying",
    "sending",
    "serving",
    "showing",
    "storing",
]
