"""A small shop's clean story as an auditor would find it: one order delivered, one cancelled.

Two units of SKU `A` are received; `ord_1` takes one to its end, `ord_2` is cancelled in time.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from waybill.audit.evidence import Compared, Evidence, LogLine, OnBus, Taken
from waybill.ledger import Polled, Posted
from waybill_events.envelope import Recorded
from waybill_runtime.http.idempotency import command_id

START = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "trk_1"  # noqa: S105 - a story's
TOPICS = {
    "order": "orders",
    "recipient": "orders",
    "stock": "stock",
    "reservation": "inventory",
    "payment": "payments",
    "fulfillment": "fulfillment",
    "notification": "notifications",
}


def event(id_: str, type_: str, stream: str, version: int, cause: str, **data: Any) -> Recorded:
    """One fact; `id_` also says how many seconds after START it happened, as `e<seconds>`."""
    category, _, name = stream.partition("/")
    key = data.get("order_id", name)
    return Recorded(
        event_id=id_,
        type=type_,
        stream=f"default/{stream}",
        version=version,
        tenant="default",
        topic=TOPICS[category],
        key=key,
        occurred_at=START + timedelta(seconds=int(id_[1:])),
        causation_id=cause,
        correlation_id=key,
        actor="system:test",
        origin="live",
        data=json.dumps(data),
    )


def levels(on_hand: int, held: int, allocated: int) -> list[dict[str, Any]]:
    return [{"location": "main", "on_hand": on_hand, "held": held, "allocated": allocated}]


def moves(order: str) -> list[dict[str, Any]]:
    return [
        {"reservation_id": f"res_{order}", "line_id": "ln_1", "location": "main", "quantity": 1}
    ]


def placed(id_: str, order_id: str, key: str) -> Recorded:
    return event(
        id_,
        "capture.order_placed.v1",
        f"order/{order_id}",
        1,
        command_id(key),
        order_id=order_id,
        lines=[{"line_id": "ln_1", "sku": "A", "quantity": 1, "unit_price_minor": 500}],
        shipping={"option": "standard", "price_minor": 100},
        total_minor=600,
        currency="GBP",
        recipient_ref=f"rcp_{order_id.removeprefix('ord_')}",
    )


def decided(id_: str, order: str, version: int, source: str) -> Recorded:
    message = f"msg_{source}"
    return event(
        id_,
        "notification.notification_decided.v1",
        f"notification/{order}",
        version,
        source,
        message_id=message,
        order_id=order,
        dedupe_key=f"{message}/email",
        source_event_id=source,
        channel="email",
        recipient_ref=f"rcp_{order.removeprefix('ord_')}",
    )


def sent(id_: str, order: str, version: int, source: str) -> Recorded:
    return event(
        id_,
        "notification.notification_sent.v1",
        f"notification/{order}",
        version,
        f"notification.send:{source}",
        message_id=f"msg_{source}",
        order_id=order,
    )


def _stock() -> list[Recorded]:
    received = {"sku": "A", "location": "main", "quantity": 2, "reference": "PO-1"}
    kind = "inventory.stock_"
    return [
        event(
            "e1", f"{kind}received.v1", "stock/A", 1, "key:r", **received, levels=levels(2, 0, 0)
        ),
        moved("e3", "held", 2, "e2", "1", levels(2, 1, 0)),
        moved("e13", "held", 3, "e12", "2", levels(2, 2, 0)),
        moved("e6", "allocated", 4, "e5", "1", levels(2, 1, 1)),
        moved("e16", "released", 5, "e15", "2", levels(2, 0, 1), bucket="held"),
        moved("e9", "consumed", 6, "e8", "1", levels(1, 0, 0)),
    ]


def moved(
    id_: str, kind: str, version: int, cause: str, order: str, after: Any, **more: Any
) -> Recorded:
    return event(
        id_,
        f"inventory.stock_{kind}.v1",
        "stock/A",
        version,
        cause,
        sku="A",
        moves=moves(order),
        levels=after,
        **more,
    )


def _delivered() -> list[Recorded]:
    """`ord_1`, from placed to completed."""
    order, ffo, ship = "ord_1", "ffo_1-1", "shp_1-1"
    units = [{"line_id": "ln_1", "sku": "A", "quantity": 1}]
    parcel = {"fulfillment_order_id": ffo, "order_id": order, "shipment_id": ship, "lines": units}
    return [
        placed("e2", order, "k1"),
        event(
            "e4", "payment.payment_authorized.v1", "payment/ord_1", 1, "job", order_id=order,
            authorization_id="ga_1", amount_minor=600,
        ),
        event("e5", "capture.order_confirmed.v1", "order/ord_1", 2, "e4", order_id=order),
        event(
            "e7", "fulfillment.fulfillment_order_created.v1", "fulfillment/ord_1", 1, "e5",
            order_id=order, fulfillment_order_id=ffo,
        ),
        event(
            "e8", "fulfillment.shipment_dispatched.v1", "fulfillment/ord_1", 2, "key:s", **parcel
        ),
        event(
            "e10", "payment.payment_captured.v1", "payment/ord_1", 2, "job2", order_id=order,
            shipment_id=ship, amount_minor=600,
        ),
        event("e11", "fulfillment.shipment_delivered.v1", "fulfillment/ord_1", 3, "cb", **parcel),
        event("e20", "capture.order_completed.v1", "order/ord_1", 3, "e11", order_id=order),
        decided("e21", order, 1, "e5"),
        sent("e22", order, 2, "e5"),
        decided("e23", order, 3, "e8"),
        sent("e24", order, 4, "e8"),
        decided("e25", order, 5, "e11"),
        sent("e26", order, 6, "e11"),
    ]  # fmt: skip


def _cancelled() -> list[Recorded]:
    """`ord_2`, authorised, then cancelled and given back."""
    order = "ord_2"
    return [
        placed("e12", order, "k2"),
        event(
            "e14", "payment.payment_authorized.v1", "payment/ord_2", 1, "job", order_id=order,
            authorization_id="ga_2", amount_minor=600,
        ),
        event("e15", "capture.order_cancelled.v1", "order/ord_2", 2, "key:c", order_id=order),
        event("e17", "payment.payment_voided.v1", "payment/ord_2", 2, "job3", order_id=order),
        decided("e27", order, 1, "e15"),
        sent("e28", order, 2, "e15"),
    ]  # fmt: skip


def refunded(id_: str, order: str, version: int, refund_id: str, amount_minor: int) -> Recorded:
    return event(
        id_,
        "payment.payment_refunded.v1",
        f"payment/{order}",
        version,
        "job4",
        order_id=order,
        refund_id=refund_id,
        amount_minor=amount_minor,
    )


def entry(
    seq: int, operation: str, authorization: str, reference: str, amount_minor: int = 600
) -> dict[str, Any]:
    """One approved entry of the gateway's ledger, over the whole amount unless said otherwise."""
    return {
        "seq": seq,
        "operation": operation,
        "outcome": "approved",
        "authorization_id": authorization,
        "reference": reference,
        "idempotency_key": f"{operation}-{seq}",
        "amount_minor": amount_minor,
        "currency": "GBP",
        "released_minor": None,
        "expires_at": None,
    }


