"""The customer's language: one headline, and what each state means. Pure."""

from collections.abc import Mapping

from tracking.views import OrderPart, Parcel, ParcelsPart

_REASONS: Mapping[str, str] = {
    "out_of_stock": "we do not have enough of it in stock",
    "payment_declined": "your payment was declined",
    "customer_request": "you asked us to",
    "warehouse_rejected": "there was a problem in our warehouse",
    "short_pick": "we could not find all of it in our warehouse",
    "not_confirmed_in_time": "it could not be confirmed in time",
    "hold_expired": "it could not be confirmed in time",
    "stock_lost": "we ran out of stock",
    "payment_expired": "your payment could not be renewed",
}
"""A reason that is not here is one we have no words for: nothing is said, rather than guessed."""

_PAYMENT: Mapping[str, str] = {
    "pending": "Waiting for your payment",
    "authorized": "Payment approved; you pay when it ships",
    "partially_captured": "Paid for what has shipped",
    "captured": "Paid",
    "none": "Nothing was charged",
    "voided": "Nothing was charged",
    "refunded": "Your money was refunded",
    "partially_refunded": "Part of your money was refunded",
    "failed": "Your payment was declined; nothing was charged",
}

_SCANS: Mapping[str, str] = {
    "label_created": "Ready for the carrier",
    "picked_up": "Picked up by the carrier",
    "in_transit": "On its way",
    "out_for_delivery": "Out for delivery",
    "attempted": "Delivery was tried",
    "available_for_pickup": "Ready for you to pick up",
    "delayed": "Delayed",
    "delivered": "Delivered",
    "exception": "There is a problem with this parcel",
    "return_to_sender": "Going back to us",
}


_ENDED = ("rejected", "expired", "cancelled")


def payment(order: OrderPart) -> str:
    """Where the money is."""
    if order.status in _ENDED and order.payment in ("pending", "authorized"):
        return _PAYMENT["voided"]
    if order.payment == "captured" and any(line.cancelled for line in order.lines):
        return "Paid for what was sent"
    if order.payment == "failed" and order.charged_minor:
        return "Paid for a part; the payment for the rest was declined"
    return _PAYMENT.get(order.payment, order.payment.replace("_", " ").capitalize())


def scan(status: str) -> str:
    return _SCANS.get(status, status.replace("_", " ").capitalize())


def parcel_status(parcel: Parcel) -> str:
    """The newest state of a parcel by the carrier's own clock."""
    if parcel.delivered:
        return "delivered"
    return parcel.scans[-1].status if parcel.scans else "label_created"


def fulfillment(order: OrderPart, parts: ParcelsPart) -> str:
    """Where the goods are, and what of them will not come."""
    missing = _missing(order)
    return f"{_progress(order, parts)}; {missing}" if missing else _progress(order, parts)


def _missing(order: OrderPart) -> str:
    """What of an order that goes on, or went on, without it was not sent."""
    gone = sum(line.cancelled for line in order.lines)
    if not gone or order.status in _ENDED:
        return ""
    ordered = sum(line.quantity for line in order.lines)
    if order.status == "completed":
        verb = "was" if gone == 1 else "were"
        return f"{gone} of {ordered} items {verb} not sent and {verb} not charged"
    return f"{gone} of {ordered} items will not be sent and will not be charged"


def _progress(order: OrderPart, parts: ParcelsPart) -> str:
    wanted = sum(line.quantity - line.cancelled for line in order.lines)
    shipped = sum(line.shipped for line in order.lines)
    delivered = sum(line.delivered for line in order.lines)
    if order.status in _ENDED:
        return "Nothing will be sent"
    if wanted and delivered >= wanted:
        if not any(line.cancelled for line in order.lines):
            return "Everything was delivered"
        return f"{delivered} item{' was' if delivered == 1 else 's were'} delivered"
    if delivered:
        return f"{delivered} of {wanted} items were delivered"
    if shipped >= wanted > 0:
        return "The rest is on its way" if _missing(order) else "Everything is on its way"
    if shipped:
        return f"{shipped} of {wanted} items are on their way"
    steps = set(parts.steps.values())
    if "packed" in steps:
        return "Packed, and waiting for the carrier"
    if "picked" in steps:
        return "Being packed"
    return "Being prepared" if order.status == "confirmed" else "Not started"


def headline(order: OrderPart, parts: ParcelsPart) -> str:
    """The one sentence a customer came for."""
    because = _REASONS.get(order.reason or "", "")
    why = f" because {because}" if because else ""
    match order.status:
        case "rejected":
            return f"We could not accept your order{why}."
        case "expired":
            return f"Your order has expired{why}."
        case "cancelled":
            return f"Your order was cancelled{why}."
        case "completed":
            missing = _missing(order)
            return (
                f"Your order was delivered; {missing}." if missing else "Your order was delivered."
            )
        case _ if order.cancelling:
            return "We are trying to cancel your order."
        case "placed":
            return "We have received your order and are checking it."
        case _:
            return f"Your order is confirmed. {fulfillment(order, parts)}."
