"""Where inventory is put together: the only place that knows what stands behind a port."""

from inventory import api, due, reactor, service, timers
from inventory.service import Reservations, Shelves
from inventory.settings import Settings
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Blueprint


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Inventory on this infrastructure."""
    reservations = Reservations(
        on, priorities=settings.priorities, hold_grace_s=settings.hold_grace_s
    )
    shelves = Shelves(on)
    return Blueprint(
        name="inventory",
        summary="Stock per SKU and location: held, allocated, released, consumed.",
        deciders=(service.RESERVATION, service.STOCK),
        routers=(
            api.bookings_router(on, shelves),
            api.sku_router(on, shelves),
            api.availability_router(shelves),
        ),
        handler=reservations.on_events,
        handles=reactor.HANDLES,
        timers={due.EXPIRE: timers.expiring(reservations)},
    )
