"""API keys: `wb_<id>_<secret>`, shown once, stored as keyed hashes, with scopes and a tenant."""

import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from waybill_events.envelope import DEFAULT_TENANT
from waybill_runtime import ids
from waybill_runtime.clock import Clock
from waybill_runtime.http import limits, query
from waybill_runtime.http.problem import Refused
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Document

VIEW = "api-keys"
CACHE_S = 3.0
CACHED_MAX = 10_000
KEY_LENGTH_MAX = 200
ENTRIES_AT_ONCE = 500

ROLES = {
    "storefront": ("orders:read", "orders:write", "stock:read"),
    "warehouse": ("fulfillment:read", "fulfillment:write", "stock:read", "stock:write"),
    "operator": (
        "fulfillment:read",
        "fulfillment:write",
        "notifications:read",
        "notifications:write",
        "operations",
        "orders:read",
        "orders:write",
        "payments:read",
        "payments:write",
        "recipients:erase",
        "stock:read",
        "stock:write",
        "timeline:read",
    ),
    "service": ("recipients:read",),
}
"""Scopes of the keys that are handed out together."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: the key's id and name, its tenant, what it may do."""

    key_id: str
    name: str
    tenant: str
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        return f"key:{self.key_id}"


@dataclass(frozen=True, slots=True)
class _Cached:
    at_s: float
    principal: Principal
    hash: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as its service knows it; the key itself nobody knows but its holder."""

    key_id: str
    name: str
    scopes: Collection[str]
    expires_at: datetime | None = None


def new_key() -> str:
    """A new API key's text; 256 random bits behind an id that may be logged."""
    key_id = ids.secret("x")[2:10].replace("_", "0").replace("-", "1")
    return f"wb_{key_id}_{ids.secret('s')[2:]}"


class KeyRing:
    """Knows keys by their hashes. A key that expired or was revoked is dead within CACHE_S."""

    def __init__(self, store: Store, clock: Clock, pepper: str) -> None:
        self._store = store
        self._clock = clock
        self._pepper = pepper.encode()
        self._cache: dict[str, _Cached] = {}

    def _hash(self, key: str) -> str:
        return hmac.new(self._pepper, key.encode(), hashlib.sha256).hexdigest()

    async def add(
        self,
        key: str,
        *,
        name: str,
        scopes: Collection[str],
        expires_at: datetime | None = None,
    ) -> str:
        """Let a key in; answers its id. The same key again replaces its name and scopes.

        Its end stays, when none is given: letting in again does not bring back what was revoked.
        """
        key_id = key.split("_", 2)[1]
        async with self._store.transaction() as transaction:
            known = await _row(transaction, key_id)
            until = known.get("expires_at") if expires_at is None else expires_at.isoformat()
            row = {"name": name, "hash": self._hash(key), "scopes": sorted(scopes)}
            await _put(transaction, key_id, row | {"expires_at": until})
        return key_id

    async def expire(self, key_id: str, at: datetime) -> bool:
        """Let a key in until then and no longer, nor longer than before; whether there is one."""
        async with self._store.transaction() as transaction:
            row = await _row(transaction, key_id)
            if not row:
                return False
            ends = [_moment(row), at]
            first = min(end for end in ends if end is not None)
            await _put(transaction, key_id, row | {"expires_at": first.isoformat()})
        return True

    async def revoke(self, key_id: str) -> bool:
        """Let a key in no longer; whether there is one. It stays on record."""
        return await self.expire(key_id, self._store.now())

    async def entries(self) -> Sequence[Entry]:
        """Every key that was ever let in, by id."""
        found: list[Entry] = []
        after: str | None = None
        async with self._store.reading() as reading:
            while True:
                page = await reading.documents.find(
                    DEFAULT_TENANT, VIEW, {}, after=after, limit=ENTRIES_AT_ONCE
                )
                for key_id, document in page:
                    row = json.loads(document.body)
                    found.append(Entry(key_id, row["name"], row["scopes"], _moment(row)))
                if len(page) < ENTRIES_AT_ONCE:
                    return found
                after = page[-1][0]

    async def principal(self, key: str) -> Principal | None:
        """Who this key is, or None.

        Raises:
            StoreUnavailable: nobody is let in while keys cannot be read.
        """
        parts = key.split("_", 2)
        if len(parts) != 3 or parts[0] != "wb" or len(key) > KEY_LENGTH_MAX:
            return None
        return self.remembered(key) or self._matching(await self._read(parts[1]), key)

    def remembered(self, key: str) -> Principal | None:
        """The same without a look at the store; None as well for what was not read lately."""
        cached = self._cache.get(key[:KEY_LENGTH_MAX].partition("_")[2].partition("_")[0])
        if cached is None or self._clock.monotonic_s() - cached.at_s > CACHE_S:
            return None
        return self._matching(cached, key)

    def _matching(self, cached: _Cached | None, key: str) -> Principal | None:
        if cached is None or not hmac.compare_digest(cached.hash, self._hash(key)):
            return None
        if cached.expires_at is not None and cached.expires_at <= self._store.now():
            return None
        return cached.principal

    async def _read(self, key_id: str) -> _Cached | None:
        self._cache.pop(key_id, None)
        async with self._store.reading() as reading:
            row = await _row(reading, key_id)
        if not row:
            return None
        principal = Principal(key_id, row["name"], DEFAULT_TENANT, frozenset(row["scopes"]))
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        cached = _Cached(self._clock.monotonic_s(), principal, row["hash"], _moment(row))
        self._cache[key_id] = cached
        return cached


