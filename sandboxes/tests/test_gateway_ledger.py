"""The gateway's core, driven in-process with a time of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from waybill_sandboxes import callbacks
from waybill_sandboxes.gateway import faults, ledger, requests, tokens
from waybill_sandboxes.journal import MemoryJournal

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
OPTIONS = ledger.Options(callback_url="http://merchant.test/callbacks")


def order(card: str = "tok_approve", *, amount_minor: int = 1000) -> requests.Authorize:
    return requests.Authorize(
        reference="ord_1", amount_minor=amount_minor, currency="GBP", token=card
    )


def part(amount_minor: int, *, final: bool = False) -> requests.Capture:
    return requests.Capture(amount_minor=amount_minor, reference="shp_1", final=final)


def authorized(gateway: ledger.Gateway, card: str = "tok_approve") -> str:
    authorization_id: str = gateway.authorize("auth", order(card), NOW).json()["id"]
    return authorization_id


def outcomes(gateway: ledger.Gateway) -> list[tuple[str, str, int]]:
    return [
        (one["operation"], one["outcome"], one["amount_minor"]) for one in gateway.entries(0, 100)
    ]


def callback_types(gateway: ledger.Gateway, now: datetime) -> list[str]:
    types = []
    while taken := gateway.outbox.take_due(now, 10):
        for callback in taken:
            types.append(callback.json()["type"])
            gateway.outbox.told(callback)
            gateway.acknowledged(callback)
    return types


@pytest.fixture
def gateway() -> ledger.Gateway:
    return ledger.Gateway(MemoryJournal(), OPTIONS)


def test_an_approved_authorization_is_in_the_ledger(gateway: ledger.Gateway) -> None:
    reply = gateway.authorize("k1", order(), NOW)

    assert reply.status == 201
    assert reply.json()["status"] == "approved"
    assert gateway.entries(0, 10) == [
        {
            "seq": 1,
            "at": "2030-01-01T12:00:00.000000Z",
            "operation": "authorize",
            "outcome": "approved",
            "idempotency_key": "k1",
            "reference": "ord_1",
            "amount_minor": 1000,
            "currency": "GBP",
            "authorization_id": reply.json()["id"],
            "operation_id": reply.json()["id"],
            "decline_code": None,
            "expires_at": "2030-01-08T12:00:00.000000Z",
        }
    ]


def test_the_same_key_answers_the_same_and_charges_nothing(gateway: ledger.Gateway) -> None:
    first = gateway.authorize("k1", order(), NOW)
    again = gateway.authorize("k1", order(), NOW + timedelta(hours=1))

    assert (again.status, again.body, again.replayed) == (201, first.body, True)
    assert len(gateway.entries(0, 10)) == 1


def test_the_same_key_with_another_body_is_refused(gateway: ledger.Gateway) -> None:
    gateway.authorize("k1", order(), NOW)

    assert gateway.authorize("k1", order(amount_minor=999), NOW).status == 422
    assert len(gateway.entries(0, 10)) == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [("tok_decline", "do_not_honor"), ("tok_insufficient_funds", "insufficient_funds")],
)
def test_a_declined_authorization_says_why_and_holds_nothing(
    gateway: ledger.Gateway, token: str, code: str
) -> None:
    reply = gateway.authorize("k1", order(token), NOW).json()

    assert (reply["status"], reply["decline_code"]) == ("declined", code)
    assert gateway.capture("k2", reply["id"], part(1), NOW).status == 409
    assert outcomes(gateway) == [("authorize", "declined", 1000), ("capture", "failed", 1)]


def test_an_unknown_token_names_the_field_and_is_not_repeated_back(
    gateway: ledger.Gateway,
) -> None:
    reply = gateway.authorize("k1", order("tok_no_such"), NOW)

    assert reply.status == 422
    assert reply.json()["errors"][0]["field"] == "token"
    assert b"tok_no_such" not in reply.body


def test_parts_are_captured_up_to_what_was_authorized(gateway: ledger.Gateway) -> None:
    held = authorized(gateway)

    assert gateway.capture("c1", held, part(600), NOW).status == 201
    assert gateway.capture("c2", held, part(401), NOW).status == 422
    assert gateway.capture("c3", held, part(400), NOW).status == 201
    assert outcomes(gateway)[1:] == [
        ("capture", "approved", 600),
        ("capture", "failed", 401),
        ("capture", "approved", 400),
    ]


def test_a_final_capture_lets_go_of_the_rest(gateway: ledger.Gateway) -> None:
    held = authorized(gateway)

    reply = gateway.capture("c1", held, part(600, final=True), NOW).json()

    assert (reply["captured_minor"], reply["voided_minor"]) == (600, 400)
    assert gateway.capture("c2", held, part(1), NOW).status == 422


def test_a_void_releases_what_was_not_captured_and_only_once(gateway: ledger.Gateway) -> None:
    held = authorized(gateway)
    gateway.capture("c1", held, part(600), NOW)

    reply = gateway.void("v1", held, requests.Void(reference="ord_1"), NOW)
    again = gateway.void("v2", held, requests.Void(reference="ord_1"), NOW)

    assert (reply.status, reply.json()["amount_minor"]) == (201, 400)
    assert (again.status, again.json()["type"][-15:]) == (409, "nothing-to-void")
    assert gateway.find_operation("v2", NOW).json()["decline_code"] == "nothing_to_void"


def test_refunds_never_exceed_what_was_captured(gateway: ledger.Gateway) -> None:
    held = authorized(gateway)
    gateway.capture("c1", held, part(600), NOW)
    back = requests.Refund(amount_minor=400, reference="rtn_1")

    assert gateway.refund("r1", held, back, NOW).status == 201
    assert gateway.refund("r2", held, back, NOW).status == 422
    assert gateway.find_authorization(held, NOW).json()["refunded_minor"] == 400


def test_a_timeout_after_charge_charges_then_hangs_and_lookup_finds_it(
    gateway: ledger.Gateway,
) -> None:
    reply = gateway.authorize("k1", order("tok_timeout_after_charge"), NOW)

    assert reply.delay_s == 30
    assert gateway.find_operation("k1", NOW).json()["outcome"] == "approved"
    assert gateway.authorize("k1", order("tok_timeout_after_charge"), NOW).delay_s == 0
    assert outcomes(gateway) == [("authorize", "approved", 1000)]


@pytest.mark.parametrize(
    ("token", "status", "delay_s"),
    [("tok_timeout_before_charge", 504, 30), ("tok_error_once", 500, 0)],
)
def test_a_failure_before_charge_charges_nothing_and_the_same_key_then_works(
    token: str, status: int, delay_s: int
) -> None:
    journal = MemoryJournal()
    gateway = ledger.Gateway(journal, OPTIONS)

    first = gateway.authorize("k1", order(token), NOW)
    assert (first.status, first.delay_s) == (status, delay_s)
    assert gateway.find_operation("k1", NOW).status == 404
    assert outcomes(gateway) == []

    restarted = ledger.Gateway(journal, OPTIONS)
    assert restarted.authorize("k1", order(token), NOW).json()["status"] == "approved"


def test_a_stored_error_stays_an_error_though_money_was_held(gateway: ledger.Gateway) -> None:
    first = gateway.authorize("k1", order("tok_stored_error"), NOW)
    again = gateway.authorize("k1", order("tok_stored_error"), NOW)

    assert (first.status, again.status, again.body) == (500, 500, first.body)
    truth = gateway.find_operation("k1", NOW).json()
    assert (truth["outcome"], truth["authorization"]["status"]) == ("approved", "approved")
    assert outcomes(gateway) == [("authorize", "approved", 1000)]


def test_a_capture_can_be_declined(gateway: ledger.Gateway) -> None:
    held = authorized(gateway, "tok_capture_decline")

    reply = gateway.capture("c1", held, part(600), NOW)

    assert (reply.status, reply.json()["status"]) == (201, "declined")
    assert gateway.find_authorization(held, NOW).json()["captured_minor"] == 0


def test_a_capture_can_time_out_after_it_was_made(gateway: ledger.Gateway) -> None:
    held = authorized(gateway, "tok_capture_timeout_after_charge")

    assert gateway.capture("c1", held, part(600), NOW).delay_s == 30
    assert gateway.find_operation("c1", NOW).json()["outcome"] == "approved"


def test_an_authorization_expires(gateway: ledger.Gateway) -> None:
    held = authorized(gateway, "tok_expires_fast")

    reply = gateway.capture("c1", held, part(600), NOW + timedelta(seconds=3))

    assert reply.status == 409
    assert reply.json()["type"].endswith("authorization-expired")


@pytest.mark.parametrize(
    ("token", "verdict"), [("tok_pending", "approved"), ("tok_pending_decline", "declined")]
)
def test_a_pending_authorization_gets_its_verdict_later(
    gateway: ledger.Gateway, token: str, verdict: str
) -> None:
    reply = gateway.authorize("k1", order(token), NOW)
    held = reply.json()["id"]
    assert (reply.status, reply.json()["status"]) == (202, "pending")
    assert gateway.capture("c1", held, part(1), NOW).status == 409
    assert (outcomes(gateway), callback_types(gateway, NOW)) == ([], [])

    later = NOW + timedelta(seconds=1)
    assert gateway.next_due() == later
    gateway.advance(later)

    assert outcomes(gateway) == [("authorize", verdict, 1000)]
    assert callback_types(gateway, later) == [f"authorization.{verdict}"]
    assert gateway.find_operation("k1", later).json()["outcome"] == verdict
    assert gateway.authorize("k1", order(token), later).body == reply.body


def test_a_gateway_opened_on_its_journal_answers_as_before() -> None:
    journal = MemoryJournal()
    gateway = ledger.Gateway(journal, OPTIONS)
    held = authorized(gateway)
    captured = gateway.capture("c1", held, part(600), NOW)
    pending = gateway.authorize("k2", order("tok_pending"), NOW)
    before = gateway.find_authorization(held, NOW).body
    entries = gateway.entries(0, 100)

    restarted = ledger.Gateway(journal, OPTIONS)

    assert restarted.capture("c1", held, part(600), NOW).body == captured.body
    assert restarted.find_authorization(held, NOW).body == before
    assert restarted.entries(0, 100) == entries
    restarted.advance(NOW + timedelta(seconds=1))
    assert restarted.find_authorization(pending.json()["id"], NOW).json()["status"] == "approved"


def test_callbacks_untold_at_a_crash_are_told_after_it_and_told_ones_are_not() -> None:
    journal = MemoryJournal()
    gateway = ledger.Gateway(journal, OPTIONS)
    held = authorized(gateway)
    assert callback_types(gateway, NOW) == ["authorization.approved"]
    gateway.capture("c1", held, part(600), NOW)

    restarted = ledger.Gateway(journal, OPTIONS)

    assert callback_types(restarted, NOW) == ["capture.approved"]


def test_the_ledger_is_read_in_pages(gateway: ledger.Gateway) -> None:
    for number in range(5):
        gateway.authorize(f"k{number}", order(), NOW)

    assert [one["seq"] for one in gateway.entries(0, 2)] == [1, 2]
    assert [one["seq"] for one in gateway.entries(2, 2)] == [3, 4]
    assert [one["seq"] for one in gateway.entries(4, 2)] == [5]
    assert gateway.entries(5, 2) == []


def test_whatever_the_faults_a_repeated_key_charges_once(gateway: ledger.Gateway) -> None:
    gateway.set_faults(
        faults.Faults(timeout_after_charge=0.4, timeout_before_charge=0.4, stored_error=0.1, seed=1)
    )
    for number in range(50):
        for _ in range(20):
            gateway.authorize(f"k{number}", order(), NOW)

    assert [one["idempotency_key"] for one in gateway.entries(0, 1000)].count("k7") == 1
    assert len(gateway.entries(0, 1000)) == 50


def test_callbacks_can_be_lost_or_doubled(gateway: ledger.Gateway) -> None:
    gateway.set_faults(faults.Faults(duplicate_callbacks=1.0))
    gateway.authorize("k1", order(), NOW)
    gateway.set_faults(faults.Faults(lost_callbacks=1.0))
    gateway.authorize("k2", order(), NOW)

    taken: list[callbacks.Callback] = gateway.outbox.take_due(NOW, 10)

    assert [one.json()["idempotency_key"] for one in taken] == ["k1", "k1"]
    assert taken[0].id == taken[1].id


def test_every_token_is_documented(readme: str) -> None:
    assert [one for one in tokens.BEHAVIOURS if f"`{one}`" not in readme] == []


def test_no_record_of_the_ledger_shows_the_token(gateway: ledger.Gateway) -> None:
    gateway.authorize("k1", order(), NOW)
    entry: dict[str, Any] = gateway.entries(0, 1)[0]

    assert "token" not in entry
