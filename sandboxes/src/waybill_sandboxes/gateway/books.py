"""What the gateway knows about authorisations: folded from its records, rendered for callers."""

from dataclasses import dataclass, field
from typing import Any

from waybill_sandboxes import clock

PREFIXES = {"authorize": "ga", "capture": "gc", "void": "gv", "refund": "gr"}
NOUNS = {
    "authorize": "authorization",
    "capture": "capture",
    "void": "void",
    "refund": "refund",
}


@dataclass(slots=True, kw_only=True)
class Operation:
    """One request that reached the books, and what came of it."""

    id: str
    authorization_id: str
    operation: str
    outcome: str
    idempotency_key: str
    reference: str
    amount_minor: int
    at: str
    decline_code: str | None

    def render(self, currency: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "authorization_id": self.authorization_id,
            "operation": self.operation,
            "outcome": self.outcome,
            "idempotency_key": self.idempotency_key,
            "reference": self.reference,
            "amount_minor": self.amount_minor,
            "currency": currency,
            "decline_code": self.decline_code,
            "at": self.at,
        }


@dataclass(slots=True, kw_only=True)
class Authorization:
    """An amount held on a card. captured + voided <= amount, refunded <= captured, always."""

    id: str
    reference: str
    amount_minor: int
    currency: str
    token: str
    callback_url: str
    expires_at: str
    status: str
    decline_code: str | None
    captured_minor: int = 0
    voided_minor: int = 0
    refunded_minor: int = 0
    operations: list[Operation] = field(default_factory=list)

    @property
    def open_minor(self) -> int:
        """What may still be captured."""
        if self.status != "approved":
            return 0
        return self.amount_minor - self.captured_minor - self.voided_minor

    def expired(self, at: str) -> bool:
        return clock.read(at) >= clock.read(self.expires_at)

    def totals(self) -> dict[str, int]:
        return {
            "captured_minor": self.captured_minor,
            "voided_minor": self.voided_minor,
            "refunded_minor": self.refunded_minor,
        }

    def render(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "reference": self.reference,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            **self.totals(),
            "expires_at": self.expires_at,
            "decline_code": self.decline_code,
            "operations": [one.render(self.currency) for one in self.operations],
        }


def apply(authorization: Authorization, record: dict[str, Any]) -> Operation:
    """Add a recorded operation to its authorisation."""
    done = Operation(
        id=record["operation_id"],
        authorization_id=authorization.id,
        operation=record["operation"],
        outcome=record["outcome"],
        idempotency_key=record["idempotency_key"],
        reference=record["reference"],
        amount_minor=record["amount_minor"],
        at=record["at"],
        decline_code=record["decline_code"],
    )
    authorization.operations.append(done)
    if done.outcome == "approved":
        match done.operation:
            case "capture":
                authorization.captured_minor += done.amount_minor
                authorization.voided_minor += record["released_minor"]
            case "void":
                authorization.voided_minor += done.amount_minor
            case "refund":
                authorization.refunded_minor += done.amount_minor
    return done
