"""Carries messages to people, outside transactions, and brings back what came of it."""

from collections.abc import Mapping

from notification import decider, due, rendering, service, views
from notification.ports import (
    Channel,
    ChannelRefused,
    ChannelUnavailable,
    Outgoing,
    Recipient,
)
from waybill_events.notification import NotificationDecided
from waybill_runtime.decider import Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome, backoff_s
from waybill_runtime.recipients import RecipientErased, Recipients, RecipientsUnavailable
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.work import Work


class Sender:
    """Carries out one decided message. May be called again for the same one."""

    def __init__(
        self,
        on: Infrastructure,
        recipients: Recipients[Recipient],
        channels: Mapping[str, Channel],
    ) -> None:
        self._on = on
        self._recipients = recipients
        self._channels = channels

    async def send(self, job: ClaimedJob) -> Outcome:
        """Send, or say why not. Trouble on the way brings the job back, a limited time."""
        told = due.message_of(job)
        try:
            command = await self._attempt(job, told)
        except (ChannelUnavailable, RecipientsUnavailable) as error:
            reason = f"{type(error).__name__}: {error}"
            failed = decider.in_vain(reason, job.attempt)
            if failed is None:
                return Outcome(again_s=backoff_s(job.attempt, self._on.ids), reason=reason)
            command = failed
        return Outcome([Intent(service.MESSAGE, told.dedupe_key, command)])

    async def _attempt(self, job: ClaimedJob, told: NotificationDecided) -> decider.Command:
        facts = await self._facts(job.tenant, told.order_id)
        if facts is None:
            raise RecipientsUnavailable("the order itself has not been read yet")
        said = await self._said(job.tenant, facts.customer_ref)
        if (unwanted := decider.unwanted(told.channel, said)) is not None:
            return unwanted
        recipient = await self._recipient(told.recipient_ref)
        channel = self._channels.get(told.channel)
        address = None if recipient is None else _address(recipient, told.channel)
        if recipient is None or channel is None or address is None:
            return decider.unreachable(is_erased=recipient is None, has_channel=channel is not None)
        try:
            reference = await channel.send(_outgoing(told, facts, recipient, address))
        except ChannelRefused as error:
            return decider.refused(str(error), job.attempt)
        return decider.NoteSent(provider_ref=reference)

    async def _facts(self, tenant: str, order_id: str) -> views.OrderFacts | None:
        view = views.ORDER_FACTS
        async with self._on.store.reading() as reading:
            found = await reading.documents.get(tenant, view.name, [order_id])
        return view.model.validate_json(found[order_id].body) if order_id in found else None

    async def _recipient(self, recipient_ref: str) -> Recipient | None:
        """The person behind a reference; None once it is erased."""
        try:
            return await self._recipients.read(recipient_ref)
        except RecipientErased:
            return None

    async def _said(self, tenant: str, customer_ref: str | None) -> decider.Preferences:
        """What a customer said of channels; a guest said nothing."""
        if customer_ref is None:
            return ()
        async with self._on.store.reading() as reading:
            work = Work(reading, now=self._on.store.now(), ids=self._on.ids, tenant=tenant)
            await work.load(service.PREFERENCES, [customer_ref], lock=False)
            said: decider.Preferences = work.state(service.PREFERENCES, customer_ref)
        return said


def _address(recipient: Recipient, channel: str) -> str | None:
    return recipient.email if channel == "email" else recipient.phone


def _outgoing(
    told: NotificationDecided,
    facts: views.OrderFacts,
    recipient: Recipient,
    address: str,
) -> Outgoing:
    details = told.details
    amount = ""
    if "amount_minor" in details:
        amount_minor = int(details["amount_minor"])
        amount = rendering.money(amount_minor, details["currency"], recipient.locale)
    values = {
        "name": recipient.name,
        "number": facts.external_ref or told.order_id,
        "amount": amount,
        "lines": [(details[id_], name) for id_, name in facts.names.items() if id_ in details],
        "details": details,
        "tracking_url": recipient.tracking_url,
    }
    rendered = rendering.render(told.template, recipient.locale, values)
    if told.channel == "email":
        return Outgoing(
            message_id=told.message_id,
            to=address,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
        )
    brief = f"{rendered.subject}. {recipient.tracking_url}".strip()
    return Outgoing(message_id=told.message_id, to=address, subject="", text=brief)
