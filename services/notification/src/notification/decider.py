"""One message to one person through one channel: decided once, then sent, refused or suppressed.

The stream is the dedupe key, so the same fact told twice decides nothing twice. Who may be told,
and for how long it is tried, is decided here as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never

from waybill_events.notification import (
    ContactPreferenceChanged,
    MessageEvent,
    NotificationDecided,
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
    Suppression,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """This message is due. Only live facts are told: imports and repairs stay silent."""

    decision: NotificationDecided
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSent:
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteFailed:
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSuppressed:
    reason: Suppression


Command: TypeAlias = Tell | NoteSent | NoteFailed | NoteSuppressed


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing was decided yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A decided message; `status` says what became of it."""

    decision: NotificationDecided
    status: Literal["decided", "sent", "failed", "suppressed"] = "decided"


State: TypeAlias = Silent | Message

INITIAL: State = Silent()


def decide(command: Command, state: State) -> Sequence[MessageEvent]:
    """What a command adds to a message's story. The same command again adds nothing."""
    match state:
        case Silent():
            due = isinstance(command, Tell) and command.origin == "live"
            return [command.decision] if isinstance(command, Tell) and due else []
        case Message():
            return _verdict(command, state) if state.status == "decided" else []
        case _:
            assert_never(state)


def _verdict(command: Command, state: Message) -> Sequence[MessageEvent]:
    told = state.decision
    match command:
        case NoteSent(provider_ref=provider_ref):
            return [
                NotificationSent(
                    message_id=told.message_id,
                    order_id=told.order_id,
                    channel=told.channel,
                    provider_ref=provider_ref,
                )
            ]
        case NoteFailed(reason=reason, attempts=attempts):
            return [
                NotificationFailed(
                    message_id=told.message_id,
                    order_id=told.order_id,
                    channel=told.channel,
                    reason=reason,
                    attempts=attempts,
                )
            ]
        case NoteSuppressed(reason=reason):
            return [
                NotificationSuppressed(
                    message_id=told.message_id,
                    order_id=told.order_id,
                    channel=told.channel,
                    reason=reason,
                )
            ]
        case Tell():
            return []
        case _:
            assert_never(command)


def evolve(state: State, event: MessageEvent) -> State:
    """The message after an event. Never refuses: a verdict on nothing changes nothing."""
    if isinstance(event, NotificationDecided):
        return Message(decision=event)
    if isinstance(state, Silent):
        return state
    match event:
        case NotificationSent():
            return replace(state, status="sent")
        case NotificationFailed():
            return replace(state, status="failed")
        case NotificationSuppressed():
            return replace(state, status="suppressed")
        case _:
            assert_never(event)


# --- preferences --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPreference:
    """A customer allows or refuses a channel."""

    customer_ref: str
    channel: str
    allowed: bool


Preferences: TypeAlias = tuple[tuple[str, bool], ...]
"""Channels that a customer spoke of, with what was said last."""


def decide_preference(
    command: SetPreference, state: Preferences
) -> Sequence[ContactPreferenceChanged]:
    """Only a change is worth an event."""
    if dict(state).get(command.channel) == command.allowed:
        return []
    return [
        ContactPreferenceChanged(
            customer_ref=command.customer_ref, channel=command.channel, allowed=command.allowed
        )
    ]


def evolve_preference(state: Preferences, event: ContactPreferenceChanged) -> Preferences:
    return tuple(sorted({**dict(state), event.channel: event.allowed}.items()))


# --- who may be told ----------------------------------------------------------------------

TRIES = 60
"""Then the message has failed: with the backoff of jobs that is after about forty minutes."""

BY_DEFAULT: Mapping[str, bool] = {"email": True, "sms": True, "chat": False}
"""Whether a channel is used for customers who have not said."""

REASON_LENGTH_MAX = 200


def allowed(said: Preferences) -> Mapping[str, bool]:
    """Every channel, allowed or not; one that nobody spoke of is not there."""
    return {**BY_DEFAULT, **dict(said)}


def unwanted(channel: str, said: Preferences) -> NoteSuppressed | None:
    """Why nobody is even looked up: the customer, or what holds by default, is against it."""
    return None if allowed(said).get(channel, False) else NoteSuppressed(reason="preference")


def unreachable(*, is_erased: bool, has_channel: bool) -> NoteSuppressed:
    """Why somebody who may be told cannot be: forgotten, no such channel, else no address on it."""
    if is_erased:
        return NoteSuppressed(reason="recipient_erased")
    return NoteSuppressed(reason="no_address" if has_channel else "no_channel")


def refused(reason: str, attempt: int) -> NoteFailed:
    """A channel that refuses is not asked again."""
    return NoteFailed(reason=reason[:REASON_LENGTH_MAX], attempts=attempt)


def in_vain(reason: str, attempt: int) -> NoteFailed | None:
    """What trouble on the way comes to: nothing yet, for it is tried again; failure in the end."""
    return refused(reason, attempt) if attempt >= TRIES else None
