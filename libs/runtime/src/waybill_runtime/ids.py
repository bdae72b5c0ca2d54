"""The only place that draws chance: ids, secrets and jitter.

Ids are time-ordered UUIDs (RFC 9562, version 7) written in Crockford base 32, 26 characters, so
that their text sorts as they were made. Everything about one order shares its order's suffix:
`ord_X`, `pay_X`, `res_X`, `ffo_X-1`, `shp_X-1`.
"""

import random
import secrets
import uuid
from typing import Protocol

from waybill_runtime.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Ids(Protocol):
    """A source of ids and chance."""

    def event_id(self) -> str:
        """A new UUIDv7 in its usual text form; unique, and later ones sort after."""
        ...

    def new(self, prefix: str) -> str:
        """A new id `<prefix>_<26 characters>`; unique, and later ones sort after."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1), for spreading retries."""
        ...


class RandomIds:
    """Ids from a clock and a random source; seeded, they repeat exactly."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._random: random.Random = (
            secrets.SystemRandom() if seed is None else random.Random(seed)
        )
        self._last_ms = 0
        self._counter = 0

    def _uuid7(self) -> int:
        """48 bits of milliseconds, a 12-bit counter within one, 62 random bits (RFC 9562 6.2)."""
        now_ms = int(self._clock.now().timestamp() * 1000)
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms, self._counter = self._last_ms + 1, 0
        tail = self._random.getrandbits(62)
        return (
            (self._last_ms & 0xFFFFFFFFFFFF) << 80
            | 0x7 << 76
            | self._counter << 64
            | 0b10 << 62
            | tail
        )

    def event_id(self) -> str:
        return str(uuid.UUID(int=self._uuid7()))

    def new(self, prefix: str) -> str:
        number = self._uuid7()
        return f"{prefix}_" + "".join(
            _ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)
        )

    def jitter(self) -> float:
        return self._random.random()


def secret(prefix: str) -> str:
    """A new secret `<prefix>_<43 characters>` of 256 random bits; shown once, never logged."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"
