"""API keys: `wb_<id>_<secret>`, shown once, stored as keyed hashes, with scopes and a tenant."""

import hashlib
import hmac
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from waybill_events.envelope import DEFAULT_TENANT
from waybill_runtime import ids
from waybill_runtime.clock import Clock
from waybill_runtime.http import query
from waybill_runtime.http.problem import Refused
from waybill_runtime.store import Store
from waybill_runtime.stored import Document

VIEW = "api-keys"
CACHE_S = 3.0
CACHED_MAX = 10_000

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


def new_key() -> str:
    """A new API key's text; 256 random bits behind an id that may be logged."""
    key_id = ids.secret("x")[2:10].replace("_", "0").replace("-", "1")
    return f"wb_{key_id}_{ids.secret('s')[2:]}"


class KeyRing:
    """Knows keys by their hashes. A revoked key is dead within CACHE_S."""

    def __init__(self, store: Store, clock: Clock, pepper: str) -> None:
        self._store = store
        self._clock = clock
        self._pepper = pepper.encode()
        self._cache: dict[str, _Cached] = {}

    def _hash(self, key: str) -> str:
        return hmac.new(self._pepper, key.encode(), hashlib.sha256).hexdigest()

    async def add(self, key: str, *, name: str, scopes: Collection[str]) -> str:
        """Let a key in; answers its id. The same key again replaces its name and scopes."""
        key_id = key.split("_", 2)[1]
        body = json.dumps({"name": name, "hash": self._hash(key), "scopes": sorted(scopes)})
        async with self._store.transaction() as transaction:
            await transaction.documents.put(DEFAULT_TENANT, VIEW, {key_id: Document(body)})
        return key_id

    async def revoke(self, key_id: str) -> None:
        async with self._store.transaction() as transaction:
            await transaction.documents.drop(DEFAULT_TENANT, VIEW, [key_id])

    async def principal(self, key: str) -> Principal | None:
        """Who this key is, or None.

        Raises:
            StoreUnavailable: nobody is let in while keys cannot be read.
        """
        parts = key.split("_", 2)
        if len(parts) != 3 or parts[0] != "wb" or len(key) > 200:
            return None
        cached = self._cache.get(parts[1])
        if cached is None or self._clock.monotonic_s() - cached.at_s > CACHE_S:
            cached = await self._read(parts[1])
        if cached is None or not hmac.compare_digest(cached.hash, self._hash(key)):
            return None
        return cached.principal

    async def _read(self, key_id: str) -> _Cached | None:
        self._cache.pop(key_id, None)
        async with self._store.reading() as reading:
            found = await reading.documents.get(DEFAULT_TENANT, VIEW, [key_id])
        if key_id not in found:
            return None
        row = json.loads(found[key_id].body)
        principal = Principal(key_id, row["name"], DEFAULT_TENANT, frozenset(row["scopes"]))
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        cached = _Cached(self._clock.monotonic_s(), principal, row["hash"])
        self._cache[key_id] = cached
        return cached


_bearer = HTTPBearer(auto_error=False, description="An API key, as `Bearer wb_…`.")


def requires(scope: str) -> Callable[..., object]:
    """A dependency that answers the Principal, if its key has this scope.

    It is also where unknown query parameters are refused, behind the key.
    """

    async def check(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Principal:
        keys: KeyRing = request.app.state.keys
        principal = None if credentials is None else await keys.principal(credentials.credentials)
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