def taken(consumer: str, **otherwise: Any) -> Taken:
    """A consumer that has taken the five messages of its partition, unless said otherwise."""
    at = {"topic": "orders", "partition": 0, "applied": 5, "written": 5, "parked": 0, "beyond": 0}
    told: dict[str, Any] = {**at, "passed_over": (), "ahead": (), **otherwise}
    return Taken(consumer=consumer, **told)


def on_bus(events: list[Recorded]) -> list[OnBus]:
    """The bus as relays fill it: each topic in order of versions."""
    ordered = sorted(events, key=lambda e: (e.topic, e.version, e.stream))
    return [OnBus(0, offset, event) for offset, event in enumerate(ordered)]


def _answered(key: str, *, order_id: str, body_sha256: str) -> Posted:
    """An order as its client was told of it; the same is asked under one key each time."""
    return Posted(
        key=key, status=201, order_id=order_id, body_sha256=body_sha256, asked_sha256=f"of {key}"
    )


def clean() -> Evidence:
    """Everything holds, ten minutes after the last event, with nothing open."""
    events = _stock() + _delivered() + _cancelled()
    label = {"operation": "buy_label", "outcome": "approved", "reference": "shp_1-1"}
    return Evidence(
        at=START + timedelta(minutes=10),
        events=events,
        bus=on_bus(events),
        gateway=[
            entry(1, "authorize", "ga_1", "ord_1"),
            entry(2, "authorize", "ga_2", "ord_2"),
            entry(3, "void", "ga_2", "ord_2"),
            entry(4, "capture", "ga_1", "shp_1-1"),
        ],
        carrier=[{"seq": 1, "shipment_id": "cs_1", **label}],
        mail=[
            {"seq": seq, "message_id": f"<msg_{source}@shop>"}
            for seq, source in enumerate(("e5", "e8", "e11", "e15"), start=1)
        ],
        stock={"A": {"locations": [{**levels(1, 0, 0)[0], "version": 6}]}},
        views=[Compared("tracking customer", "aa", "aa", 2)],
        tracked={"ord_1": 7, "ord_2": 3},
        shown={"ord_1": 7},
        consumers=[taken("tracking")],
        given_up={},
        personal=["Ada Buyer", "ada@example.com", "+442079460000"],
        recipients={"rcp_1", "rcp_2"},
        logs=[LogLine("capture.log:1", '{"event": "started", "port": 8000}')],
        clients=[
            _answered("k1", order_id="ord_1", body_sha256="b1"),
            _answered("k1", order_id="ord_1", body_sha256="b1"),
            _answered("k2", order_id="ord_2", body_sha256="b2"),
            Polled(order_id="ord_1", version=3, client="a", token=TOKEN),
            Polled(order_id="ord_1", version=7, client="a"),
            Polled(order_id="ord_1", version=5, client="b"),
        ],
        require_settled=True,
    )


