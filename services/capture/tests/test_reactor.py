"""What others' facts mean for an order."""

from capture import reactor
from capture.decider import commands
from waybill_events import inventory
from waybill_events.event import LineQuantity, Shortage

NOWHERE_ELSE = inventory.ReservationResourced(
    reservation_id="res_x",
    order_id="ord_x",
    from_location="main",
    fulfillment_order_id="ffo_x-1",
    allocations=(),
    shortages=(Shortage(line_id="ln_1", sku="A", requested=2, available=0),),
    sourcing=inventory.SourcingDecision(rule="same_locations", candidates=(), chosen=()),
)


def test_what_a_warehouse_rejects_and_no_other_has_is_not_told_as_out_of_stock() -> None:
    ((order_id, command),) = reactor.react(NOWHERE_ELSE)
    assert order_id == "ord_x"
    assert command == commands.NoteWillNotShip(
        reason="warehouse_rejected",
        source="ffo_x-1",
        lines=(LineQuantity(line_id="ln_1", sku="A", quantity=2),),
    )
