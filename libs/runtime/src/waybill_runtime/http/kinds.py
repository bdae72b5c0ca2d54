"""Every kind of problem that an answer can be, with its status, what it means and what to do.

The last part of a problem's `type` is its kind. Callers decide by it: a kind is never renamed,
and keeps its status. More may come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "bad-request",
    "body-cut-off",
    "idempotency-key-required",
    "invalid-if-match",
    "invalid-signature",
    "unauthorized",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "request-timeout",
    "external-ref-taken",
    "label-refused",
    "refund-too-large",
    "request-in-flight",
    "too-late-to-cancel",
    "too-many-units",
    "units-promised",
    "wrong-state",
    "erased",
    "version-moved-on",
    "body-too-large",
    "unsupported-media-type",
    "idempotency-key-reused",
    "invalid-address",
    "invalid-cursor",
    "invalid-request",
    "wrong-quantities",
    "precondition-required",
    "stream-limit",
    "too-many-requests",
    "headers-too-large",
    "unexpected",
    "carrier-unavailable",
    "contended",
    "not-dispatched",
    "not-ready",
    "overloaded",
    "stopping",
    "store-set-back",
    "too-many-streams",
    "unavailable",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a kind says to whoever meets it. `remedy` is what the caller does next."""

    status: int
    meaning: str
    remedy: str


