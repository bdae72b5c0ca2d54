"""Where notification is put together: the only place that knows the adapters."""

from collections.abc import Mapping

from pydantic import TypeAdapter

from notification import api, due, reactor, service, views
from notification.adapters.smtp import SmtpChannel
from notification.adapters.text_http import HttpTextChannel
from notification.effects import Sender
from notification.ports import Channel, Recipient
from notification.service import Notifications
from notification.settings import Settings
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import Recipients
from waybill_runtime.service import Blueprint

REMEMBER_S = 60.0


def compose(settings: Settings, on: Infrastructure) -> Blueprint:
    """Notification with its real channels."""
    timeout_s = settings.channel_timeout_s
    recipients = HttpRecipients(
        TypeAdapter(Recipient),
        settings.capture_url,
        settings.capture_key.get_secret_value(),
        on.clock,
        timeout_s=timeout_s,
        remember_s=REMEMBER_S,
    )
    channels: dict[str, Channel] = {
        "email": SmtpChannel(
            settings.smtp_host, settings.smtp_port, sender=settings.sender, timeout_s=timeout_s
        )
    }
    if settings.message_url:
        for name in ("sms", "chat"):
            channels[name] = HttpTextChannel(settings.message_url, name, timeout_s=timeout_s)
    return assemble(settings, on, recipients, channels)


def assemble(
    settings: Settings,
    on: Infrastructure,
    recipients: Recipients[Recipient],
    channels: Mapping[str, Channel],
) -> Blueprint:
    """Notification with these recipients and channels; closing the blueprint closes them."""

    async def close() -> None:
        await recipients.close()
        for channel in channels.values():
            await channel.close()

    return Blueprint(
        name="notification",
        summary="Messages to customers: decided once, sent, and accounted for.",
        deciders=(service.MESSAGE, service.PREFERENCES),
        routers=(api.router(on, Notifications(on)),),
        handler=service.on_events(recipients, settings.channels),
        handles=reactor.HANDLES,
        views=(views.ORDER_FACTS, views.DELIVERIES),
        effects={due.SEND: Sender(on, recipients, channels).send},
        effects_at_once=settings.effects_at_once,
        close=close,
    )
