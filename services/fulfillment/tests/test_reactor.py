"""What others' facts mean for an order's fulfillment."""

from datetime import timedelta

from fulfillment import reactor
from fulfillment.decider import commands
from fulfillment.testing.running import (
    FFO,
    ORDER,
    START,
    allocation,
    cancellation,
    confirmed,
    resourced,
)
from waybill_events import capture
from waybill_events.event import Event
from waybill_events.fulfillment import FulfillmentLine

ACCEPT_BY = START + timedelta(hours=4)


def meant(event: Event) -> commands.Command:
    ((order_id, command),) = reactor.react(event, event_id="evt-1", accept_by=ACCEPT_BY)
    assert order_id == ORDER
    return command


def test_a_confirmed_order_is_parted_by_location_in_the_order_of_its_lines() -> None:
    parts = (allocation(1, "main", 1), allocation(2, "north", 2), allocation(2, "main", 1))
    command = meant(confirmed(*parts[::-1], allocation(1, "main", 3)))
    assert isinstance(command, commands.OpenOrder)
    assert {
        location: [(line.line_id, line.quantity) for line in lines]
        for location, lines in command.parts.items()
    } == {"main": [("ln_2", 1), ("ln_1", 4)], "north": [("ln_2", 2)]}
    assert command.parts["north"] == (
        FulfillmentLine(line_id="ln_2", sku="SKU2", name="Goods 2", quantity=2),
    )
    assert command.accept_by == ACCEPT_BY


def test_what_was_resourced_is_opened_elsewhere() -> None:
    command = meant(resourced(allocation(1, "north", 6)))
    assert command == commands.OpenElsewhere(
        rejected=FFO, allocations=(allocation(1, "north", 6),), accept_by=ACCEPT_BY
    )


def test_a_cancellation_asks_and_an_ended_order_says_so_for_good() -> None:
    assert meant(cancellation()) == commands.CancelRest(
        request_id="evt-1", reason="customer_request", is_final=False
    )
    assert meant(capture.OrderCancelled(order_id=ORDER, reason="stock_lost")) == (
        commands.CancelRest(request_id="evt-1", reason="stock_lost", is_final=True)
    )


def test_what_means_nothing_here_is_left_alone() -> None:
    erased = capture.RecipientErased(recipient_ref="rcp_x", order_id=ORDER)
    assert reactor.react(erased, event_id="evt-1", accept_by=ACCEPT_BY) == []
