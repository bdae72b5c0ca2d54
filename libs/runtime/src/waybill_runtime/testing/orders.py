"""An order as capture tells of it, for the tests of whoever hears of orders."""

from datetime import timedelta

from waybill_events.capture import (
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    PaymentChoice,
    ShippingChoice,
)
from waybill_events.event import Allocation
from waybill_runtime.testing.world import EPOCH


def line(
    number: int, quantity: int, unit_price_minor: int, *, sku: str = "A", name: str = ""
) -> OrderLine:
    return OrderLine(
        line_id=f"ln_{number}",
        sku=sku,
        name=name or sku,
        quantity=quantity,
        unit_price_minor=unit_price_minor,
    )


def placed(*lines: OrderLine, shipping_minor: int = 0, **changes: object) -> OrderPlaced:
    """An order of these lines, by a guest, to be paid within a quarter of an hour."""
    goods_minor = sum(each.quantity * each.unit_price_minor for each in lines)
    told: dict[str, object] = {
        "order_id": "ord_x",
        "external_ref": None,
        "channel": "web",
        "currency": "GBP",
        "customer_ref": None,
        "recipient_ref": "rcp_x",
        "country_code": "GB",
        "locale": "en",
        "lines": lines,
        "shipping": ShippingChoice(option="standard", price_minor=shipping_minor),
        "payment": PaymentChoice(method="card", token="tok_approve"),  # noqa: S106 - a sandbox's
        "total_minor": goods_minor + shipping_minor,
        "allow_partial": False,
        "tracking_token_hash": "h",
        "expires_at": EPOCH + timedelta(minutes=15),
    }
    assert changes.keys() <= told.keys()
    return OrderPlaced.model_validate({**told, **changes})


def confirmed(
    order: OrderPlaced, *allocations: Allocation, authorized_minor: int | None = None
) -> OrderConfirmed:
    """What is allocated can be had, and its money is held: all of it, unless told otherwise."""
    held_minor = order.total_minor if authorized_minor is None else authorized_minor
    return OrderConfirmed(
        order_id=order.order_id,
        external_ref=order.external_ref,
        channel=order.channel,
        recipient_ref=order.recipient_ref,
        reservation_id="res_x",
        lines=order.lines,
        allocations=allocations,
        shipping=order.shipping,
        currency=order.currency,
        authorized_minor=held_minor,
    )
