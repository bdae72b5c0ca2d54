"""What notification needs of the outside: the people behind references, and the channels."""

from dataclasses import dataclass
from typing import Protocol


class RecipientsUnavailable(Exception):
    """Nobody could say who the recipient is; ask again later."""


class RecipientErased(Exception):
    """The recipient was forgotten: there is nobody to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom to tell, and how. Personal: never logged, never in an event."""

    name: str
    locale: str
    email: str | None = None
    phone: str | None = None
    tracking_url: str = ""


class Recipients(Protocol):
    """The people behind references. What is remembered is remembered briefly."""

    async def read(self, recipient_ref: str) -> Recipient:
        """Whom the reference stands for.

        Raises:
            RecipientErased: nobody any more, or nobody ever.
            RecipientsUnavailable: ask again later.
        """
        ...

    def forget(self, recipient_ref: str) -> None:
        """Drop what is remembered of this one. Unknown ones are fine."""
        ...

    async def close(self) -> None: ...


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
