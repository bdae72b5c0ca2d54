"""Lies about log, bus, consumers, views, messages and what must be nowhere (I8 to I14)."""

from dataclasses import replace

from waybill.audit.evidence import Compared, Evidence, LogLine, OnBus
from waybill.ledger import Polled
from waybill.testing import story
from waybill.testing.lies import (
    CLEAN,
    in_store_otherwise,
    lie,
    on_bus,
    on_bus_otherwise,
    stored,
    without,
)

# --- I8 -----------------------------------------------------------------------------------


def _compared(*compared: Compared) -> Evidence:
    return replace(CLEAN, views=[*(CLEAN.views or ()), *compared])


@lie("I8", "capture orders is aa, rebuilt bb")
def a_view_differs_from_its_rebuild() -> Evidence:
    return _compared(Compared("capture orders", "aa", "bb", 2))


@lie("I8", "capture orders cannot be rebuilt in full: default/order/ord_1@2")
def a_view_shows_what_the_log_lacks() -> Evidence:
    """Equal hashes, and yet the live view took events that no rebuild can find."""
    return _compared(Compared("capture orders", "aa", "aa", 2, ("default/order/ord_1@2: early",)))


@lie("I8", "capture orders cannot be rebuilt in full: orders/3 gives nothing from offset 0")
def a_view_cannot_be_rebuilt_at_all() -> Evidence:
    return _compared(
        Compared("capture orders", "", "", 0, ("orders/3 gives nothing from offset 0",))
    )


# --- I9 -----------------------------------------------------------------------------------


@lie("I9", "default/payment/ord_2 has versions [2]", "I11")
def an_event_is_missing_everywhere() -> Evidence:
    """In store and on the bus: the order of the bus has the hole as well."""
    return without("e14")


@lie("I9", "default/payment/ord_2 has versions [2]", "I10")
def an_event_is_missing_in_the_store() -> Evidence:
    """Only the store lost it; the bus still has it."""
    return replace(CLEAN, events=[e for e in CLEAN.events if e.event_id != "e14"])


@lie("I9", "e14 differs between store and bus in data")
def a_payload_differs_from_the_bus() -> Evidence:
    return on_bus_otherwise("e14", data="{}")


@lie("I9", "e14 differs between store and bus in occurred_at")
def an_event_was_dated_back() -> Evidence:
    return in_store_otherwise("e14", occurred_at=story.START)


@lie("I9", "e14 differs between store and bus in actor")
def somebody_else_is_said_to_have_done_it() -> Evidence:
    return in_store_otherwise("e14", actor="staff:mallory")


@lie("I9", "e14 differs between store and bus in causation_id")
def something_else_is_said_to_be_the_cause() -> Evidence:
    return in_store_otherwise("e14", causation_id="key:other")


@lie("I9", "e14 differs between store and bus in correlation_id")
def it_is_said_to_be_about_another_order() -> Evidence:
    return in_store_otherwise("e14", correlation_id="ord_1")


@lie("I9", "e14 differs between store and bus in tenant")
def it_is_said_to_be_of_another_tenant() -> Evidence:
    return in_store_otherwise("e14", tenant="other")


@lie("I9", "e17 differs between store and bus in origin")
def it_is_said_to_have_been_imported() -> Evidence:
    return in_store_otherwise("e17", origin="import")


@lie("I9", "e17 differs between store and bus in type")
def it_is_said_to_be_something_else() -> Evidence:
    return in_store_otherwise("e17", type="payment.payment_abandoned.v1")


@lie("I9", "event id e14 occurs 2 times")
def an_event_id_occurs_twice() -> Evidence:
    """A second copy under the same id, later on the stream."""
    events = [replace(e, event_id="e14") if e.event_id == "e17" else e for e in CLEAN.events]
    second = next(e for e in events if e.event_id == "e14" and e.version == 2)
    bus = [replace(m, event=second) if m.event.event_id == "e17" else m for m in CLEAN.bus or ()]
    return replace(CLEAN, events=events, bus=bus)


@lie("I9", "e17 (payment.payment_voided.v1) cannot be read: its data is no JSON object")
def an_event_is_no_object() -> Evidence:
    events = [replace(e, data="[]") if e.event_id == "e17" else e for e in CLEAN.events]
    return story.with_events(CLEAN, events)


# --- I10 ----------------------------------------------------------------------------------


@lie("I10", "e20 (capture.order_completed.v1) is not on the bus")
def an_event_was_never_published() -> Evidence:
    return replace(CLEAN, bus=[m for m in CLEAN.bus or () if m.event.event_id != "e20"])


@lie("I10", "e99 is on the bus and in no store")
def a_message_that_no_store_knows() -> Evidence:
    stray = OnBus(0, 99, story.placed("e99", "ord_9", "k9"))
    return replace(CLEAN, bus=[*(CLEAN.bus or ()), stray])


@lie("I10", "tracking is 1 behind on orders/0")
def a_consumer_is_behind() -> Evidence:
    return replace(CLEAN, consumers=[story.taken("tracking", applied=4)])


