"""Callbacks: what is still to be told, to whom and when; and how it is signed.

Pure: the courier (or a simulator) takes what is due and says how it went. One lane is told in
order, one at a time; lanes do not wait for each other.
"""

import base64
import binascii
import hashlib
import heapq
import hmac
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from waybill_sandboxes import clock

FIRST_RETRY_S = 0.2
RETRY_MAX_S = 30.0


class CallbackFaults(BaseModel):
    """How often callbacks lie; each a probability in [0, 1], drawn from one seeded source.

    Of lies that exclude each other one is drawn: together they are at most 1. When a callback is
    told is drawn of those that are told at all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lost_callbacks: float = Field(0.0, ge=0, le=1)
    late_callbacks: float = Field(0.0, ge=0, le=1)
    reordered_callbacks: float = Field(0.0, ge=0, le=1)
    duplicate_callbacks: float = Field(0.0, ge=0, le=1)
    late_s: float = Field(5.0, ge=0, le=600)
    reordered_s: float = Field(1.0, ge=0, le=600)
    seed: int = 0

    def copies(self) -> Mapping[str, float]:
        """Told never, or twice."""
        return {
            "lost_callbacks": self.lost_callbacks,
            "duplicate_callbacks": self.duplicate_callbacks,
        }

    def turns(self) -> Mapping[str, float]:
        """Told late, or out of its turn."""
        return {
            "late_callbacks": self.late_callbacks,
            "reordered_callbacks": self.reordered_callbacks,
        }

    def alternatives(self) -> Sequence[Mapping[str, float]]:
        """The lies that exclude each other."""
        return (self.copies(), self.turns())

    @model_validator(mode="after")
    def _leave_no_more_than_one(self) -> Self:
        for chances in self.alternatives():
            if round(total := sum(chances.values()), 9) > 1:
                names = ", ".join(chances)
                raise ValueError(f"of {names} one is drawn: together at most 1, not {total:g}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One message to one address, told at least once or given up after so many tries."""

    id: str
    lane: str
    url: str
    body: bytes
    due_at: datetime
    tries: int = 0

    def json(self) -> dict[str, Any]:
        """The body, read."""
        read: dict[str, Any] = json.loads(self.body)
        return read


class Outbox:
    """The callbacks not yet told: at most `limit`, each tried at most `tries_max` times."""

    def __init__(self, *, limit: int = 20_000, tries_max: int = 12) -> None:
        self._limit = limit
        self._tries_max = tries_max
        self._lanes: dict[str, deque[Callback]] = {}
        self._heads: list[tuple[datetime, int, str]] = []
        self._order = 0
        self._size = 0
        self.dropped = 0
        self.struck: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._size

    def add(self, callback: Callback) -> None:
        """Queue a callback; when the queue is full it is dropped and counted."""
        if self._size >= self._limit:
            self.dropped += 1
            return
        self._size += 1
        lane = self._lanes.get(callback.lane)
        if lane is not None:
            lane.append(callback)
            return
        self._lanes[callback.lane] = deque([callback])
        self._put_head(callback)

    def add_with_faults(self, callback: Callback, faults: CallbackFaults, dice: clock.Dice) -> None:
        """Queue a callback as the faults will have it: lost, late, out of its turn, or twice."""
        copies = self._strike(dice.draw(faults.copies()))
        if copies == "lost_callbacks":
            return
        told = callback
        match self._strike(dice.draw(faults.turns())):
            case "late_callbacks":
                told = _out_of_turn(callback, faults.late_s)
            case "reordered_callbacks":
                told = _out_of_turn(callback, faults.reordered_s * dice.roll())
        self.add(told)
        if copies == "duplicate_callbacks":
            self.add(replace(told, lane=f"{told.lane}+{told.id}"))

    def take_due(self, now: datetime, limit: int) -> list[Callback]:
        """Up to `limit` callbacks due by now; each must come back by `told` or `failed`."""
        taken: list[Callback] = []
        while self._heads and len(taken) < limit and self._heads[0][0] <= now:
            _, _, lane = heapq.heappop(self._heads)
            taken.append(self._lanes[lane][0])
        return taken

    def told(self, callback: Callback) -> None:
        """It arrived: forget it, its lane goes on."""
        lane = self._lanes[callback.lane]
        lane.popleft()
        self._size -= 1
        if lane:
            self._put_head(lane[0])
        else:
            del self._lanes[callback.lane]

    def failed(self, callback: Callback, now: datetime) -> bool:
        """It did not arrive: try again later. False when this was the last try."""
        tries = callback.tries + 1
        if tries >= self._tries_max:
            self.told(callback)
            return False
        pause_s = min(FIRST_RETRY_S * 2 ** (tries - 1), RETRY_MAX_S)
        again = replace(callback, tries=tries, due_at=now + timedelta(seconds=pause_s))
        self._lanes[callback.lane][0] = again
        self._put_head(again)
        return True

    def next_due(self) -> datetime | None:
        """When the next callback is due, None when none waits."""
        return self._heads[0][0] if self._heads else None

    def _strike(self, lie: str | None) -> str | None:
        """Count a lie that was drawn, if one was."""
        if lie is not None:
            self.struck[lie] += 1
        return lie

    def _put_head(self, callback: Callback) -> None:
        self._order += 1
        heapq.heappush(self._heads, (callback.due_at, self._order, callback.lane))


def _out_of_turn(callback: Callback, delay_s: float) -> Callback:
    return replace(
        callback,
        lane=f"{callback.lane}/{callback.id}",
        due_at=callback.due_at + timedelta(seconds=delay_s),
    )


def signature(secret: str, *, message_id: str, timestamp: str, body: bytes) -> str:
    """The `Webhook-Signature` of the Standard Webhooks scheme, version 1."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed_headers(secret: str, callback: Callback, now: datetime) -> dict[str, str]:
    """The headers that a callback is sent with; the timestamp is the try's, not the event's."""
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "Webhook-Id": callback.id,
        "Webhook-Timestamp": timestamp,
        "Webhook-Signature": signature(
            secret, message_id=callback.id, timestamp=timestamp, body=callback.body
        ),
    }


def _key(secret: str) -> bytes:
    """`whsec_<base64>` is the scheme's own form; any other text is taken as it stands."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as malformed:
        raise ValueError("a whsec_ secret must be base64 after its prefix") from malformed
