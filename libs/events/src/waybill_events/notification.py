"""What notification says: one decision per message, then what became of it.

Topic `notifications`, keyed by order.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from waybill_events.event import Event, Id, Text

Suppression = Literal["preference", "recipient_erased", "no_address", "no_channel"]
"""Why we send nothing today. The wire stays open: see waybill_events.capture."""


class NotificationDecided(Event):
    """This message is to go out once, through this channel. `dedupe_key` is unique for ever.

    `details` are what its template needs of the source event; never personal.
    """

    TYPE: ClassVar[str] = "notification.notification_decided.v1"
    message_id: Id
    order_id: Id
    recipient_ref: Id
    template: Id
    channel: Id
    dedupe_key: Text
    source_event_id: Id
    details: Mapping[str, str]


class NotificationSent(Event):
    TYPE: ClassVar[str] = "notification.notification_sent.v1"
    message_id: Id
    order_id: Id
    channel: Id
    provider_ref: Text


class NotificationFailed(Event):
    """The channel refused it for good, or was tried as often as we try."""

    TYPE: ClassVar[str] = "notification.notification_failed.v1"
    message_id: Id
    order_id: Id
    channel: Id
    reason: Text
    attempts: int


class NotificationSuppressed(Event):
    """It was due and deliberately not sent: preference, erased recipient, no address, import."""

    TYPE: ClassVar[str] = "notification.notification_suppressed.v1"
    message_id: Id
    order_id: Id
    channel: Id
    reason: Id


MessageEvent: TypeAlias = (
    NotificationDecided | NotificationSent | NotificationFailed | NotificationSuppressed
)
"""What a message's stream says. Its fold names each."""


class ContactPreferenceChanged(Event):
    """A customer allows or refuses a channel."""

    TYPE: ClassVar[str] = "notification.contact_preference_changed.v1"
    customer_ref: Text
    channel: Id
    allowed: bool
