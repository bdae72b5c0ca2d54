"""Buys labels: asked for in the stream first, bought outside, the verdict in the stream again.

Whoever asked waits for the verdict; a job finishes what nobody waits for any more. Both look the
shipment up before asking again, and ask under the same key, so that nothing is bought twice.
"""

from fulfillment import due
from fulfillment.decider import commands, state
from fulfillment.ports import (
    Carrier,
    CarrierShipment,
    CarrierUnavailable,
    Declined,
    LabelOrder,
    ParcelToSend,
    Recipient,
)
from fulfillment.service import Rules
from waybill_events import codec
from waybill_events.envelope import StreamId
from waybill_runtime.decider import Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome, backoff_s
from waybill_runtime.recipients import RecipientErased, Recipients, RecipientsUnavailable
from waybill_runtime.stored import ClaimedJob

RECIPIENT_ERASED = "recipient erased"
"""Our own reason for having no label, which no carrier's word can mend."""

Verdict = commands.NoteLabel | commands.NoteLabelRefused


class VerdictUnknown(Exception):
    """The carrier, or the vault, did not say. It is being looked into; ask again."""


class Labels:
    """The labels of shipments."""

    def __init__(
        self,
        on: Infrastructure,
        fulfillment: Rules,
        carrier: Carrier,
        recipients: Recipients[Recipient],
    ) -> None:
        self._on = on
        self._fulfillment = fulfillment
        self._carrier = carrier
        self._recipients = recipients

    async def verdict(
        self, order: state.FulfillmentOrder | None, *, is_first_try: bool
    ) -> Verdict | None:
        """What the carrier says to the label that is being asked for; None when none is.

        Raises:
            VerdictUnknown: a label may or may not have been bought.
        """
        if order is None or not isinstance(order.phase, state.Labelling):
            return None
        try:
            return await self._ask(order, order.phase, is_first_try=is_first_try)
        except (CarrierUnavailable, RecipientsUnavailable) as error:
            raise VerdictUnknown(str(error)) from error

    async def finish(self, job: ClaimedJob) -> Outcome:
        """The effect `fulfillment.label`: settle a label that its buyer left open."""
        order_id, id_ = due.about(job)
        order = await self._order(job.tenant, order_id, id_)
        try:
            verdict = await self.verdict(order, is_first_try=False)
        except VerdictUnknown as error:
            return Outcome(again_s=backoff_s(job.attempt, self._on.ids), reason=str(error))
        if verdict is None:
            return Outcome()
        return Outcome(intents=(Intent(self._fulfillment, order_id, verdict),))

    async def _order(
        self, tenant: str, order_id: str, fulfillment_order_id: str
    ) -> state.FulfillmentOrder | None:
        name = str(StreamId(tenant, self._fulfillment.category, order_id))
        async with self._on.store.reading() as reading:
            stream = (await reading.streams.load([name], lock=False))[name]
        folded = state.INITIAL
        for recorded in stream.events:
            folded = self._fulfillment.evolve(folded, codec.decode(recorded))
        return folded.orders.get(fulfillment_order_id)

    async def _ask(
        self, order: state.FulfillmentOrder, phase: state.Labelling, *, is_first_try: bool
    ) -> Verdict:
        id_ = order.asked.fulfillment_order_id
        reference = state.shipment_of(id_)
        if not is_first_try or order.label_requests > 1:
            bought = await self._carrier.look_up(reference)
            if bought is not None:
                return _bought(id_, phase, bought)
        try:
            to = await self._recipients.read(order.asked.recipient_ref)
        except RecipientErased:
            return _refused(id_, phase, RECIPIENT_ERASED)
        answer = await self._carrier.buy_labels(
            LabelOrder(
                reference=reference,
                idempotency_key=phase.idempotency_key,
                service=phase.service,
                to=to,
                parcels=[
                    ParcelToSend(reference=package.package_id, weight_g=package.weight_g)
                    for package in phase.packages
                ],
            )
        )
        if isinstance(answer, Declined):
            return _refused(id_, phase, answer.reason)
        return _bought(id_, phase, answer)


def _bought(id_: str, phase: state.Labelling, shipment: CarrierShipment) -> Verdict:
    """The labels of our packages.

    Raises:
        CarrierUnavailable: the carrier's parcels are not ours; a person must look at it.
    """
    ours = {package.package_id for package in phase.packages}
    theirs = {parcel.reference for parcel in shipment.parcels}
    if ours != theirs:
        raise CarrierUnavailable(f"the carrier's parcels of {state.shipment_of(id_)} are not ours")
    return commands.NoteLabel(
        fulfillment_order_id=id_,
        idempotency_key=phase.idempotency_key,
        carrier=shipment.carrier,
        labels=tuple(
            commands.Label(
                package_id=parcel.reference,
                tracking_number=parcel.tracking_number,
                label_url=parcel.label_url,
            )
            for parcel in shipment.parcels
        ),
    )


def _refused(id_: str, phase: state.Labelling, reason: str) -> Verdict:
    return commands.NoteLabelRefused(
        fulfillment_order_id=id_, idempotency_key=phase.idempotency_key, reason=reason[:500]
    )