KINDS: Mapping[Kind, Entry] = {
    "bad-request": Entry(
        400,
        "What came is no HTTP request, or its body could not be read.",
        "Send HTTP, and a JSON object in UTF-8.",
    ),
    "body-cut-off": Entry(
        400,
        "The connection ended before the body did.",
        "Send the request again.",
    ),
    "idempotency-key-required": Entry(
        400,
        "A command came without an `Idempotency-Key`, or with one that cannot be.",
        "Send one of 1 to 255 printable characters, the same for every try.",
    ),
    "invalid-if-match": Entry(
        400,
        "`If-Match` holds no ETag.",
        'Send an ETag in its double quotes, such as `"3"`, several of them, or `*`.',
    ),
    "invalid-signature": Entry(
        401,
        "A callback is not signed under our secret, or was signed too long ago.",
        "Sign it under the secret, with a clock that is right, and send it again.",
    ),
    "unauthorized": Entry(
        401,
        "There is no API key, or none that is valid now.",
        "Send a valid key as `Authorization: Bearer wb_…`.",
    ),
    "forbidden": Entry(
        403,
        "The key is valid and lacks the scope that `detail` names.",
        "Use a key of a role that has it.",
    ),
    "not-found": Entry(
        404,
        "There is no such path, or nothing under this id.",
        "Check the address; paths are listed at `/docs`.",
    ),
    "method-not-allowed": Entry(
        405,
        "The path does not take this method.",
        "Use one of the methods in `Allow`.",
    ),
    "request-timeout": Entry(
        408,
        "The request did not arrive whole in time.",
        "Send it whole, on a new connection.",
    ),
    "external-ref-taken": Entry(
        409,
        "This `external_ref` of this channel names another order, which `detail` names.",
        "Read that order, or send another reference.",
    ),
    "label-refused": Entry(
        409,
        "The carrier refused to make the label; `detail` says why.",
        "Pack anew or choose another service, then ship again with the ETag of now.",
    ),
    "refund-too-large": Entry(
        409,
        "More is to be refunded than was captured and is not given back yet.",
        "Refund as much as `detail` names, or less.",
    ),
    "request-in-flight": Entry(
        409,
        "A request with this `Idempotency-Key` is being worked on.",
        "Send the same request with the same key after `Retry-After`.",
    ),
    "too-late-to-cancel": Entry(
        409,
        "Everything was dispatched, or the order has ended.",
        "Arrange a return instead.",
    ),
    "too-many-units": Entry(
        409,
        "There would be more units of a SKU than can be counted.",
        "Book fewer.",
    ),
    "units-promised": Entry(
        409,
        "Fewer units would be on hand than are held or allocated for orders.",
        "Cancel orders or wait for them to ship, then book the rest.",
    ),
    "wrong-state": Entry(
        409,
        "The fulfillment order is past this step, or not yet at it.",
        "Read it again and take the step that its `status` allows.",
    ),
    "erased": Entry(
        410,
        "This recipient was erased, for good.",
        "Nothing: do not ask for it again.",
    ),
    "version-moved-on": Entry(
        412,
        "It has changed since the version in `If-Match` was read.",
        "Read it again and decide anew, with its new ETag.",
    ),
    "body-too-large": Entry(
        413,
        "The body is larger than is taken.",
        "Send at most as many bytes as `detail` names.",
    ),
    "unsupported-media-type": Entry(
        415,
        "The body is not sent as JSON.",
        "Send `Content-Type: application/json`.",
    ),
    "idempotency-key-reused": Entry(
        422,
        "This `Idempotency-Key` belongs to another request.",
        "Take a new key.",
    ),
    "invalid-address": Entry(
        422,
        "The path or the query holds a NUL character.",
        "Leave it out.",
    ),
    "invalid-cursor": Entry(
        422,
        "The cursor is none that was given out here.",
        "Use `next_cursor` of the page before, unchanged.",
    ),
    "invalid-request": Entry(
        422,
        "A field, a header or a query parameter is wrong, unknown or missing.",
        "Mend what `errors` or `detail` names.",
    ),
    "wrong-quantities": Entry(
        422,
        "Quantities picked or packed do not fit what was ordered or picked.",
        "Send quantities that add up as `detail` says.",
    ),
    "precondition-required": Entry(
        428,
        "`If-Match` is missing.",
        "Send the ETag that was seen, or `*` for any.",
    ),
    "stream-limit": Entry(
        429,
        "This tracking link, or this address, has as many event streams open as one may have.",
        "Poll instead, or close a stream and open another after `Retry-After`.",
    ),
    "too-many-requests": Entry(
        429,
        "This key or address asks more than is taken.",
        "Send the same request after `Retry-After`.",
    ),
    "headers-too-large": Entry(
        431,
        "Address and headers are larger than is taken.",
        "Send fewer or shorter ones.",
    ),
    "unexpected": Entry(
        500,
        "Something went wrong on our side; it is logged.",
        "Give `request_id` to whoever runs Waybill; a repeat with the same key is harmless.",
    ),
    "carrier-unavailable": Entry(
        503,
        "The carrier did not answer, so its verdict is not known yet.",
        "Send the same request with the same key after `Retry-After`.",
    ),
    "contended": Entry(
        503,
        "Others are changing the same thing right now.",
        "Send the same request with the same key after `Retry-After`.",
    ),
    "not-dispatched": Entry(
        503,
        "A callback tells of a shipment that is not in the books yet.",
        "Send the same callback after `Retry-After`.",
    ),
    "not-ready": Entry(
        503,
        "`/readyz`: `parts` names what is away, and why.",
        "Send requests to another process; mend the part that is away.",
    ),
    "overloaded": Entry(
        503,
        "Too many requests are being worked on.",
        "Send the same request after `Retry-After`.",
    ),
    "stopping": Entry(
        503,
        "`/readyz`: this process is stopping.",
        "Send requests to another process.",
    ),
    "store-set-back": Entry(
        503,
        "The service's database is behind what it has said, and nothing is served.",
        "Run the command that `detail` names.",
    ),
    "too-many-streams": Entry(
        503,
        "This process has as many event streams open as it takes.",
        "Poll instead, or open the stream again after `Retry-After`.",
    ),
    "unavailable": Entry(
        503,
        "The database or the bus is away; it may have been done.",
        "Send the same request with the same key after `Retry-After`.",
    ),
}
"""By status, then by name."""


def urn(kind: Kind) -> str:
    """The `type` of a problem of this kind."""
    return f"urn:waybill:problem:{kind}"
