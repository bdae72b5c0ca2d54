"""What staff read of each event: what it told, in a few words, and what it came of."""

import pytest

from tracking import service, views
from waybill_events import capture, fulfillment, payment
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing.world import recorded

ORDER = "ord_x"
FFO = {"fulfillment_order_id": "ffo_x-1", "order_id": ORDER, "location": "main"}
ONE = LineQuantity(line_id="ln_1", sku="CUP", quantity=1)
SHORT = fulfillment.ShortPicked.model_validate({**FFO, "missing": [ONE]})
DISPATCHED = fulfillment.ShipmentDispatched.model_validate(
    {
        **FFO,
        "shipment_id": "shp_x-1",
        "carrier": "sandbox",
        "service": "standard",
        "packages": [
            {"package_id": f"pkg_{n}", "tracking_number": f"SB{n}", "label_url": "u", "lines": []}
            for n in (1, 2)
        ],
        "lines": [ONE],
    }
)
REDUCED = payment.PaymentDueReduced(
    payment_id="pay_x",
    order_id=ORDER,
    lines=(ONE,),
    due_minor=1095,
    currency="GBP",
    order_version=4,
)
PAID = capture.OrderPaymentRecorded(
    order_id=ORDER,
    payment_id="pay_x",
    status="captured",
    authorized_minor=1195,
    captured_minor=1095,
    refunded_minor=0,
)


def entry(event: Event, cause: str = "e-0") -> views.Entry:
    row = recorded(event, stream="default/x/x", version=1, topic="payments", key=ORDER)
    timeline = views.TIMELINE.project(None, row, event)
    assert timeline is not None
    (found,) = timeline.entries
    return found.model_copy(update={"causation_id": cause})


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (SHORT, "location main, 1 x CUP"),
        (
            DISPATCHED,
            "location main, carrier sandbox, service standard, "
            "tracking_number SB1, tracking_number SB2, 1 x CUP",
        ),
        (REDUCED, "due_minor 1095, 1 x CUP"),
        (PAID, "status captured, captured_minor 1095"),
    ],
)
def test_each_event_tells_what_happened(event: Event, says: str) -> None:
    assert entry(event).detail == says


def test_an_event_of_many_lines_names_the_first_of_them() -> None:
    many = [ONE.model_copy(update={"sku": f"S{n}"}) for n in range(8)]
    short = SHORT.model_copy(update={"missing": tuple(many)})
    assert entry(short).detail == (
        "location main, 1 x S0, 1 x S1, 1 x S2, 1 x S3, 1 x S4, and 3 more"
    )


@pytest.mark.parametrize(
    ("causation_id", "cause"),
    [
        ("payment.call:pay_x:capture:shp_x-1", "payment.call"),
        ("notification.send:default/message/x", "notification.send"),
        ("e-1", "capture.order_payment_recorded.v1"),
        ("key:payment.call:1", None),
        ("e-of-another-order", None),
    ],
)
def test_the_verdict_of_a_call_names_the_call_as_its_cause(
    causation_id: str, cause: str | None
) -> None:
    first = entry(PAID).model_copy(update={"event_id": "e-1"})
    verdict = entry(REDUCED, causation_id)
    shown = service.show_timeline(ORDER, views.Timeline(entries=(first, verdict)))
    assert [one.cause for one in shown.data] == [None, cause]
