"""Decides messages, sends them outside transactions, and reads the delivery log."""

from collections.abc import Mapping, Sequence

from notification import decider, reactor, rendering, views
from notification.ports import (
    Channel,
    ChannelRefused,
    ChannelUnavailable,
    Outgoing,
    Recipient,
)
from waybill_events import capture, notification
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.decider import Decider, Follow, Intent
from waybill_runtime.http import conditions
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome, backoff_s
from waybill_runtime.recipients import RecipientErased, Recipients, RecipientsUnavailable
from waybill_runtime.store import Transaction
from waybill_runtime.stored import ClaimedJob, Job
from waybill_runtime.work import Asked, Work, caused_by

SEND = "notification.send"


def _follow(recorded: Recorded, event: Event) -> Follow:
    """A decision is due to be sent; a verdict ends it."""
    job_id = f"{SEND}:{recorded.stream}"
    if isinstance(event, notification.NotificationDecided):
        job = Job(
            id=job_id,
            tenant=recorded.tenant,
            kind=SEND,
            due_at=recorded.occurred_at,
            payload=event.model_dump_json(),
        )
        return Follow(schedule=(job,))
    return Follow(cancel=(job_id,))


MESSAGE: Decider[decider.Command, decider.State] = Decider(
    category="message",
    topic="notifications",
    initial=decider.INITIAL,
    decide=decider.decide,
    evolve=decider.evolve,
    key=lambda event: event.order_id,
    follow=_follow,
)

PREFERENCES: Decider[decider.SetPreference, decider.Preferences] = Decider(
    category="preferences",
    topic="notifications",
    initial=(),
    decide=decider.decide_preference,
    evolve=decider.evolve_preference,
    key=lambda event: event.customer_ref,
)


def handler(recipients: Recipients[Recipient], channels: reactor.Channels) -> Handler:
    """A handler that decides every message that a batch makes due."""

    async def on_events(work: Work, batch: Sequence[Incoming]) -> None:
        for incoming in batch:
            if isinstance(incoming.event, capture.RecipientErased):
                recipients.forget(incoming.event.recipient_ref)
        await work.run(
            [
                (Intent(MESSAGE, key, tell), caused_by(incoming.recorded, "notification"))
                for incoming in batch
                for key, tell in reactor.react(incoming.recorded, incoming.event, channels)
            ]
        )

    return on_events


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
        told = notification.NotificationDecided.model_validate_json(job.payload)
        try:
            command = await self._attempt(job, told)
        except (ChannelUnavailable, RecipientsUnavailable) as error:
            reason = f"{type(error).__name__}: {error}"
            failed = decider.in_vain(reason, job.attempt)
            if failed is None:
                return Outcome(again_s=backoff_s(job.attempt, self._on.ids), reason=reason)
            command = failed
        return Outcome([Intent(MESSAGE, told.dedupe_key, command)])

    async def _attempt(
        self, job: ClaimedJob, told: notification.NotificationDecided
    ) -> decider.Command:
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
            await work.load(PREFERENCES, [customer_ref], lock=False)
            said: decider.Preferences = work.state(PREFERENCES, customer_ref)
        return said


def _address(recipient: Recipient, channel: str) -> str | None:
    return recipient.email if channel == "email" else recipient.phone


def _outgoing(
    told: notification.NotificationDecided,
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


def _said(work: Work, customer_ref: str) -> tuple[Mapping[str, bool], int]:
    """Every channel, allowed or not, and the version of what was said."""
    said = decider.allowed(work.state(PREFERENCES, customer_ref))
    return said, work.version(PREFERENCES, customer_ref)


class Notifications:
    """Preferences and the delivery log."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on

    async def prefer(
        self,
        transaction: Transaction,
        asked: Asked,
        wanted: decider.SetPreference,
        if_match: str | None,
    ) -> tuple[Mapping[str, bool], int]:
        """Note what a customer wants; answers every channel as it stands now, and the version.

        Raises:
            Refused: 428 without a condition, 412 when something was said since.
        """
        now, ids = self._on.store.now(), self._on.ids
        work = Work(transaction, now=now, ids=ids, tenant=asked.tenant)
        await work.load(PREFERENCES, [wanted.customer_ref])
        conditions.check_match(if_match, work.version(PREFERENCES, wanted.customer_ref))
        work.execute(Intent(PREFERENCES, wanted.customer_ref, wanted), asked.cause)
        await work.flush()
        return _said(work, wanted.customer_ref)

    async def preferences(self, tenant: str, customer_ref: str) -> tuple[Mapping[str, bool], int]:
        """Every channel, allowed or not, and the version of what was said."""
        async with self._on.store.reading() as reading:
            now, ids = self._on.store.now(), self._on.ids
            work = Work(reading, now=now, ids=ids, tenant=tenant)
            await work.load(PREFERENCES, [customer_ref], lock=False)
            return _said(work, customer_ref)

    async def deliveries(
        self, tenant: str, filters: Mapping[str, str], after: str | None, limit: int
    ) -> Sequence[views.Delivery]:
        """The delivery log, newest first, one more than `limit` if there are."""
        view = views.DELIVERIES
        async with self._on.store.reading() as reading:
            found = await reading.documents.find(
                tenant, view.name, filters, after=after, descending=True, limit=limit + 1
            )
        return [view.model.validate_json(document.body) for _, document in found]
