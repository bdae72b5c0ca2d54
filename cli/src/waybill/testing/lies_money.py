"""Lies about money: charged, given back, and earned (I4, I5)."""

from dataclasses import replace
from typing import Any

from waybill.audit.evidence import Evidence
from waybill.testing import story
from waybill.testing.lies import CLEAN, gateway, lie, without

# --- I4 -----------------------------------------------------------------------------------


def _authorised_for_more(*more: dict[str, Any]) -> Evidence:
    """400 more than its 600 are held for `ord_1`, in the log and at the gateway."""
    ledger = [dict(one) for one in gateway(*more).gateway or ()]
    ledger[0]["amount_minor"] = 1000
    return replace(story.changed(CLEAN, "e4", amount_minor=1000), gateway=ledger)


@lie("I4", "2 captures of shp_1-1")
def a_shipment_was_captured_twice() -> Evidence:
    return gateway(story.entry(5, "capture", "ga_1", "shp_1-1", 0))


@lie("I4", "ga_1 at 4: {'authorize': 400")
def more_was_captured_than_authorised() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    ledger[0]["amount_minor"] = 400
    return replace(story.changed(CLEAN, "e4", amount_minor=400), gateway=ledger)


@lie("I4", "the log says 599 for shp_1-1")
def something_else_was_captured_than_told() -> Evidence:
    return story.changed(CLEAN, "e10", amount_minor=599)


@lie("I4", "the log says 200 for rfn_1, the gateway None")
def a_refund_is_in_the_log_alone() -> Evidence:
    return story.with_refund(CLEAN, "rfn_1", 200)


@lie("I4", "2 refunds of rfn_1")
def a_refund_was_given_twice() -> Evidence:
    given = [story.entry(seq, "refund", "ga_1", "rfn_1", 200) for seq in (5, 6)]
    return replace(story.with_refund(CLEAN, "rfn_1", 200), gateway=gateway(*given).gateway)


@lie("I4", "ga_1 at 5: ")
def more_was_refunded_than_captured() -> Evidence:
    given = story.entry(5, "refund", "ga_1", "rfn_1", 601)
    return replace(story.with_refund(CLEAN, "rfn_1", 601), gateway=gateway(given).gateway)


@lie("I4", "ord_2 holds 2 authorisations", "I5")
def two_authorisations_stand_at_once() -> Evidence:
    return gateway(story.entry(6, "authorize", "ga_3", "ord_2"), less="void")


@lie("I4", "ord_1 holds 2 authorisations", "I5")
def a_second_authorisation_stands_beside_the_rest_of_the_first() -> Evidence:
    """A part of the first was captured; what is left of it is held still."""
    return _authorised_for_more(story.entry(5, "authorize", "ga_3", "ord_1"))


@lie("I4", "ga_1 at 4: {'authorize': 600, 'void': 1, 'capture': 600")
def a_capture_let_go_of_more_than_was_held() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    ledger[3]["released_minor"] = 1
    return replace(CLEAN, gateway=ledger)


@lie("I4", "the gateway's entry 5 is a authorize for ord_9, which is in no log")
def the_gateway_charges_an_order_of_nobody() -> Evidence:
    return gateway(story.entry(5, "authorize", "ga_9", "ord_9"))


@lie("I4", "a capture of shp_9-1 that the log never learned of")
def the_gateway_captured_for_a_shipment_of_nobody() -> Evidence:
    both = (
        story.entry(5, "authorize", "ga_9", "ord_9"),
        story.entry(6, "capture", "ga_9", "shp_9-1"),
    )
    return gateway(*both)


@lie("I4", "the gateway did capture-4 at 4 and at 5")
def the_gateway_did_one_key_twice() -> Evidence:
    again = {**story.entry(5, "capture", "ga_1", "shp_1-1", 0), "idempotency_key": "capture-4"}
    return gateway(again)


@lie("I4", "the gateway's entry 3 is numbered 4", "I5")
def the_gateways_ledger_has_a_hole() -> Evidence:
    return replace(CLEAN, gateway=[one for one in CLEAN.gateway or () if one["seq"] != 3])


@lie("I4", "for ga_2, the gateway ('ord_1', 600)")
def an_authorisation_is_of_another_order() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    ledger[1]["reference"] = "ord_1"
    return replace(CLEAN, gateway=ledger)


@lie("I4", "('ord_1', 0) for free:ord_1, yet the gateway knows it")
def the_gateway_was_asked_for_nothing() -> Evidence:
    found = story.free(CLEAN)
    return replace(
        found,
        gateway=[
            *(found.gateway or ()),
            {**story.entry(3, "authorize", "free:ord_1", "ord_1", 0), "outcome": "declined"},
        ],
    )


@lie("I4", "ord_1 was charged in USD, not GBP: the authorize for ord_1")
def an_order_was_charged_in_another_currency() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    ledger[0]["currency"] = "USD"
    return replace(CLEAN, gateway=ledger)


@lie("I4", "ord_1 was charged in None, not GBP: the capture for shp_1-1")
def nobody_says_in_which_currency_a_parcel_was_paid() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    del ledger[3]["currency"]
    return replace(CLEAN, gateway=ledger)


def _given(*made: dict[str, Any], asked_minor: int = 200, told_minor: int = 200) -> Evidence:
    """A refund of `ord_1`, told as given, and what the gateway made of it."""
    found = story.with_refund(gateway(*made), "rfn_1", told_minor)
    return story.changed(found, "e30", amount_minor=asked_minor)


@lie("I4", "('ga_1', 200), the gateway gave ('ga_3', 200), of ord_3")
def a_refund_was_paid_to_anothers_card() -> Evidence:
    made = (
        story.entry(5, "authorize", "ga_3", "ord_3", 200),
        story.entry(6, "capture", "ga_3", "shp_3-1", 200),
        story.entry(7, "refund", "ga_3", "rfn_1", 200),
    )
    return _given(*made)


