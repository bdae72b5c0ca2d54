"""Where capture is put together: the only place that knows which adapter stands behind a port."""

from capture import api, due, reactor, service, timers, views
from capture.service import Orders, Tokens
from capture.settings import Settings
from capture.vault import Vault
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Blueprint


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Capture on this infrastructure."""
    tokens = Tokens(settings.tracking_token_secret.get_secret_value(), settings.public_tracking_url)
    orders = Orders(
        on,
        tokens,
        shipping_options=settings.shipping_options,
        unpaid_order_ttl_s=settings.unpaid_order_ttl_s,
    )
    return Blueprint(
        name="capture",
        summary="Orders: placed, confirmed, rejected, cancelled, expired, completed.",
        deciders=(service.ORDER, service.RECIPIENT),
        routers=(api.orders_router(on, orders), api.recipients_router(on, Vault(on, tokens))),
        handler=service.on_events,
        handles=reactor.HANDLES,
        views=(views.ORDERS,),
        timers={due.EXPIRE: timers.expire},
    )
