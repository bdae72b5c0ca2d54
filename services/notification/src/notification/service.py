"""Decides messages, notes what customers prefer, and reads the delivery log."""

from collections.abc import Mapping, Sequence

from notification import decider, due, reactor, views
from notification.ports import Recipient
from waybill_events import capture
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.http import conditions
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import Recipients
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked, Work, caused_by

MESSAGE: Decider[decider.Command, decider.State] = Decider(
    category="message",
    topic="notifications",
    initial=decider.INITIAL,
    decide=decider.decide,
    evolve=decider.evolve,
    key=lambda event: event.order_id,
    follow=due.follow,
)

PREFERENCES: Decider[decider.SetPreference, decider.Preferences] = Decider(
    category="preferences",
    topic="notifications",
    initial=(),
    decide=decider.decide_preference,
    evolve=decider.evolve_preference,
    key=lambda event: event.customer_ref,
)


def on_events(recipients: Recipients[Recipient], channels: reactor.Channels) -> Handler:
    """Decide every message that a batch of others' facts calls for."""

    async def handle(work: Work, batch: Sequence[Incoming]) -> None:
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

    return handle


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