@lie("I4", "('ga_1', 500), the gateway gave ('ga_1', 200)")
def less_was_given_back_than_was_asked_for() -> Evidence:
    """The log tells of less as well: it agrees with the gateway."""
    return _given(story.entry(5, "refund", "ga_1", "rfn_1", 200), asked_minor=500)


@lie("I4", "the log says 200 were given back for rfn_1, asked for were 500")
def the_log_tells_of_less_than_was_asked_for() -> Evidence:
    made = story.entry(5, "refund", "ga_1", "rfn_1", 500)
    return _given(made, asked_minor=500)


@lie("I4", "the log says 200 were given back for rfn_1, asked for were None")
def a_refund_was_given_that_nobody_asked_for() -> Evidence:
    found = _given(story.entry(5, "refund", "ga_1", "rfn_1", 200))
    return story.changed(found, "e30", refund_id="rfn_2")


@lie("I4", "rfn_1 was asked for and has 0 verdicts")
def a_refund_was_asked_for_and_never_made() -> Evidence:
    return story.plus(CLEAN, story.asked_back("rfn_1", 200))


@lie("I4", "rfn_1 was asked for and has 2 verdicts")
def a_refund_was_given_and_refused() -> Evidence:
    found = _given(story.entry(5, "refund", "ga_1", "rfn_1", 200))
    refused = story.event(
        "e40", "payment.refund_failed.v1", "payment/ord_1", 5, "job5", order_id="ord_1",
        refund_id="rfn_1", code="declined", retryable=False,
    )  # fmt: skip
    return story.plus(found, refused)


# --- I5 -----------------------------------------------------------------------------------


@lie("I5", "ord_1 is completed: the gateway captured 0")
def completed_and_not_captured() -> Evidence:
    return replace(without("e10"), gateway=gateway(less="capture").gateway)


@lie("I5", "ord_1 is completed: the gateway captured 599")
def completed_and_captured_in_part() -> Evidence:
    """Log and gateway agree on one penny too little."""
    part = story.entry(4, "capture", "ga_1", "shp_1-1", 599)
    found = story.changed(CLEAN, "e10", amount_minor=599)
    return replace(found, gateway=gateway(part, less="capture").gateway)


@lie("I5", "ord_2 is cancelled: the gateway keeps 600", "I4")
def cancelled_and_captured() -> Evidence:
    return gateway(story.entry(6, "capture", "ga_2", "shp_2-1"), less="void")


@lie("I5", "ord_2 is cancelled: the gateway still holds ga_2")
def cancelled_and_still_held() -> Evidence:
    return gateway(less="void")


@lie("I5", "ord_1 is completed: the gateway still holds ga_1, 400 of it")
def a_part_was_captured_and_the_rest_is_still_held() -> Evidence:
    """All that was shipped is paid; what did not come was never let go of."""
    return _authorised_for_more()


@lie("I5", "the gateway captured 600, 100 were shipped", "I3")
def the_whole_was_taken_and_nothing_was_shipped() -> Evidence:
    """The order's word agrees with the gateway; the parcel was empty."""
    return story.changed(CLEAN, "e8", lines=[])


def _shipped_too() -> Evidence:
    """`ord_2` is cancelled and its money let go of; its parcel leaves all the same."""
    order, shipment = "ord_2", "shp_2-1"
    units = [{"line_id": "ln_1", "sku": "A", "quantity": 1}]
    parcel = {"fulfillment_order_id": "ffo_2-1", "order_id": order, "shipment_id": shipment}
    left = story.event(
        "e30", "fulfillment.shipment_dispatched.v1", "fulfillment/ord_2", 1, "key:t",
        **parcel, lines=units,
    )  # fmt: skip
    released = {"bucket": "held", "levels": story.levels(2, 1, 1)}
    found = story.changed(CLEAN, "e16", moves=[], **released)
    found = story.changed(found, "e9", levels=story.levels(1, 1, 0))
    taken = [
        story.moved("e32", "allocated", 7, "e30", "2", story.levels(1, 0, 1)),
        story.moved("e33", "consumed", 8, "e30", "2", story.levels(0, 0, 0)),
    ]
    label = {**(CLEAN.carrier or ())[0], "seq": 2, "reference": shipment, "shipment_id": "cs_2"}
    told = {**story.levels(0, 0, 0)[0], "version": 8}
    return replace(
        story.told(story.plus(found, *taken), left),
        carrier=[*(CLEAN.carrier or ()), label],
        stock={"A": {"locations": [told]}},
    )


@lie("I5", "shp_2-1 left, and ord_2 is cancelled")
def a_cancelled_order_was_shipped_and_never_paid() -> Evidence:
    return _shipped_too()


@lie("I5", "shp_2-1 left, and ord_2 is cancelled")
def a_cancelled_order_was_shipped_before_all_is_quiet() -> Evidence:
    """The order's end is read after its parcels: no capture is under way any more."""
    return replace(_shipped_too(), require_settled=False)


@lie("I5", "shp_2-1 of ord_2 left with 500 in it, and the gateway captured 0", "I1", "I7")
def an_open_orders_parcel_was_never_paid() -> Evidence:
    found = _shipped_too()
    ids = ("e15", "e27", "e28")
    mail = [one for one in found.mail or () if one["message_id"] != "<msg_e15@shop>"]
    events = [e for e in found.events if e.event_id not in ids]
    versions = {"e17": 2, "e130": 1, "e230": 2}
    events = [replace(e, version=versions.get(e.event_id, e.version)) for e in events]
    return replace(story.with_events(found, events), mail=mail)
