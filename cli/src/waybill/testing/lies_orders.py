"""Lies about orders, stock and parcels (I1 to I3, I6, I7, I15)."""

from dataclasses import replace

from waybill.audit.evidence import Evidence
from waybill.ledger import Posted
from waybill.testing import story
from waybill.testing.lies import CLEAN, data_of, gateway, lie, without
from waybill_runtime.http.idempotency import command_id

# --- I1 -----------------------------------------------------------------------------------


@lie("I1", "ord_9 was acknowledged")
def an_acknowledged_order_is_missing() -> Evidence:
    lost = Posted(key="k9", status=201, order_id="ord_9", body_sha256="b9")
    return replace(CLEAN, clients=[*CLEAN.clients, lost])


@lie("I1", "ord_2 ended more than once: cancelled, cancelled")
def an_order_ended_twice() -> Evidence:
    again = story.event(
        "e30", "capture.order_cancelled.v1", "order/ord_2", 3, "key:c2", order_id="ord_2"
    )
    return story.told(CLEAN, again)


@lie("I1", "ord_1 has not ended", "I7")
def an_order_never_ended() -> Evidence:
    return without("e20")


@lie("I1", "rcp_2 of ord_2 is neither")
def a_recipient_was_lost() -> Evidence:
    return replace(CLEAN, recipients={"rcp_1"})


@lie("I1", "ord_9 ended cancelled and was never placed")
def an_order_ended_that_was_never_placed() -> Evidence:
    end = story.event(
        "e30", "capture.order_cancelled.v1", "order/ord_9", 1, "key:c9", order_id="ord_9"
    )
    return story.told(CLEAN, end)


# --- I2 -----------------------------------------------------------------------------------


@lie("I2", f"{command_id('k1')}: ord_1, ord_3")
def one_key_made_two_orders() -> Evidence:
    end = story.event(
        "e31", "capture.order_cancelled.v1", "order/ord_3", 2, "key:d", order_id="ord_3"
    )
    found = story.told(story.plus(CLEAN, story.placed("e30", "ord_3", "k1")), end)
    return replace(found, recipients={"rcp_1", "rcp_2", "rcp_3"})


@lie("I2", "ord_1 was placed by e2, e30")
def an_order_was_placed_twice() -> Evidence:
    return story.plus(CLEAN, replace(story.placed("e30", "ord_1", "k7"), version=4))


@lie("I2", "key k2 was answered with ord_1, ord_2", "I15")
def a_key_was_answered_with_two_orders() -> Evidence:
    other = Posted(key="k2", status=201, order_id="ord_1", body_sha256="b2")
    return replace(CLEAN, clients=[*CLEAN.clients, other])


# --- I3 -----------------------------------------------------------------------------------


@lie("I3", "default/stock/A version 6 says")
def a_stock_counter_of_the_log() -> Evidence:
    return story.changed(CLEAN, "e9", levels=story.levels(2, 0, 0))


@lie("I3", "the API shows")
def a_stock_counter_of_the_api() -> Evidence:
    told = {**story.levels(1, 1, 0)[0], "version": 6}
    return replace(CLEAN, stock={"A": {"locations": [told]}})


@lie("I3", "default/stock/A version 3 at main")
def more_was_held_than_there_is() -> Evidence:
    more = [{**story.moves("2")[0], "quantity": 5}]
    events = story.changed(CLEAN, "e13", moves=more, levels=story.levels(2, 6, 0))
    events = story.changed(events, "e6", levels=story.levels(2, 5, 1))
    return story.changed(events, "e16", moves=more, levels=story.levels(2, 0, 1))


@lie("I3", "res_3 ln_1 at main has {'held': 0, 'allocated': -1}", "I7")
def units_left_out_of_anothers_reservation() -> Evidence:
    return story.changed(CLEAN, "e9", moves=story.moves("3"))


@lie("I3", "1 units of A left in parcels, 0 were taken off the books")
def a_parcel_left_and_the_books_do_not_know() -> Evidence:
    """The units went back on the shelf, as far as the books say."""
    kind = "inventory.stock_released.v1"
    events = [replace(e, type=kind) if e.event_id == "e9" else e for e in CLEAN.events]
    found = story.changed(
        story.with_events(CLEAN, events), "e9", bucket="allocated", levels=story.levels(2, 0, 0)
    )
    told = {**story.levels(2, 0, 0)[0], "version": 6}
    return replace(found, stock={"A": {"locations": [told]}})


