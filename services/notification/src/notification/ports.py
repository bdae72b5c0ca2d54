"""What notification needs of the outside: channels, and what it takes of a recipient."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom to tell, and how. Personal: never logged, never in an event."""

    name: str
    locale: str
    email: str | None = None
    phone: str | None = None
    tracking_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message as it goes out. `message_id` is the same on every try: channels dedupe by it."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str | None = None


class ChannelRefused(Exception):
    """The channel's definite no to this message."""


class ChannelUnavailable(Exception):
    """No answer: the message may or may not have gone out."""


class Channel(Protocol):
    """One way to reach people. Every call is bounded in time."""

    async def send(self, message: Outgoing) -> str:
        """Hand the message over; answers the provider's reference.

        Raises:
            ChannelRefused: never try this one again.
            ChannelUnavailable: try again, with the same message id.
        """
        ...

    async def close(self) -> None: ...
