"""The tokens of the sandbox gateway: each forces one behaviour, and no other token exists."""

from dataclasses import dataclass
from enum import StrEnum


class Lie(StrEnum):
    """How an answer misleads about what was done, as its probability is called."""

    NONE = "none"
    SLOW = "slow"
    TIMEOUT_BEFORE = "timeout_before_charge"
    TIMEOUT_AFTER = "timeout_after_charge"
    ERROR_BEFORE = "error_before_charge"
    STORED_ERROR = "stored_error"


#: Lies told before anything is done, once per idempotency key: a repeat then works.
BEFORE = frozenset({Lie.TIMEOUT_BEFORE, Lie.ERROR_BEFORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What an authorisation with this token, and a capture of it, come to."""

    decline_code: str | None = None
    pending: bool = False
    expires_fast: bool = False
    authorize_lie: Lie = Lie.NONE
    capture_lie: Lie = Lie.NONE
    capture_decline_code: str | None = None


BEHAVIOURS = {
    "tok_approve": Behaviour(),
    "tok_decline": Behaviour(decline_code="do_not_honor"),
    "tok_insufficient_funds": Behaviour(decline_code="insufficient_funds"),
    "tok_timeout_after_charge": Behaviour(authorize_lie=Lie.TIMEOUT_AFTER),
    "tok_timeout_before_charge": Behaviour(authorize_lie=Lie.TIMEOUT_BEFORE),
    "tok_error_once": Behaviour(authorize_lie=Lie.ERROR_BEFORE),
    "tok_stored_error": Behaviour(authorize_lie=Lie.STORED_ERROR),
    "tok_slow": Behaviour(authorize_lie=Lie.SLOW),
    "tok_capture_decline": Behaviour(capture_decline_code="do_not_honor"),
    "tok_capture_timeout_after_charge": Behaviour(capture_lie=Lie.TIMEOUT_AFTER),
    "tok_expires_fast": Behaviour(expires_fast=True),
    "tok_pending": Behaviour(pending=True),
    "tok_pending_decline": Behaviour(pending=True, decline_code="do_not_honor"),
}
