"""Let the development keys of docker-compose.yml into each service; may run at every start.

The keys come as `<NAME>_KEY`, with the settings of every service beside them. What a person
needs is printed: `docker compose logs keys`.
"""

import asyncio
import os
import sys

from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.http import auth

PEOPLE = ("storefront", "warehouse", "operator")
PEERS = ("fulfillment", "notification")


async def let_in(service: str) -> None:
    """Add the people's keys to a service, and its peers' keys to capture."""
    prefix = service.upper()
    clock = SystemClock()
    store = await PostgresStore.open(
        os.environ[f"{prefix}_DATABASE_URL"], clock=clock, max_connections=2
    )
    try:
        ring = auth.KeyRing(store, clock, os.environ[f"{prefix}_KEY_PEPPER"])
        for role in PEOPLE:
            key = os.environ[f"{role.upper()}_KEY"]
            await ring.add(key, name=role, scopes=auth.ROLES[role])
        for peer in PEERS if service == "capture" else ():
            key = os.environ[f"{peer.upper()}_PEER_KEY"]
            await ring.add(key, name=f"service-{peer}", scopes=auth.ROLES["service"])
    finally:
        await store.close()


async def main() -> None:
    for service in SUBSCRIPTIONS:
        await let_in(service)
    for role in PEOPLE:
        name = f"{role.upper()}_KEY"
        sys.stdout.write(f"{name}={os.environ[name]}\n")


if __name__ == "__main__":
    asyncio.run(main())
