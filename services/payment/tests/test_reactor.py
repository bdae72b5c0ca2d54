"""What others' facts mean for an order's payment."""

import json
from pathlib import Path

import pytest

from payment import reactor
from payment.decider import commands
from waybill_events import capture, fulfillment
from waybill_events.catalogue import CATALOGUE
from waybill_events.event import Event, LineQuantity
from waybill_events.payment import PaymentInitiated, PricedLine
from waybill_runtime.testing import orders
from waybill_runtime.testing.world import recorded

EXAMPLES = Path(__file__).parents[3] / "libs" / "events" / "examples"
CASES = sorted(path for type_ in CATALOGUE for path in (EXAMPLES / type_).glob("*.json"))
ORDER = "ord_x"
LINES = (
    LineQuantity(line_id="ln_1", sku="A", quantity=2),
    LineQuantity(line_id="ln_2", sku="A", quantity=1),
)
PLACED = orders.placed(
    orders.line(1, 6, 255), orders.line(2, 1, 200), shipping_minor=495, allow_partial=True
)


def meant(event: Event, *, version: int = 1) -> commands.Command:
    """The one command that an event means, at this version of its stream."""
    envelope = recorded(event, stream="s", version=version, topic="t", key=ORDER)
    ((order_id, command),) = reactor.react(envelope, event)
    assert order_id == ORDER
    return command


def test_a_placed_order_is_to_be_paid_as_the_customer_chose_line_by_line() -> None:
    assert meant(PLACED) == commands.Initiate(
        payment=PaymentInitiated(
            payment_id="pay_x",
            order_id=ORDER,
            amount_minor=2225,
            currency="GBP",
            method="card",
            token="tok_approve",
            lines=(
                PricedLine(line_id="ln_1", quantity=6, unit_price_minor=255),
                PricedLine(line_id="ln_2", quantity=1, unit_price_minor=200),
            ),
            shipping_minor=495,
        )
    )


def test_money_is_held_only_once_the_stock_is() -> None:
    reserved = capture.OrderReserved(order_id=ORDER, reservation_id="res_x", allocations=())
    assert meant(reserved) == commands.Authorize()


def test_lines_cancelled_twice_are_two_cancellations_told_apart_by_the_orders_version() -> None:
    cancelled = capture.OrderLinesCancelled(
        order_id=ORDER, reason="short_pick", source="ffo_x-1", lines=LINES
    )
    told = [meant(cancelled, version=version) for version in (4, 6)]
    assert told == [commands.CancelLines(order_version=at, lines=LINES) for at in (4, 6)]


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (
            capture.OrderRejected(
                order_id=ORDER, reason="out_of_stock", detail="none left", shortages=()
            ),
            "out_of_stock",
        ),
        (capture.OrderExpired(order_id=ORDER, reason="not_confirmed"), "not_confirmed"),
        (capture.OrderCancelled(order_id=ORDER, reason="customer_request"), "customer_request"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_order_that_ended_before_its_time_stops_its_payment(ended: Event, reason: str) -> None:
    assert meant(ended) == commands.Stop(reason=reason)


def test_a_shipment_that_left_takes_its_own_lines_money() -> None:
    left = fulfillment.ShipmentDispatched(
        fulfillment_order_id="ffo_x-1",
        order_id=ORDER,
        shipment_id="shp_x-1",
        location="main",
        carrier="parcelforce",
        service="standard",
        packages=(),
        lines=LINES,
    )
    assert meant(left) == commands.CaptureShipment(shipment_id="shp_x-1", lines=LINES)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_means_one_command_or_none(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    event = CATALOGUE[path.parent.name].model.model_validate(data)
    envelope = recorded(event, stream="s", version=1, topic="t", key="k")
    told = reactor.react(envelope, event)
    handled = path.parent.name in reactor.HANDLES
    assert [order_id for order_id, _ in told] == ([data["order_id"]] if handled else [])
