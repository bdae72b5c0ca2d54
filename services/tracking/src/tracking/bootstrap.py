"""Where tracking is put together."""

from tracking import api, views
from tracking.service import Tracking
from tracking.settings import Settings
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Blueprint


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Tracking on this infrastructure. It only shows: what it does not know, it passes over."""
    return Blueprint(
        name="tracking",
        summary="Where an order is: for its customer by token, for staff by timeline.",
        routers=(api.router(on, Tracking(on), settings.streams_per_address),),
        views=(views.CUSTOMER, views.TOKENS, views.TIMELINE),
        strict=False,
    )
