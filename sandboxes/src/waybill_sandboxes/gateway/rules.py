"""What the books refuse, and how an operation is answered."""

from typing import Any, NamedTuple

from waybill_sandboxes import replies
from waybill_sandboxes.gateway import books
from waybill_sandboxes.replies import Reply


class Refusal(NamedTuple):
    """A problem that a well-formed request runs into; it is written down as `failed`."""

    status: int
    slug: str
    detail: str


def refusal(
    authorization: books.Authorization, operation: str, amount_minor: int, at: str
) -> Refusal | None:
    """Why the books do not allow this, None when they do."""
    if authorization.status != "approved":
        return Refusal(409, "authorization-not-approved", "The authorisation was declined.")
    if operation == "refund":
        left_minor = authorization.captured_minor - authorization.refunded_minor
        if amount_minor > left_minor:
            return Refusal(422, "amount-too-large", f"{left_minor} may be refunded.")
        return None
    if authorization.expired(at):
        return Refusal(409, "authorization-expired", f"Expired at {authorization.expires_at}.")
    if operation == "void" and amount_minor == 0:
        return Refusal(409, "nothing-to-void", "Nothing is held any more.")
    if amount_minor > authorization.open_minor:
        return Refusal(422, "amount-too-large", f"{authorization.open_minor} may be captured.")
    return None


def render(
    authorization: books.Authorization, done: books.Operation, record: dict[str, Any]
) -> Reply:
    """The answer that belongs to a record, the same whenever it is folded."""
    if "slug" in record:
        return replies.problem(record["status"], record["slug"], record["detail"])
    if done.operation == "authorize":
        return replies.ok(authorization.render(), status=record["status"])
    resource = done.render(authorization.currency) | {"status": done.outcome}
    if "final" in record:
        resource |= {"final": record["final"], "released_minor": record["released_minor"]}
    return replies.ok(resource | authorization.totals(), status=record["status"])


def unknown(authorization_id: str) -> Reply:
    return replies.problem(404, "not-found", f"No authorisation {authorization_id}.")
