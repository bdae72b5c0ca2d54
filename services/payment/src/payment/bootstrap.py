"""Where payment is put together: the only place that knows which adapter stands behind a port."""

from payment import api, due, reactor, service, timers
from payment.adapters.gateway_http import HttpGateway
from payment.effects import Caller
from payment.ports import PaymentGateway
from payment.settings import Settings
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Blueprint


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Payment on this infrastructure, with the gateway over HTTP."""
    gateway = HttpGateway(
        settings.gateway_url,
        settings.gateway_api_key.get_secret_value(),
        timeout_s=settings.gateway_timeout_s,
    )
    return assemble(settings, on, gateway)


def assemble(settings: Settings, on: Infrastructure, gateway: PaymentGateway) -> Blueprint:
    """Payment on this infrastructure, with any gateway; closing the blueprint closes it."""
    payments = service.Payments(on)
    secret = settings.gateway_webhook_secret.get_secret_value()
    return Blueprint(
        name="payment",
        summary="Payments: authorised, captured per shipment, voided, refunded.",
        deciders=(service.PAYMENT,),
        routers=(
            api.payments_router(on, payments),
            api.callbacks_router(on, payments, secret),
        ),
        handler=service.on_events,
        handles=reactor.HANDLES,
        timers={due.EXPIRE: timers.expire},
        effects=dict.fromkeys(due.CALLS, Caller(gateway, on.ids).call),
        effects_at_once=settings.effects_at_once,
        close=gateway.close,
    )
