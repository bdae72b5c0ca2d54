"""The parked deliveries of one service, taken up with its own handler and views."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waybill import registry
from waybill.system import System
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Service
from waybill_runtime.unpark import Unparking


@asynccontextmanager
async def unparking(system: System, name: str, on: Infrastructure) -> AsyncIterator[Unparking]:
    """`on` is the service's infrastructure; the caller opened it, and closes it."""
    blueprint = registry.compose(name, system, on)
    try:
        yield Service(blueprint, on).unparking()
    finally:
        await blueprint.close()
