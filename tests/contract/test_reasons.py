"""Each reason that an order can end for has its own words, in tracking and in every message.

A reason that nobody has words for, from a newer release, is told without a guess.
"""

from typing import get_args

import pytest

from notification import rendering
from tracking import words
from tracking.views import OrderPart, ParcelsPart
from waybill_events.capture import CancellationReason, ExpiryReason, RejectionReason
from waybill_runtime.testing.world import EPOCH

KNOWN = {
    "rejected": get_args(RejectionReason),
    "expired": get_args(ExpiryReason),
    "cancelled": get_args(CancellationReason),
}
TEMPLATES = {**KNOWN, "changed": get_args(CancellationReason)}
"""`changed`: parts of a living order are cancelled for the reasons of a whole one."""
NEWER = "held_for_screening"
BLAME = ("declined", "payment", "stock", "asked", "abgelehnt", "zahlung", "lager", "wunsch")
"""What no generic text may say: it would be a guess."""


def _headline(status: str, reason: str) -> str:
    order = OrderPart(
        external_ref=None,
        placed_at=EPOCH,
        currency="GBP",
        total_minor=100,
        shipping_option="standard",
        locale="en",
        lines=(),
        status=status,
        reason=reason,
    )
    return words.headline(order, ParcelsPart())


def _message(template: str, language: str, reason: str) -> rendering.Rendered:
    values = {
        "name": "A. Buyer",
        "number": "536365",
        "lines": [("6", "Heart")],
        "details": {"reason": reason},
        "tracking_url": "",
    }
    return rendering.render(template, language, values)


def _cases(known: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(end, reason) for end, reasons in known.items() for reason in reasons]


@pytest.mark.parametrize(("status", "reason"), _cases(KNOWN))
def test_tracking_has_words_for_each_reason(status: str, reason: str) -> None:
    assert _headline(status, reason) != _headline(status, NEWER)


@pytest.mark.parametrize("language", rendering.LANGUAGES)
@pytest.mark.parametrize(("template", "reason"), _cases(TEMPLATES))
def test_messages_have_words_for_each_reason(template: str, reason: str, language: str) -> None:
    told, generic = (_message(template, language, one) for one in (reason, NEWER))
    assert told.text != generic.text
    assert told.html != generic.html


@pytest.mark.parametrize("status", KNOWN)
def test_tracking_guesses_no_reason(status: str) -> None:
    assert not [word for word in BLAME if word in _headline(status, NEWER).lower()]


@pytest.mark.parametrize("language", rendering.LANGUAGES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_messages_guess_no_reason(template: str, language: str) -> None:
    generic = _message(template, language, NEWER)
    assert NEWER not in generic.text
    assert not [word for word in BLAME if word in generic.text.lower()]


@pytest.mark.parametrize("reason", get_args(RejectionReason))
def test_reasons_are_told_apart(reason: str) -> None:
    others = [one for one in get_args(RejectionReason) if one != reason]
    for language in rendering.LANGUAGES:
        texts = {_message("rejected", language, one).text for one in others}
        assert _message("rejected", language, reason).text not in texts
