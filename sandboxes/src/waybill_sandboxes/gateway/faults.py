"""The gateway's probabilistic lies, all drawn from one seeded source."""

from pydantic import Field

from waybill_sandboxes import callbacks, clock
from waybill_sandboxes.gateway.tokens import Lie


class Faults(callbacks.CallbackFaults):
    """How often the gateway lies; each a probability in [0, 1]. The default never does."""

    timeout_before_charge: float = Field(0.0, ge=0, le=1)
    timeout_after_charge: float = Field(0.0, ge=0, le=1)
    error_before_charge: float = Field(0.0, ge=0, le=1)
    stored_error: float = Field(0.0, ge=0, le=1)


def draw(faults: Faults, dice: clock.Dice) -> Lie:
    """The lie of one request: at most one, tried in the order written here."""
    for lie, probability in (
        (Lie.TIMEOUT_BEFORE, faults.timeout_before_charge),
        (Lie.ERROR_BEFORE, faults.error_before_charge),
        (Lie.TIMEOUT_AFTER, faults.timeout_after_charge),
        (Lie.STORED_ERROR, faults.stored_error),
    ):
        if dice.roll() < probability:
            return lie
    return Lie.NONE
