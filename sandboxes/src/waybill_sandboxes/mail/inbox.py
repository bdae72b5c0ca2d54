"""The sink's core: every message kept on disk, the newest ones at hand, none delivered.

Pure but for its journal: the time is an argument. A text posted twice under one dedupe key is kept
once, as long as the key is among the newest `dedupe_keys_max`.
"""

import email
import email.policy
from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime
from email.message import EmailMessage
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from waybill_sandboxes import clock, journal

Message = dict[str, Any]


class Text(BaseModel):
    """An SMS or a chat message to one address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = Field(min_length=1, max_length=320)
    text: str = Field(min_length=1, max_length=10_000)
    dedupe_key: str = Field(min_length=1, max_length=255)


class Inbox:
    """All messages ever taken, numbered from 1; at most `newest_max` of them in memory."""

    def __init__(
        self, store: journal.Journal, *, newest_max: int = 1000, dedupe_keys_max: int = 100_000
    ) -> None:
        self._journal = store
        self._newest: deque[Message] = deque(maxlen=newest_max)
        self._dedupe: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._dedupe_keys_max = dedupe_keys_max
        self._count = 0
        for message in store.records():
            self._fold(message)

    def take_mail(
        self, raw: bytes, *, sender: str, recipients: list[str], now: datetime
    ) -> Message:
        """Keep one e-mail as it came over SMTP; the envelope says from whom and to whom."""
        parsed = email.message_from_bytes(raw, policy=email.policy.default)
        return self._keep(
            channel="email",
            now=now,
            sender=sender,
            recipients=recipients,
            subject=_clean(parsed.get("Subject", "")),
            message_id=_clean(parsed.get("Message-ID", "")),
            text=_part(parsed, "plain"),
            html=_part(parsed, "html"),
            headers={name: _clean(value) for name, value in parsed.items()},
        )

    def take_text(self, channel: str, text: Text, now: datetime) -> tuple[int, bool]:
        """Keep an SMS or chat message; (its number, whether it is new)."""
        known = self._dedupe.get((channel, text.dedupe_key))
        if known is not None:
            return known, False
        message = self._keep(
            channel=channel,
            now=now,
            sender="",
            recipients=[text.to],
            subject="",
            message_id=text.dedupe_key,
            text=text.text,
            html="",
            headers={},
        )
        return message["seq"], True

    def messages(
        self, *, to: str | None = None, channel: str | None = None, after: int = 0, limit: int = 100
    ) -> list[Message]:
        """Messages numbered above `after` that match, oldest first, at most `limit`."""
        found: list[Message] = []
        for message in self._since(after):
            if len(found) == limit:
                break
            if (to is None or to in message["to"]) and channel in (None, message["channel"]):
                found.append(message)
        return found

    def newest(self, limit: int) -> list[Message]:
        """The newest messages, newest first."""
        return list(reversed(self._newest))[:limit]

    def find(self, seq: int) -> Message | None:
        """One message by its number."""
        found = self.messages(after=seq - 1, limit=1) if seq >= 1 else []
        return found[0] if found else None

    def _since(self, after: int) -> Iterable[Message]:
        oldest_at_hand = self._count - len(self._newest) + 1
        if after + 1 < oldest_at_hand:
            return self._journal.records(max(after, 0))
        return (message for message in list(self._newest) if message["seq"] > after)

    def _keep(
        self, *, channel: str, now: datetime, sender: str, recipients: list[str], **content: Any
    ) -> Message:
        message = {
            "seq": self._count + 1,
            "at": clock.stamp(now),
            "channel": channel,
            "from": sender,
            "to": recipients,
            **content,
        }
        self._journal.append(message)
        self._fold(message)
        return message

    def _fold(self, message: Message) -> None:
        self._count += 1
        self._newest.append(message)
        if message["channel"] != "email":
            self._dedupe[message["channel"], message["message_id"]] = message["seq"]
            if len(self._dedupe) > self._dedupe_keys_max:
                self._dedupe.popitem(last=False)


def _part(parsed: EmailMessage, kind: str) -> str:
    """The text of one body part, empty when there is none."""
    part = parsed.get_body(preferencelist=(kind,))
    try:
        return "" if part is None else _clean(part.get_content())
    except (LookupError, ValueError):
        # An unknown charset or a broken encoding: the sink keeps the rest of the mail.
        return ""


def _clean(value: object) -> str:
    """A mail's text without the lone surrogates that stand for its undecodable bytes."""
    return str(value).encode("utf-8", "replace").decode()
