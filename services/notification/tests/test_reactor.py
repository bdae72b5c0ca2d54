"""Which facts are told: every example of the catalogue, and what its messages are called."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from notification import reactor
from waybill_events import codec, payment
from waybill_events.catalogue import CATALOGUE
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.testing.world import recorded

EXAMPLES = Path(__file__).parents[3] / "libs" / "events" / "examples"
CASES = sorted(path for type_ in CATALOGUE for path in (EXAMPLES / type_).glob("*.json"))
TOLD = reactor.HANDLES - {"capture.recipient_erased.v1"}


def read(path: Path) -> tuple[Recorded, Event]:
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    event = CATALOGUE[path.parent.name].model.model_validate(data)
    key = data.get("order_id", "ord_x")
    envelope = recorded(event, stream="s", version=3, topic="t", key=key)
    return envelope, codec.decode(envelope)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_told_through_its_templates_channels_or_not_at_all(path: Path) -> None:
    envelope, event = read(path)
    told = reactor.react(envelope, event)
    assert bool(told) == (path.parent.name in TOLD)
    for key, tell in told:
        decision = tell.decision
        assert key == decision.dedupe_key
        assert decision.order_id == envelope.key
        assert decision.recipient_ref == "rcp_" + envelope.key.removeprefix("ord_")
        assert decision.source_event_id == envelope.event_id
        assert tell.origin == envelope.origin
    assert [tell.decision.channel for _, tell in told] == (
        list(reactor.CHANNELS[told[0][1].decision.template]) if told else []
    )


def test_channels_are_what_the_settings_say() -> None:
    path = next(path for path in CASES if path.parent.name == "fulfillment.shipment_dispatched.v1")
    envelope, event = read(path)
    told = reactor.react(envelope, event, {"shipped": ("chat",)})
    assert [tell.decision.channel for _, tell in told] == ["chat"]
    assert reactor.react(envelope, event, {}) == []


@pytest.mark.parametrize("refunds", [("rfn_1", "rfn_2"), ("rfn_1", "rfn_1-2", "rfn_2", "rfn_2-2")])
def test_every_part_of_every_refund_of_one_order_is_a_message(refunds: Sequence[str]) -> None:
    keys, messages = set(), set()
    for number, refund_id in enumerate(refunds, start=1):
        event = payment.PaymentRefunded(
            payment_id="pay_x",
            order_id="ord_x",
            refund_id=refund_id,
            amount_minor=100,
            refunded_minor=100 * number,
            currency="GBP",
        )
        envelope = recorded(event, stream="s", version=number, topic="payments", key="ord_x")
        for key, tell in reactor.react(envelope, event):
            keys.add(key)
            messages.add(tell.decision.message_id)
    assert len(keys) == len(messages) == len(refunds)


def test_the_longest_ids_of_ours_make_ids_that_events_accept() -> None:
    order, refund = "ord_" + "0" * 26, "rfn_" + "0" * 26 + "-99"
    event = payment.PaymentRefunded(
        payment_id="pay_" + "0" * 26,
        order_id=order,
        refund_id=refund,
        amount_minor=1,
        refunded_minor=1,
        currency="GBP",
    )
    envelope = recorded(event, stream="s", version=1, topic="payments", key=order)
    ((_, tell),) = reactor.react(envelope, event)
    assert tell.decision.message_id.startswith("msg_" + "0" * 26)
