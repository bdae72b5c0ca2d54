"""The rules of an order: commands, state, and `decide`."""

from capture.decider.rules import CannotCancel, decide
from capture.decider.state import INITIAL, State, evolve

__all__ = ["INITIAL", "CannotCancel", "State", "decide", "evolve"]
