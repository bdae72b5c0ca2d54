"""Follows parcels: a callback or a timer says look, the carrier's look-up says what is true."""

from typing import get_args

from fulfillment import due
from fulfillment.decider import commands, state
from fulfillment.ports import Carrier, CarrierShipment, CarrierUnavailable
from fulfillment.service import Rules
from waybill_events.fulfillment import TrackingStatus
from waybill_runtime.decider import Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome
from waybill_runtime.store import Transaction
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.transact import transact
from waybill_runtime.work import Cause, Work

_STATUSES = frozenset(get_args(TrackingStatus))
_LAST = frozenset({"delivered", "return_to_sender"})
_IN_ITS_HOUSES = frozenset(
    {"label_created", "picked_up", "in_transit", "out_for_delivery", "delayed"}
)
"""Where a place is the carrier's own; at others it may be the recipient's door, or a neighbour."""
PLACE_MAX = 80


class NotDispatched(Exception):
    """The carrier was faster than our own books; tell us again in a moment."""


class UnknownShipment(Exception):
    """No shipment of ours."""


class Parcels:
    """The parcels of dispatched shipments."""

    def __init__(
        self,
        on: Infrastructure,
        fulfillment: Rules,
        carrier: Carrier,
        *,
        poll_s: float,
        poll_s_max: float,
    ) -> None:
        self._on = on
        self._fulfillment = fulfillment
        self._carrier = carrier
        self._poll_s = poll_s
        self._poll_s_max = poll_s_max

    async def look(self, order_id: str, shipment_id: str, cause: Cause) -> None:
        """Note whatever the carrier knows of a shipment by now. Any number of times.

        Raises:
            UnknownShipment, NotDispatched, CarrierUnavailable.
        """
        id_ = state.fulfillment_order_of(shipment_id)
        shipment = await self._carrier.look_up(shipment_id)

        async def note(transaction: Transaction) -> None:
            work = Work(transaction, now=self._on.store.now(), ids=self._on.ids)
            await work.load(self._fulfillment, [order_id])
            order = work.state(self._fulfillment, order_id).orders.get(id_)
            if order is None:
                raise UnknownShipment(shipment_id)
            if not isinstance(order.phase, state.Shipped):
                raise NotDispatched(shipment_id)
            if shipment is not None:
                command = _tracking(id_, shipment)
                work.execute(Intent(self._fulfillment, order_id, command), cause)
                await work.flush()

        await transact(self._on.store, self._on.ids, note)

    async def poll(self, job: ClaimedJob) -> Outcome:
        """The effect `fulfillment.track`: look again until every parcel's journey has ended."""
        order_id, id_ = due.about(job)
        pause_s = self._pause_s(job.attempt)
        try:
            shipment = await self._carrier.look_up(state.shipment_of(id_))
        except CarrierUnavailable as error:
            return Outcome(again_s=pause_s, reason=str(error))
        if shipment is None:
            reason = f"the carrier does not know our shipment {state.shipment_of(id_)}"
            return Outcome(again_s=pause_s, reason=reason)
        intent = Intent(self._fulfillment, order_id, _tracking(id_, shipment))
        ended = all(
            any(scan.status in _LAST for scan in parcel.scans) for parcel in shipment.parcels
        )
        return Outcome(intents=(intent,), again_s=None if ended else pause_s)

    def _pause_s(self, attempt: int) -> float:
        """Growing, capped, half of it jitter."""
        ceiling = min(self._poll_s * 2.0 ** min(attempt, 20), self._poll_s_max)
        return ceiling / 2 + self._on.ids.jitter() * ceiling / 2


def _tracking(id_: str, shipment: CarrierShipment) -> commands.NoteTracking:
    """What we have words for; a status that no one here knows is left out."""
    return commands.NoteTracking(
        fulfillment_order_id=id_,
        scans=tuple(
            commands.Scan(
                tracking_number=parcel.tracking_number,
                status=scan.status,  # type: ignore[arg-type]  # one of the Literal's, checked below
                happened_at=scan.happened_at,
                place=scan.place[:PLACE_MAX] if scan.status in _IN_ITS_HOUSES else "",
            )
            for parcel in shipment.parcels
            for scan in parcel.scans
            if scan.status in _STATUSES
        ),
    )


def callback_cause(callback_id: str) -> Cause:
    """The cause of what a callback made us see."""
    return Cause(causation_id=f"callback:{callback_id[:100]}", actor="carrier:callback")
