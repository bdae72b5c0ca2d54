"""Every service's schema and keys, and the bus's topics, made by one process before any starts.

An interpreter for each of thirty small steps would be most of a first start's time.
"""

import asyncio
import sys

from waybill.plan import Plan, Service
from waybill_events.catalogue import TOPICS
from waybill_runtime.adapters.postgres import bus_schema, grants, migrate
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Bus
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.ids import RandomIds

CLOCK = SystemClock()


async def prepare(plan: Plan) -> None:
    """Bring every database to this release's schema, let the keys in, make the topics.

    May be called again and by several at once; raises what the store or the bus raised.
    """
    for service in plan.services:
        roles = grants.Roles(application=service.role, reader=plan.reader)
        await migrate.upgrade(service.owner_dsn, roles)
        await _let_in(service)
    if not plan.kafka_bootstrap:
        roles = grants.Roles(application=plan.bus_role, reader=plan.reader)
        await bus_schema.prepare(plan.bus_owner_dsn, roles)
    bus = _bus(plan)
    try:
        await bus.ensure_topics(sorted(TOPICS))
    finally:
        await bus.close()


async def _let_in(service: Service) -> None:
    store = await PostgresStore.open(service.dsn, clock=CLOCK, max_connections=2)
    ring = KeyRing(store, CLOCK, service.pepper)
    try:
        for key in service.keys:
            await ring.add(key.secret, name=key.name, scopes=ROLES[key.role])
    finally:
        await store.close()


def _bus(plan: Plan) -> Bus:
    if plan.kafka_bootstrap:
        from waybill_runtime.adapters.kafka.bus import KafkaBus

        return KafkaBus(plan.kafka_bootstrap)
    from waybill_runtime.adapters.postgres.bus import PostgresBus

    return PostgresBus(plan.bus_dsn, CLOCK, RandomIds(CLOCK))


if __name__ == "__main__":
    asyncio.run(prepare(Plan.model_validate_json(sys.stdin.read())))
