"""A card gateway in this process, for simulators and tests: deterministic, with a ledger.

Its tokens force the same behaviours as the sandbox gateway's. What it lies about is told by `lie`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from payment.ports import Answer, Authorized, Declined, Done, NotFound, Pending, Unknown
from waybill_runtime.clock import Clock

TTL = timedelta(days=7)
TTL_FAST = timedelta(seconds=3)
PENDING = timedelta(seconds=1)
NO_ANSWER = Unknown(detail="no answer in time")


class Lie(StrEnum):
    """How a call goes wrong: before anything is done, or after."""

    NONE = "none"
    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    STORED_ERROR = "stored_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an authorisation with this token, and captures and refunds of it, come to.

    `captures_late`: so many captures are declined for now before one is made.
    """

    declined: Declined | None = None
    capture_declined: Declined | None = None
    captures_late: int = 0
    refund_declined: Declined | None = None
    authorize_lie: Lie = Lie.NONE
    capture_lie: Lie = Lie.NONE
    is_pending: bool = False
    ttl: timedelta = TTL


TOKENS = {
    "tok_approve": Token(),
    "tok_decline": Token(declined=Declined(code="do_not_honor")),
    "tok_insufficient_funds": Token(declined=Declined(code="insufficient_funds")),
    "tok_try_again_later": Token(declined=Declined(code="try_again_later", retryable=True)),
    "tok_timeout_after_charge": Token(authorize_lie=Lie.LOST_ANSWER),
    "tok_timeout_before_charge": Token(authorize_lie=Lie.LOST_REQUEST),
    "tok_error_once": Token(authorize_lie=Lie.LOST_REQUEST),
    "tok_stored_error": Token(authorize_lie=Lie.STORED_ERROR),
    "tok_capture_decline": Token(capture_declined=Declined(code="do_not_honor")),
    "tok_capture_try_again": Token(captures_late=1),
    "tok_refund_decline": Token(refund_declined=Declined(code="card_closed")),
    "tok_capture_timeout_after_charge": Token(capture_lie=Lie.LOST_ANSWER),
    "tok_expires_fast": Token(ttl=TTL_FAST),
    "tok_pending": Token(is_pending=True),
    "tok_pending_decline": Token(is_pending=True, declined=Declined(code="do_not_honor")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger: an operation that was decided.

    `released_minor`: what a final capture let go of beside what it took. `expires_at`: until when
    an authorisation holds.
    """

    operation: str
    outcome: str
    idempotency_key: str
    reference: str
    amount_minor: int
    currency: str
    authorization_id: str
    released_minor: int = 0
    expires_at: datetime | None = None


@dataclass(slots=True)
class _Hold:
    token: Token
    amount_minor: int
    currency: str
    expires_at: datetime
    decided_at: datetime
    captured_minor: int = 0
    released_minor: int = 0
    refunded_minor: int = 0
    declined_for_now: int = 0

    @property
    def open_minor(self) -> int:
        return self.amount_minor - self.captured_minor - self.released_minor


class MemoryGateway:
    """`PaymentGateway` in memory. `lie(operation, key)` is asked before each call is decided."""

    def __init__(
        self, clock: Clock, lie: Callable[[str, str], Lie] = lambda _, __: Lie.NONE
    ) -> None:
        self.ledger: list[Entry] = []
        self._clock = clock
        self._lie = lie
        self._holds: dict[str, _Hold] = {}
        self._done: dict[str, Answer] = {}
        self._errors: set[str] = set()
        self._asked: set[str] = set()

    async def authorize(
        self, key: str, *, reference: str, amount_minor: int, currency: str, token: str
    ) -> Answer:
        behaviour = TOKENS.get(token)
        if behaviour is None or amount_minor <= 0 or len(currency) != 3:
            return Declined(code="invalid_request")
        now = self._clock.now()
        authorization_id = f"ga:{key}"

        def decide() -> Answer:
            self._holds[authorization_id] = _Hold(
                token=behaviour,
                amount_minor=amount_minor,
                currency=currency,
                expires_at=now + behaviour.ttl,
                decided_at=now + PENDING if behaviour.is_pending else now,
            )
            return behaviour.declined or Authorized(
                authorization_id=authorization_id, expires_at=now + behaviour.ttl
            )

        entry = Entry(
            operation="authorize",
            outcome="",
            idempotency_key=key,
            reference=reference,
            amount_minor=amount_minor,
            currency=currency,
            authorization_id=authorization_id,
            expires_at=now + behaviour.ttl,
        )
        return self._call(entry, behaviour.authorize_lie, decide)

    async def capture(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int, final: bool
    ) -> Answer:
        def take(hold: _Hold) -> Answer:
            if self._clock.now() >= hold.expires_at:
                return Declined(code="authorization_expired")
            if amount_minor > hold.open_minor:
                return Declined(code="refused")
            if hold.token.capture_declined is not None:
                return hold.token.capture_declined
            if hold.declined_for_now < hold.token.captures_late:
                hold.declined_for_now += 1
                return Declined(code="try_again_later", retryable=True)
            hold.captured_minor += amount_minor
            if final:
                hold.released_minor += hold.open_minor
            return Done()

        return self._on_hold(
            "capture", key, authorization_id, reference, amount_minor, take, final=final
        )

    async def void(self, key: str, authorization_id: str, *, reference: str) -> Answer:
        def release(hold: _Hold) -> Answer:
            if self._clock.now() >= hold.expires_at:
                return Declined(code="authorization_expired")
            if not hold.open_minor:
                return Declined(code="nothing_to_void")
            hold.released_minor += hold.open_minor
            return Done()

        hold = self._holds.get(authorization_id)
        amount_minor = hold.open_minor if hold is not None else 0
        return self._on_hold("void", key, authorization_id, reference, amount_minor, release)

    async def refund(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int
    ) -> Answer:
        def give_back(hold: _Hold) -> Answer:
            if amount_minor > hold.captured_minor - hold.refunded_minor:
                return Declined(code="refused")
            if hold.token.refund_declined is not None:
                return hold.token.refund_declined
            hold.refunded_minor += amount_minor
            return Done()

        return self._on_hold("refund", key, authorization_id, reference, amount_minor, give_back)

    async def lookup(self, key: str) -> Answer | NotFound:
        return self._told(key) if key in self._done else NotFound()

    async def close(self) -> None:
        """Nothing to let go of."""

    def _on_hold(
        self,
        operation: str,
        key: str,
        authorization_id: str,
        reference: str,
        amount_minor: int,
        decide: Callable[[_Hold], Answer],
        *,
        final: bool = False,
    ) -> Answer:
        hold = self._holds.get(authorization_id)
        if hold is None:
            return Declined(code="not_found")
        if self._clock.now() < hold.decided_at:
            return Unknown(detail="the authorisation is pending")
        if hold.token.declined is not None:
            return Declined(code="authorization_not_approved")
        entry = Entry(
            operation=operation,
            outcome="",
            idempotency_key=key,
            reference=reference,
            amount_minor=amount_minor,
            currency=hold.currency,
            authorization_id=authorization_id,
            released_minor=max(0, hold.open_minor - amount_minor) if final else 0,
        )
        forced = hold.token.capture_lie if operation == "capture" else Lie.NONE
        return self._call(entry, forced, lambda: decide(hold))

    def _call(self, entry: Entry, forced: Lie, decide: Callable[[], Answer]) -> Answer:
        """Decide once per key; a token's lie is told at the first call of a key alone."""
        key = entry.idempotency_key
        if key in self._done:
            return NO_ANSWER if key in self._errors else self._told(key)
        is_first = key not in self._asked
        self._asked.add(key)
        lie = forced if is_first and forced is not Lie.NONE else self._lie(entry.operation, key)
        if lie is Lie.LOST_REQUEST:
            return NO_ANSWER
        answer = self._done[key] = decide()
        outcome = "approved"
        if isinstance(answer, Declined):
            refused = entry.operation == "void" or answer.code in REFUSALS
            outcome = "failed" if refused else "declined"
        self.ledger.append(replace(entry, outcome=outcome))
        if lie is Lie.STORED_ERROR:
            self._errors.add(key)
        return self._told(key) if lie is Lie.NONE else NO_ANSWER

    def _told(self, key: str) -> Answer:
        answer = self._done[key]
        hold = self._holds.get(f"ga:{key}")
        if hold is not None and self._clock.now() < hold.decided_at:
            return Pending()
        return answer


REFUSALS = frozenset({"authorization_expired", "refused"})
