"""The rules of a payment: commands, state, and `decide`."""

from payment.decider.rules import CannotRefund, decide
from payment.decider.state import INITIAL, State, evolve, is_under_way

__all__ = ["INITIAL", "CannotRefund", "State", "decide", "evolve", "is_under_way"]