def with_events(evidence: Evidence, events: list[Recorded]) -> Evidence:
    """The same story with other events, published as they are."""
    return replace(evidence, events=events, bus=on_bus(events))


def plus(evidence: Evidence, *more: Recorded) -> Evidence:
    return with_events(evidence, [*evidence.events, *more])


def told(evidence: Evidence, fact: Recorded) -> Evidence:
    """One more fact that a customer is told of: decided, sent, and in the sink."""
    order, source = json.loads(fact.data)["order_id"], fact.event_id
    stream = f"default/notification/{order}"
    last = max((e.version for e in evidence.events if e.stream == stream), default=0)
    second = int(source[1:])
    found = plus(
        evidence,
        fact,
        decided(f"e{second + 100}", order, last + 1, source),
        sent(f"e{second + 200}", order, last + 2, source),
    )
    mail = [*(evidence.mail or ()), {"seq": 0, "message_id": f"<msg_{source}@shop>"}]
    return replace(found, mail=mail)


def asked_back(
    refund_id: str, amount_minor: int, *, second: int = 30, version: int = 3
) -> Recorded:
    """Somebody wants money of `ord_1` given back."""
    return event(
        f"e{second}", "payment.refund_requested.v1", "payment/ord_1", version, "key:b",
        order_id="ord_1", refund_id=refund_id, authorization_id="ga_1", amount_minor=amount_minor,
    )  # fmt: skip


def with_refund(
    evidence: Evidence, refund_id: str, amount_minor: int, *, second: int = 30, version: int = 3
) -> Evidence:
    """`ord_1` is given something back, and is told so; the gateway does not know of it."""
    asked = asked_back(refund_id, amount_minor, second=second, version=version)
    given = refunded(f"e{second + 1}", "ord_1", version + 1, refund_id, amount_minor)
    return told(plus(evidence, asked), given)


def free(evidence: Evidence) -> Evidence:
    """The same story, but `ord_1` costs nothing: the gateway never hears of it."""
    line = {"line_id": "ln_1", "sku": "A", "quantity": 1, "unit_price_minor": 0}
    shipping = {"option": "standard", "price_minor": 0}
    found = with_events(evidence, [e for e in evidence.events if e.event_id != "e10"])
    found = changed(found, "e2", lines=[line], shipping=shipping, total_minor=0)
    found = changed(found, "e4", authorization_id="free:ord_1", amount_minor=0)
    others = [one for one in evidence.gateway or () if one["authorization_id"] != "ga_1"]
    ledger = [{**one, "seq": seq} for seq, one in enumerate(others, start=1)]
    return replace(found, gateway=ledger)


def changed(evidence: Evidence, id_: str, **data: Any) -> Evidence:
    """One event's data otherwise, in the store and on the bus alike."""
    return with_events(
        evidence,
        [
            replace(e, data=json.dumps({**json.loads(e.data), **data})) if e.event_id == id_ else e
            for e in evidence.events
        ],
    )