@lie("I10", "payment stands 3 past the end of orders/7")
def a_consumer_stands_past_the_end() -> Evidence:
    """It would take nothing of what comes next; its other partitions hide it in any sum."""
    past = story.taken("payment", applied=8, partition=7, beyond=3)
    return replace(CLEAN, consumers=[*(CLEAN.consumers or ()), past])


@lie("I10", "default/fulfillment/ord_1: e5 led to fulfillment.fulfillment_order_created.v1 2 times")
def an_event_was_taken_twice() -> Evidence:
    """The same words, from the same cause, on one stream."""
    return story.plus(CLEAN, replace(stored("e7"), event_id="e30", version=4))


# --- I11 ----------------------------------------------------------------------------------


@lie("I11", "tracking has parked 2 deliveries of orders/0")
def a_key_is_parked() -> Evidence:
    return replace(CLEAN, consumers=[story.taken("tracking", parked=2)])


@lie("I11", "payment passed over default/order/ord_1 after version 2 on orders/0")
def an_event_was_passed_over_in_silence() -> Evidence:
    """The consumer stands at the end, has parked nothing, and has not taken it."""
    left = ("default/order/ord_1 after version 2",)
    return replace(CLEAN, consumers=[story.taken("payment", passed_over=left)])


@lie("I11", "payment has marked default/order/ord_1 at version 9, beyond its last, 3, on orders/0")
def a_consumer_marked_what_there_is_not() -> Evidence:
    """The next events of the stream would be dropped as known."""
    marked = ("default/order/ord_1 at version 9, beyond its last, 3,",)
    return replace(CLEAN, consumers=[story.taken("payment", ahead=marked)])


@lie("I11", "default/payment/ord_2 goes from 0 to 2")
def a_stream_is_out_of_order_on_the_bus() -> Evidence:
    first, second = on_bus("e14"), on_bus("e17")
    bus = [m for m in CLEAN.bus or () if m not in (first, second)]
    bus += [replace(first, offset=second.offset), replace(second, offset=first.offset)]
    return replace(CLEAN, bus=bus)


@lie("I11", "default/payment/ord_2 is on ('payments', 0) and ('payments', 1)")
def a_stream_is_on_two_partitions() -> Evidence:
    message = on_bus("e17")
    bus = [replace(m, partition=1) if m is message else m for m in CLEAN.bus or ()]
    return replace(CLEAN, bus=bus)


# --- I12 ----------------------------------------------------------------------------------


@lie("I12", "msg_e15/email was decided 2 times")
def a_message_was_decided_twice() -> Evidence:
    again = replace(story.decided("e30", "ord_2", 3, "e15"), causation_id="another")
    return story.plus(CLEAN, again)


@lie("I12", "nobody was told of capture.order_cancelled.v1 e15")
def nobody_was_told() -> Evidence:
    found = without("e27", "e28")
    mail = [m for m in CLEAN.mail or () if m["message_id"] != "<msg_e15@shop>"]
    return replace(found, mail=mail)


@lie("I12", "msg_e15 was decided and never attempted")
def a_decided_message_was_never_attempted() -> Evidence:
    found = without("e28")
    mail = [m for m in CLEAN.mail or () if m["message_id"] != "<msg_e15@shop>"]
    return replace(found, mail=mail)


@lie("I12", "msg_e15 was told as sent, and is not in the sink")
def a_message_is_told_as_sent_and_never_came() -> Evidence:
    mail = [m for m in CLEAN.mail or () if m["message_id"] != "<msg_e15@shop>"]
    return replace(CLEAN, mail=mail)


@lie("I12", "message 5 of the sink (<msg_e99@shop>) was decided by nobody")
def a_message_came_that_nobody_decided() -> Evidence:
    stray = {"seq": 5, "channel": "email", "message_id": "<msg_e99@shop>"}
    return replace(CLEAN, mail=[*(CLEAN.mail or ()), stray])


@lie("I12", "message 5 of the sink () was decided by nobody")
def a_message_without_a_name_came() -> Evidence:
    return replace(CLEAN, mail=[*(CLEAN.mail or ()), {"seq": 5, "message_id": ""}])


@lie("I12", "msg_e15 came of a import")
def an_import_was_spoken_of() -> Evidence:
    events = [replace(e, origin="import") if e.event_id == "e27" else e for e in CLEAN.events]
    return story.with_events(CLEAN, events)


@lie("I12", "msg_e15 came of a repair")
def a_repair_was_spoken_of_as_if_it_were_live() -> Evidence:
    """The message says that it is live; what it speaks of is not."""
    events = [replace(e, origin="repair") if e.event_id == "e15" else e for e in CLEAN.events]
    return story.with_events(CLEAN, events)


