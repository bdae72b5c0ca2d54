"""How much one caller may ask: a token bucket per API key, and per address of those without one.

Kept by each process for itself, in memory and bounded: nothing else has to answer before a request
is let in or turned away. What is off takes everything.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from starlette.types import Scope

from waybill_runtime import metrics
from waybill_runtime.clock import Clock
from waybill_runtime.http.problem import Refused

BUCKETS_MAX = 10_000
UNLIMITED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""A probe that is turned away would have a busy process restarted."""

Caller = Literal["key", "address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many a second for ever, and `burst` at once after a rest; 0 a second is no limit."""

    per_s: float = 0.0
    burst: int = 1


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Buckets:
    """A bucket for each name. The longest unused is forgotten when there are too many."""

    def __init__(self, clock: Clock, rate: Rate, *, most: int = BUCKETS_MAX) -> None:
        self._clock = clock
        self._rate = rate
        self._most = most
        self._kept: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def wait_s(self, name: str) -> float:
        """0 when one more was taken; else how long until one can be, and nothing was taken."""
        if self._rate.per_s <= 0:
            return 0.0
        now_s = self._clock.monotonic_s()
        bucket = self._kept.get(name)
        if bucket is None:
            bucket = self._kept[name] = _Bucket(self._rate.burst, now_s)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        gained = (now_s - bucket.at_s) * self._rate.per_s
        bucket.tokens = min(self._rate.burst, bucket.tokens + gained)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate.per_s
        bucket.tokens -= 1
        return 0.0


class Limits:
    """What this process takes of one key, and of one address that shows no valid key.

    A key in use is not slowed by its neighbours at one address; a forged header with its id costs
    it nothing.
    """

    def __init__(self, clock: Clock, *, key: Rate, address: Rate) -> None:
        self._buckets = {"key": Buckets(clock, key), "address": Buckets(clock, address)}

    def take_key(self, key_id: str) -> None:
        """Count a request of a key that was found valid.

        Raises:
            Refused: 429, with the time after which to come again.
        """
        self._take("key", key_id)

    def take_address(self, scope: Scope) -> None:
        """Count a request without a key that is known here against where it comes from.

        Raises:
            Refused: 429, with the time after which to come again.
        """
        self._take("address", address_of(scope))

    def _take(self, by: Caller, name: str) -> None:
        wait_s = self._buckets[by].wait_s(name)
        if wait_s > 0:
            metrics.HTTP_LIMITED.labels(by=by).inc()
            raise Refused(
                429,
                "too-many-requests",
                f"This {by} asks too much. Send the same again after the time in Retry-After.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )


def unlimited(clock: Clock) -> Limits:
    """Everything is taken."""
    return Limits(clock, key=Rate(), address=Rate())


def address_of(scope: Scope) -> str:
    """The client's address; of IPv6 the network of 64 bits, which is what one client has."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
