"""Where fulfillment is put together: only here is it known which adapter is behind a port."""

from pydantic import TypeAdapter

from fulfillment import api, due, service, timers, views
from fulfillment.adapters.carrier_http import HttpCarrier
from fulfillment.due import Deadlines
from fulfillment.effects.labels import Labels
from fulfillment.effects.parcels import Parcels
from fulfillment.effects.shipping import Shipping
from fulfillment.feed import Feed
from fulfillment.ports import Carrier, Recipient
from fulfillment.service import Warehouse
from fulfillment.settings import Settings
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import Recipients
from waybill_runtime.service import Blueprint


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Fulfillment on this infrastructure, with the carrier and the vault over HTTP."""
    carrier = HttpCarrier(
        settings.carrier_url,
        settings.carrier_api_key.get_secret_value(),
        timeout_s=settings.carrier_timeout_s,
        callback_url=settings.carrier_callback_url,
    )
    recipients = HttpRecipients(
        TypeAdapter(Recipient),
        settings.capture_url,
        settings.capture_key.get_secret_value(),
        on.clock,
        timeout_s=settings.capture_timeout_s,
        remember_s=settings.recipient_cache_s,
    )
    return assemble(settings, on, carrier, recipients)


def assemble(
    settings: Settings, on: Infrastructure, carrier: Carrier, recipients: Recipients[Recipient]
) -> Blueprint:
    """Fulfillment with this carrier and these recipients: a simulator brings its own."""
    within = Deadlines(
        accept_s=settings.accept_s,
        pick_s=settings.pick_s,
        pack_s=settings.pack_s,
        ship_s=settings.ship_s,
        deliver_s=settings.deliver_s,
        label_grace_s=settings.label_grace_s,
        track_s=settings.track_poll_s,
    )
    fulfillment = service.rules(within)
    warehouse = Warehouse(on, fulfillment)
    labels = Labels(on, fulfillment, carrier, recipients)
    parcels = Parcels(
        on,
        fulfillment,
        carrier,
        poll_s=settings.track_poll_s,
        poll_s_max=settings.track_poll_s_max,
    )
    shipping = Shipping(on=on, fulfillment=fulfillment, warehouse=warehouse, labels=labels)
    secret = settings.carrier_webhook_secret.get_secret_value()

    async def close() -> None:
        await carrier.close()
        await recipients.close()

    return Blueprint(
        name="fulfillment",
        summary="Fulfillment orders: accepted, picked, packed, shipped, delivered.",
        deciders=(fulfillment,),
        routers=(
            api.warehouse_router(on, warehouse, shipping),
            api.feed_router(Feed(on)),
            api.callback_router(on, parcels, secret),
        ),
        handler=service.on_events(fulfillment, within, recipients),
        handles=service.HANDLES,
        views=(views.FULFILLMENT_ORDERS,),
        timers={due.MISS: timers.missing_deadlines(fulfillment)},
        effects={due.LABEL: labels.finish, due.TRACK: parcels.poll},
        effects_at_once=settings.effects_at_once,
        close=close,
    )