@lie("I3", "res_1 was confirmed and let go of, and ord_1 is completed")
def a_confirmed_order_lost_its_units_to_its_deadline() -> Evidence:
    about = {"reservation_id": "res_1", "order_id": "ord_1", "fulfillment_order_id": None}
    told = ("stock_reserved", "reservation_confirmed", "reservation_released")
    events = [
        story.event(
            f"e{29 + version}", f"inventory.{what}.v1", "reservation/ord_1", version, "e2", **about
        )
        for version, what in enumerate(told, start=1)
    ]
    return story.with_events(CLEAN, [*CLEAN.events, *events])


# --- I6 -----------------------------------------------------------------------------------


def _second_parcel(owner: str, shipment: str) -> Evidence:
    again = story.event(
        "e30", "fulfillment.shipment_dispatched.v1", "fulfillment/ord_1", 4, "key:t",
        fulfillment_order_id=owner, order_id="ord_1", shipment_id=shipment, lines=[],
    )  # fmt: skip
    label = {**(CLEAN.carrier or ())[0], "reference": shipment, "shipment_id": f"cs_{shipment}"}
    carrier = [*(CLEAN.carrier or ()), label] if shipment != "shp_1-1" else CLEAN.carrier
    return replace(story.told(CLEAN, again), carrier=carrier)


@lie("I6", "ffo_1-1 was dispatched as shp_1-1, shp_1-2")
def a_fulfillment_order_was_dispatched_twice() -> Evidence:
    return _second_parcel("ffo_1-1", "shp_1-2")


@lie("I6", "shp_1-1 is of ffo_1-1, ffo_1-2")
def one_shipment_is_of_two_fulfillment_orders() -> Evidence:
    return _second_parcel("ffo_1-2", "shp_1-1")


@lie("I6", "ord_1 ln_1: 2 units were shipped", "I3", "I5")
def more_was_shipped_than_ordered() -> Evidence:
    return story.changed(CLEAN, "e8", lines=[{"line_id": "ln_1", "sku": "A", "quantity": 2}])


@lie("I6", "2 live labels for shp_1-1")
def a_label_was_bought_twice() -> Evidence:
    first = (CLEAN.carrier or ())[0]
    return replace(CLEAN, carrier=[first, {**first, "seq": 2, "shipment_id": "cs_2"}])


@lie("I6", "shp_1-1 was dispatched without a label")
def a_parcel_left_without_a_label() -> Evidence:
    return replace(CLEAN, carrier=[])


@lie("I6", "a label for shp_9-1, which is in no log")
def a_label_was_bought_for_a_shipment_of_nobody() -> Evidence:
    first = (CLEAN.carrier or ())[0]
    stray = {**first, "seq": 2, "reference": "shp_9-1", "shipment_id": "cs_9"}
    return replace(CLEAN, carrier=[first, stray])


@lie("I6", "shp_1-7 was delivered and never dispatched")
def a_parcel_arrived_that_never_left() -> Evidence:
    return story.changed(CLEAN, "e11", shipment_id="shp_1-7")


# --- I7 -----------------------------------------------------------------------------------


@lie("I7", "ord_1 stands since notification.notification_sent.v1")
def a_delivered_order_is_never_closed() -> Evidence:
    return replace(without("e20"), require_settled=False)


@lie("I7", "ord_3 stands since capture.order_placed.v1")
def a_new_order_is_never_looked_at() -> Evidence:
    found = story.plus(CLEAN, story.placed("e30", "ord_3", "k3"))
    return replace(found, recipients={"rcp_1", "rcp_2", "rcp_3"}, require_settled=False)