@lie("I12", "msg_e99 came of e99, in no log")
def a_message_was_decided_because_of_nothing() -> Evidence:
    first, second = (
        story.decided("e30", "ord_2", 3, "e99"),
        story.sent("e31", "ord_2", 4, "e99"),
    )
    mail = [*(CLEAN.mail or ()), {"seq": 5, "message_id": "<msg_e99@shop>"}]
    return replace(story.plus(CLEAN, first, second), mail=mail)


@lie("I12", "msg_e15 came to an end 2 times")
def a_message_ended_twice() -> Evidence:
    return story.plus(CLEAN, story.sent("e30", "ord_2", 3, "e15"))


@lie("I12", "e15 is told by email as msg_e15, msg_e15-b")
def a_customer_was_told_twice_under_two_names() -> Evidence:
    named = {"message_id": "msg_e15-b", "order_id": "ord_2"}
    more = {"dedupe_key": "msg_e15-b/email", "source_event_id": "e15", "channel": "email"}
    stream = "notification/ord_2"
    again = [
        story.event(
            "e30", "notification.notification_decided.v1", stream, 3, "e15",
            **named, **more, recipient_ref="rcp_2",
        ),
        story.event("e31", "notification.notification_sent.v1", stream, 4, "send", **named),
    ]  # fmt: skip
    mail = [*(CLEAN.mail or ()), {"seq": 5, "message_id": "<msg_e15-b@shop>"}]
    return replace(story.plus(CLEAN, *again), mail=mail)


@lie("I12", "msg_e15 is for ord_1 and tells of e15, of ord_2")
def another_orders_customer_was_told() -> Evidence:
    return story.changed(CLEAN, "e27", order_id="ord_1", recipient_ref="rcp_1")


@lie("I12", "msg_e15 of ord_2 is for rcp_1, not rcp_2")
def an_orders_message_goes_to_another() -> Evidence:
    return story.changed(CLEAN, "e27", recipient_ref="rcp_1")


# --- I13 ----------------------------------------------------------------------------------


@lie("I13", "ord_1 went from 7 to 6")
def a_view_went_back() -> Evidence:
    back = Polled(order_id="ord_1", version=6, client="a")
    return replace(CLEAN, clients=[*CLEAN.clients, back])


@lie("I13", "ord_1 went from 7 to 0")
def a_view_that_was_seen_is_gone() -> Evidence:
    """And comes back: nothing that is looked at afterwards tells of it."""
    gone = Polled(order_id="ord_1", version=0, client="a")
    back = Polled(order_id="ord_1", version=7, client="a")
    return replace(CLEAN, clients=[*CLEAN.clients, gone, back])


@lie("I13", "ord_1 shows 6, a client saw 7")
def a_view_stands_before_what_was_seen() -> Evidence:
    return replace(CLEAN, tracked={"ord_1": 6, "ord_2": 3})


@lie("I13", "the API shows ord_1 at 6, a client saw 7")
def the_api_shows_less_than_was_seen() -> Evidence:
    return replace(CLEAN, shown={"ord_1": 6})


@lie("I13", "the API shows ord_2 at 0, it stands at 3")
def a_customers_link_opens_nothing() -> Evidence:
    return replace(CLEAN, shown={"ord_1": 7, "ord_2": 0})


# --- I14 ----------------------------------------------------------------------------------


@lie("I14", "event e15 holds personal data in /reason")
def a_person_is_in_an_event() -> Evidence:
    return story.changed(CLEAN, "e15", reason="asked by ada@example.com")


@lie("I14", "event e15 holds personal data in actor")
def a_person_is_in_an_envelope() -> Evidence:
    events = [
        replace(e, actor="customer:Ada Buyer") if e.event_id == "e15" else e for e in CLEAN.events
    ]
    return story.with_events(CLEAN, events)


@lie("I14", "capture.log:2 holds personal data")
def a_person_is_in_a_log() -> Evidence:
    return replace(CLEAN, logs=[LogLine("capture.log:2", '{"to": "Ada Buyer"}')])


@lie("I14", "message orders/0 offset 90 holds personal data in /to", "I9")
def a_person_is_on_the_bus_alone() -> Evidence:
    told = replace(stored("e15"), data='{"order_id": "ord_2", "to": "ada@example.com"}')
    return replace(CLEAN, bus=[*(CLEAN.bus or ()), OnBus(0, 90, told)])


@lie("I14", "payment.log:9 holds what looks like a card number")
def a_card_is_in_a_log() -> Evidence:
    return replace(CLEAN, logs=[LogLine("payment.log:9", "card 4111 1111 1111 1111 refused")])


@lie("I14", "event e15 holds what looks like a card number")
def a_card_is_in_an_event() -> Evidence:
    return story.changed(CLEAN, "e15", reason="4111111111111111")


@lie("I14", "rcp_2 was erased and is in the vault")
def somebody_was_erased_and_is_still_there() -> Evidence:
    erased = story.event(
        "e30", "capture.recipient_erased.v1", "recipient/rcp_2", 1, "key:e", order_id="ord_2",
        recipient_ref="rcp_2",
    )  # fmt: skip
    return story.plus(CLEAN, erased)
