"""A client of one service's API, in one process with it."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import httpx

from waybill_runtime.http.auth import KeyRing, new_key
from waybill_runtime.service import Service

PEPPER = "pepper"


@asynccontextmanager
async def asking(
    service: Service, scopes: Collection[str], *, name: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Ask with a key of this name and these scopes."""
    on, key = service.infrastructure, new_key()
    ring = KeyRing(on.store, on.clock, PEPPER)
    await ring.add(key, name=name, scopes=scopes)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app(ring)),
        base_url=f"http://{service.blueprint.name}.test",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        yield client
