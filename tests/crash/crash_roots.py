"""The services' composition roots for crash tests: real adapters, the ports outside watched."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

import capture.bootstrap
import capture.settings
import fulfillment.bootstrap
import fulfillment.ports
import fulfillment.settings
import inventory.bootstrap
import inventory.settings
import notification.bootstrap
import notification.ports
import notification.settings
import payment.bootstrap
import payment.settings
import tracking.bootstrap
import tracking.settings
from crash_told import Told
from fulfillment.adapters.carrier_http import HttpCarrier
from notification.adapters.smtp import SmtpChannel
from notification.adapters.text_http import HttpTextChannel
from payment.adapters.gateway_http import HttpGateway
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import RecipientsUnavailable
from waybill_runtime.service import Blueprint
from waybill_runtime.testing.points import Hook, watched


def _shared(told: Told) -> dict[str, Any]:
    return {"database_url": told.database, "key_pepper": told.pepper}


def _capture(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    settings = capture.settings.Settings(
        **_shared(told),
        tracking_token_secret=told.secret,
        public_tracking_url=told.urls["tracking"],
        unpaid_order_ttl_s=told.order_ttl_s,
    )
    return capture.bootstrap.compose(settings, on)


def _inventory(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    settings = inventory.settings.Settings(**_shared(told), hold_grace_s=0)
    return inventory.bootstrap.compose(settings, on)


def _payment(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    settings = payment.settings.Settings(
        **_shared(told),
        gateway_url=told.urls["gateway"],
        gateway_api_key=told.secret,
        gateway_webhook_secret=told.secret,
    )
    gateway = HttpGateway(told.urls["gateway"], told.secret, timeout_s=0.8)
    return payment.bootstrap.assemble(settings, on, watched(gateway, "payment/gateway", hook))


def _fulfillment(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    settings = fulfillment.settings.Settings(
        **_shared(told),
        carrier_webhook_secret=told.secret,
        capture_url=told.urls["capture"],
        capture_key=told.key,
        accept_s=1,
        label_grace_s=0,
        track_poll_s=0.3,
        track_poll_s_max=1.0,
    )
    carrier = HttpCarrier(told.urls["carrier"], told.secret, timeout_s=0.8)
    unavailable = fulfillment.ports.CarrierUnavailable
    recipients = HttpRecipients(
        TypeAdapter(fulfillment.ports.Recipient),
        told.urls["capture"],
        told.key,
        on.clock,
        timeout_s=0.6,
        remember_s=60,
    )
    return fulfillment.bootstrap.assemble(
        settings,
        on,
        watched(carrier, "fulfillment/carrier", hook, error=unavailable),
        watched(recipients, "fulfillment/recipients", hook, error=RecipientsUnavailable),
    )


def _notification(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    unavailable = notification.ports.ChannelUnavailable
    email = SmtpChannel("127.0.0.1", told.smtp_port, sender="Shop <a@example.com>", timeout_s=0.8)
    text = HttpTextChannel(told.urls["mail"], "sms", timeout_s=0.8)
    channels: dict[str, notification.ports.Channel] = {
        "email": watched(email, "notification/email", hook, error=unavailable),
        "sms": watched(text, "notification/sms", hook, error=unavailable),
    }
    recipients = HttpRecipients(
        TypeAdapter(notification.ports.Recipient),
        told.urls["capture"],
        told.key,
        on.clock,
        timeout_s=0.6,
        remember_s=0,
    )
    settings = notification.settings.Settings(
        **_shared(told), capture_url=told.urls["capture"], capture_key=told.key
    )
    watching = watched(recipients, "notification/recipients", hook, error=RecipientsUnavailable)
    return notification.bootstrap.assemble(settings, on, watching, channels)


def _tracking(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    return tracking.bootstrap.compose(tracking.settings.Settings(**_shared(told)), on)


COMPOSE: Mapping[str, Callable[[Told, Infrastructure, Hook], Blueprint]] = {
    "capture": _capture,
    "inventory": _inventory,
    "payment": _payment,
    "fulfillment": _fulfillment,
    "notification": _notification,
    "tracking": _tracking,
}