async def _row(transaction: Transaction, key_id: str) -> dict[str, Any]:
    """What is kept of a key; nothing of one that is unknown."""
    found = await transaction.documents.get(DEFAULT_TENANT, VIEW, [key_id])
    kept: dict[str, Any] = json.loads(found[key_id].body) if key_id in found else {}
    return kept


async def _put(transaction: Transaction, key_id: str, row: Mapping[str, Any]) -> None:
    await transaction.documents.put(DEFAULT_TENANT, VIEW, {key_id: Document(json.dumps(row))})


def _moment(row: Mapping[str, Any]) -> datetime | None:
    """When a key ends; keys of the first release have no such field, and no end."""
    until = row.get("expires_at")
    return None if until is None else datetime.fromisoformat(until)


_bearer = HTTPBearer(auto_error=False, description="An API key, as `Bearer wb_…`.")


async def identify(request: Request) -> Principal | None:
    """Who is calling, counted once: against its key, or where it comes from if it shows no valid
    one. Looking up a key that this process does not remember is counted there, too.

    Raises:
        Refused: 429, it asks too much.
        StoreUnavailable: nobody is let in while keys cannot be read.
    """
    if request.url.path in limits.UNLIMITED_PATHS:
        return None
    keys: KeyRing = request.app.state.keys
    limited: limits.Limits = request.app.state.limits
    scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
    is_key = scheme.lower() == "bearer"
    principal = keys.remembered(key) if is_key else None
    if principal is None:
        limited.take_address(request.scope)
        principal = await keys.principal(key) if is_key else None
    if principal is not None:
        limited.take_key(principal.key_id)
    return principal


def requires(scope: str) -> Callable[..., object]:
    """A dependency that answers the Principal, if its key has this scope.

    It is also where unknown query parameters are refused, behind the key.
    """

    async def check(
        request: Request,
        principal: Annotated[Principal | None, Depends(identify)],
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Principal:
        if principal is None:
            raise Refused(
                401,
                "unauthorized",
                "Send a valid API key as `Authorization: Bearer wb_…`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope not in principal.scopes:
            raise Refused(403, "forbidden", f"This key lacks the scope {scope}.")
        query.check_known(request)
        return principal

    return check
