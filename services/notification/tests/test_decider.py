"""A message's story, and a customer's word about channels: given, when, then."""

import pytest

from notification import decider
from notification.decider import NoteFailed, NoteSent, NoteSuppressed, SetPreference, Tell
from waybill_events.event import Event
from waybill_events.notification import (
    ContactPreferenceChanged,
    NotificationDecided,
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
)
from waybill_runtime.testing.spec import Spec

MESSAGE: Spec[decider.Command, decider.State] = Spec(
    decider.decide, decider.evolve, decider.INITIAL
)
PREFERENCES: Spec[SetPreference, decider.Preferences] = Spec(
    decider.decide_preference, decider.evolve_preference, ()
)

DECIDED = NotificationDecided(
    message_id="msg_x-confirmed-email",
    order_id="ord_x",
    recipient_ref="rcp_x",
    template="confirmed",
    channel="email",
    dedupe_key="ord_x:confirmed:email",
    source_event_id="e-1",
    details={"amount_minor": "2025", "currency": "GBP"},
)
OF_IT = {"message_id": DECIDED.message_id, "order_id": "ord_x", "channel": "email"}
SENT = NotificationSent(**OF_IT, provider_ref="250 kept")
FAILED = NotificationFailed(**OF_IT, reason="HTTP 400", attempts=3)
SUPPRESSED = NotificationSuppressed(**OF_IT, reason="preference")

NOTE_SENT = NoteSent(provider_ref="250 kept")
NOTE_FAILED = NoteFailed(reason="HTTP 400", attempts=3)
NOTE_SUPPRESSED = NoteSuppressed(reason="preference")


def test_a_live_fact_is_decided() -> None:
    MESSAGE.when(Tell(decision=DECIDED, origin="live")).then(DECIDED)


@pytest.mark.parametrize("origin", ["import", "repair", "replay", ""])
def test_what_is_not_live_stays_silent(origin: str) -> None:
    MESSAGE.when(Tell(decision=DECIDED, origin=origin)).then_nothing()


def test_the_same_fact_told_by_another_event_decides_nothing() -> None:
    again = DECIDED.model_copy(update={"source_event_id": "e-2"})
    MESSAGE.given(DECIDED).when(Tell(decision=again, origin="live")).then_nothing()


@pytest.mark.parametrize(
    ("verdict", "event"),
    [(NOTE_SENT, SENT), (NOTE_FAILED, FAILED), (NOTE_SUPPRESSED, SUPPRESSED)],
)
def test_a_decided_message_takes_its_verdict(verdict: decider.Command, event: Event) -> None:
    MESSAGE.given(DECIDED).when(verdict).then(event)


@pytest.mark.parametrize("ended", [SENT, FAILED, SUPPRESSED])
@pytest.mark.parametrize("verdict", [NOTE_SENT, NOTE_FAILED, NOTE_SUPPRESSED])
def test_the_first_verdict_stands(ended: Event, verdict: decider.Command) -> None:
    MESSAGE.given(DECIDED, ended).when(verdict).then_nothing()


@pytest.mark.parametrize("verdict", [NOTE_SENT, NOTE_FAILED, NOTE_SUPPRESSED])
def test_nothing_is_sent_that_was_never_decided(verdict: decider.Command) -> None:
    MESSAGE.when(verdict).then_nothing()


@pytest.mark.parametrize("allowed", [True, False])
def test_a_preference_that_is_new_is_noted(*, allowed: bool) -> None:
    wanted = SetPreference(customer_ref="17850", channel="sms", allowed=allowed)
    PREFERENCES.when(wanted).then(
        ContactPreferenceChanged(customer_ref="17850", channel="sms", allowed=allowed)
    )


def test_a_preference_may_change_back() -> None:
    no = SetPreference(customer_ref="17850", channel="sms", allowed=False)
    yes = SetPreference(customer_ref="17850", channel="sms", allowed=True)
    PREFERENCES.after(no).when(yes).then(
        ContactPreferenceChanged(customer_ref="17850", channel="sms", allowed=True)
    )
    assert dict(PREFERENCES.after(no, yes).state) == {"sms": True}


def test_preferences_of_channels_stand_apart() -> None:
    no_sms = SetPreference(customer_ref="17850", channel="sms", allowed=False)
    no_mail = SetPreference(customer_ref="17850", channel="email", allowed=False)
    assert dict(PREFERENCES.after(no_sms, no_mail).state) == {"sms": False, "email": False}


@pytest.mark.parametrize(
    ("channel", "said", "is_told"),
    [
        ("email", (), True),
        ("sms", (), True),
        ("chat", (), False),
        ("pigeon", (), False),
        ("email", (("email", False),), False),
        ("email", (("sms", False),), True),
        ("chat", (("chat", True),), True),
    ],
)
def test_a_channel_is_used_as_the_customer_said_else_as_holds_by_default(
    channel: str, said: decider.Preferences, is_told: bool
) -> None:
    suppressed = None if is_told else NoteSuppressed(reason="preference")
    assert decider.unwanted(channel, said) == suppressed


@pytest.mark.parametrize(
    ("is_erased", "has_channel", "reason"),
    [
        (True, True, "recipient_erased"),
        (True, False, "recipient_erased"),
        (False, False, "no_channel"),
        (False, True, "no_address"),
    ],
)
def test_who_cannot_be_told_is_left_alone_for_the_first_reason_there_is(
    is_erased: bool, has_channel: bool, reason: str
) -> None:
    assert decider.unreachable(is_erased=is_erased, has_channel=has_channel).reason == reason


def test_trouble_is_failure_only_at_the_last_try() -> None:
    assert decider.in_vain("no answer", decider.TRIES - 1) is None
    assert decider.in_vain("no answer", decider.TRIES) == NoteFailed(
        reason="no answer", attempts=decider.TRIES
    )


def test_a_refusal_is_failure_at_once_and_said_in_no_more_than_fits() -> None:
    assert decider.refused("x" * 300, 1) == NoteFailed(reason="x" * 200, attempts=1)