@lie("I7", "ord_1 stands since")
def an_order_that_no_warehouse_wants_waits_for_ever() -> Evidence:
    """Its only fulfillment order was refused, and nobody took it up again."""
    refused = story.event(
        "e8", "fulfillment.fulfillment_rejected.v1", "fulfillment/ord_1", 2, "key:s",
        order_id="ord_1", fulfillment_order_id="ffo_1-1",
    )  # fmt: skip
    ids = ("e8", "e10", "e11", "e20", "e23", "e24", "e25", "e26")
    found = story.with_events(CLEAN, [*without(*ids).events, refused])
    mail = [m for m in CLEAN.mail or () if m["message_id"] in ("<msg_e5@shop>", "<msg_e15@shop>")]
    return replace(found, mail=mail, gateway=gateway(less="capture").gateway, require_settled=False)


@lie("I7", "res_2 still keeps 1 held of default/stock/A at main")
def a_cancelled_order_keeps_its_stock() -> Evidence:
    found = without("e16")
    events = [replace(e, version=5) if e.event_id == "e9" else e for e in found.events]
    told = {**story.levels(1, 1, 0)[0], "version": 5}
    found = replace(story.with_events(CLEAN, events), stock={"A": {"locations": [told]}})
    found = story.changed(found, "e6", levels=story.levels(2, 1, 1))
    return story.changed(found, "e9", levels=story.levels(1, 1, 0))


# --- I15 ----------------------------------------------------------------------------------


def _answered(**changes: str | int) -> Evidence:
    first = CLEAN.clients[0]
    return replace(CLEAN, clients=[*CLEAN.clients, replace(first, **changes)])  # type: ignore[arg-type]  # fields of Posted


@lie("I15", "key k1 got 2 different answers")
def the_same_key_got_another_body() -> Evidence:
    return _answered(body_sha256="b7")


@lie("I15", "key k1 got 2 different answers")
def the_same_key_got_another_status() -> Evidence:
    return _answered(status=200)


@lie("I15", "key k1 got 2 different answers", "I2")
def the_same_key_got_another_order() -> Evidence:
    return _answered(order_id="ord_2")


def _refusal(key: str, status: int, problem: str, *, asked: str = "") -> Posted:
    """One more answer to a key, to the same body unless said otherwise."""
    told = {"order_id": "", "body_sha256": "words", "asked_sha256": asked or f"of {key}"}
    return Posted(key=key, status=status, problem=problem, **told)


def _refused(*refusals: Posted) -> Evidence:
    return replace(CLEAN, clients=[*CLEAN.clients, *refusals])


@lie("I15", "key k1 made ord_1 and was refused with 409 external-ref-taken")
def the_same_key_was_refused_afterwards() -> Evidence:
    return _refused(_refusal("k1", 409, "external-ref-taken"))


@lie("I15", "key k2 made ord_2 and was refused with 404 not-found")
def the_same_key_is_known_no_more() -> Evidence:
    """Who was answered with an order posted another body under it as well: that is none of it."""
    reused = _refusal("k2", 422, "idempotency-key-reused", asked="of another")
    return _refused(_refusal("k2", 404, "not-found"), reused)


@lie("I15", "key k2 made ord_2 and was refused with 409 external-ref-taken")
def an_order_was_made_whose_client_was_refused() -> Evidence:
    """No other answer came: the log alone knows that the refused request made an order."""
    found = _refused(_refusal("k2", 409, "external-ref-taken"))
    lost = [
        replace(one, status=0, order_id="") if isinstance(one, Posted) and one.key == "k2" else one
        for one in found.clients[:-1]
    ]
    return replace(found, clients=[*lost, found.clients[-1]])


@lie("I15", "key k9 was refused with 409 external-ref-taken, 422 invalid-request")
def the_same_key_was_refused_for_two_reasons() -> Evidence:
    first = _refusal("k9", 409, "external-ref-taken")
    return _refused(first, _refusal("k9", 422, "invalid-request"))


# --- what is no event of ours -------------------------------------------------------------


@lie("I9", "e10 (payment.payment_captured.v1) cannot be read: it says no amount_minor", "I4")
def an_event_lacks_its_amount() -> Evidence:
    lacking = data_of("e10", amount_minor=None)
    events = [replace(e, data=lacking) if e.event_id == "e10" else e for e in CLEAN.events]
    return story.with_events(CLEAN, events)


@lie("I3", "the evidence makes no sense", "I5", "I6")
def an_event_whose_lines_are_no_lines() -> Evidence:
    return story.changed(CLEAN, "e2", lines="two of those")
