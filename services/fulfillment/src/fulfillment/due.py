"""What a fulfillment order's facts make due: deadlines, labels to buy, parcels to look for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from waybill_events import fulfillment as facts
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import NOTHING, Follow
from waybill_runtime.stored import ClaimedJob, Job

MISS = "fulfillment.deadline"
LABEL = "fulfillment.label"
TRACK = "fulfillment.track"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each state may last, in seconds, and when our own work on it begins."""

    accept_s: float
    pick_s: float
    pack_s: float
    ship_s: float
    deliver_s: float
    label_grace_s: float
    track_s: float


def following(deadlines: Deadlines) -> Callable[[Recorded, Event], Follow]:
    """The `follow` of the decider under these deadlines."""

    def follow(recorded: Recorded, event: Event) -> Follow:
        return _follow(deadlines, recorded, event)

    return follow


def _follow(within: Deadlines, recorded: Recorded, event: Event) -> Follow:
    tenant, at = recorded.tenant, recorded.occurred_at
    match event:
        case facts.FulfillmentOrderCreated(accept_by=accept_by):
            return Follow(schedule=(_miss(tenant, event, "requested", accept_by),))
        case facts.FulfillmentAccepted():
            return Follow(schedule=(_miss(tenant, event, "accepted", _in(at, within.pick_s)),))
        case facts.ItemsPicked():
            return Follow(schedule=(_miss(tenant, event, "picked", _in(at, within.pack_s)),))
        case facts.PackagesPacked():
            return Follow(schedule=(_miss(tenant, event, "packed", _in(at, within.ship_s)),))
        case facts.LabelRequested():
            return Follow(schedule=(_job(tenant, LABEL, event, _in(at, within.label_grace_s)),))
        case facts.LabelFailed():
            return Follow(
                schedule=(_miss(tenant, event, "packed", _in(at, within.ship_s)),),
                cancel=(_id(LABEL, event.fulfillment_order_id),),
            )
        case facts.ShipmentDispatched():
            return Follow(
                schedule=(
                    _miss(tenant, event, "shipped", _in(at, within.deliver_s)),
                    _job(tenant, TRACK, event, _in(at, within.track_s)),
                ),
                cancel=(_id(LABEL, event.fulfillment_order_id),),
            )
        case facts.ShipmentDelivered(fulfillment_order_id=id_):
            return Follow(cancel=(_id(MISS, id_), _id(TRACK, id_)))
        case facts.FulfillmentRejected(fulfillment_order_id=id_):
            return Follow(cancel=(_id(MISS, id_),))
        case facts.FulfillmentCancelled(fulfillment_order_id=id_):
            return Follow(cancel=(_id(MISS, id_),))
        case _:
            return NOTHING


def about(job: ClaimedJob) -> tuple[str, str]:
    """The order and the fulfillment order that a job is about."""
    read = json.loads(job.payload)
    return read["order_id"], read["fulfillment_order_id"]


def state_of(job: ClaimedJob) -> facts.Waiting:
    """The state that a deadline was set for."""
    state: facts.Waiting = json.loads(job.payload)["state"]
    return state


_Of = (
    facts.FulfillmentOrderCreated
    | facts.FulfillmentAccepted
    | facts.ItemsPicked
    | facts.PackagesPacked
    | facts.LabelRequested
    | facts.LabelFailed
    | facts.ShipmentDispatched
)


def _in(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


def _miss(tenant: str, event: _Of, state: facts.Waiting, due_at: datetime) -> Job:
    return _job(tenant, MISS, event, due_at, state=state)


def _job(tenant: str, kind: str, event: _Of, due_at: datetime, **more: str) -> Job:
    payload = {
        "order_id": event.order_id,
        "fulfillment_order_id": event.fulfillment_order_id,
        **more,
    }
    id_ = _id(kind, event.fulfillment_order_id)
    return Job(id=id_, tenant=tenant, kind=kind, due_at=due_at, payload=json.dumps(payload))


def _id(kind: str, fulfillment_order_id: str) -> str:
    return f"{kind}:{fulfillment_order_id}"
