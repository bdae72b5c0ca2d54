"""The rules of an order's fulfillment: commands, state, and `decide`."""

from fulfillment.decider.rules import WrongQuantities, WrongState, decide
from fulfillment.decider.state import INITIAL, State, evolve

__all__ = ["INITIAL", "State", "WrongQuantities", "WrongState", "decide", "evolve"]
