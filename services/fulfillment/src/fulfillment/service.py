"""Takes in what others say, carries out what warehouses ask, reads fulfillment orders."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

from fulfillment import decider, due, feed, reactor, views
from fulfillment.decider import commands
from fulfillment.due import Deadlines
from fulfillment.ports import Recipient
from waybill_events import capture
from waybill_events.identity import suffix
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.http import conditions
from waybill_runtime.http.problem import FieldError, Refused, not_found
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import Recipients
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked, Work, caused_by, seen_in

Rules: TypeAlias = Decider[commands.Command, decider.State]

_ID = re.compile(r"ffo_[0-9a-z]{1,64}-[0-9]{1,4}")

HANDLES = frozenset({*reactor.HANDLES, capture.RecipientErased.TYPE, *feed.HANDLES})


def rules(within: Deadlines) -> Rules:
    """An order's fulfillment: one stream, whose id is the order's."""
    return Decider(
        category="fulfillment",
        topic="fulfillment",
        initial=decider.INITIAL,
        decide=decider.decide,
        evolve=decider.evolve,
        key=lambda event: event.order_id,
        follow=due.following(within),
    )


def on_events(fulfillment: Rules, within: Deadlines, recipients: Recipients[Recipient]) -> Handler:
    """Act on others' facts, a batch at a time, and put our own into the warehouses' feed."""

    async def handle(work: Work, batch: Sequence[Incoming]) -> None:
        accept_by = work.now + timedelta(seconds=within.accept_s)
        for incoming in batch:
            if isinstance(incoming.event, capture.RecipientErased):
                recipients.forget(incoming.event.recipient_ref)
        await work.run(
            [
                (Intent(fulfillment, order_id, command), caused_by(recorded, "fulfillment"))
                for recorded, event in ((one.recorded, one.event) for one in batch)
                for order_id, command in reactor.react(
                    event, event_id=recorded.event_id, accept_by=accept_by
                )
            ]
        )
        await feed.add(work, [one for one in batch if one.event.TYPE in feed.HANDLES])

    return handle


class Warehouse:
    """The warehouses' commands and reads."""

    def __init__(self, on: Infrastructure, fulfillment: Rules) -> None:
        self._on = on
        self._fulfillment = fulfillment

    async def open(self, transaction: Transaction, tenant: str, id_: str) -> Work:
        """The order of a fulfillment order, loaded and locked: nobody changes it meanwhile.

        Raises:
            Refused: 404, this can be the id of none.
        """
        work = Work(transaction, now=self._on.store.now(), ids=self._on.ids, tenant=tenant)
        await work.load(self._fulfillment, [order_of(id_)])
        return work

    async def do(
        self, work: Work, asked: Asked, command: commands.WarehouseCommand, if_match: str | None
    ) -> views.FulfillmentOrder:
        """Carry out a command on a fulfillment order, opened, that its sender has seen.

        Raises:
            Refused: 404, 412 and 428 as conditions say, 409 in the wrong state, 422 for
                quantities that do not fit.
        """
        id_ = command.fulfillment_order_id
        current = self.shown(work, id_)
        conditions.check_match(if_match, current.version)
        try:
            work.execute(Intent(self._fulfillment, order_of(id_), command), asked.cause)
        except decider.WrongState as error:
            detail = str(error)
            if current.status not in detail:
                detail = f"The fulfillment order is {current.status}. {detail}"
            raise Refused(409, "wrong-state", detail) from error
        except decider.WrongQuantities as error:
            field = "/packages"
            if isinstance(command, commands.Pick):
                field = f"/lines/{list(command.units).index(error.line_id)}"
            errors = [FieldError(pointer=field, detail=str(error))]
            raise Refused(422, "wrong-quantities", str(error), errors=errors) from error
        await work.flush()
        return self.shown(work, id_)

    def shown(self, work: Work, id_: str) -> views.FulfillmentOrder:
        """A fulfillment order as this work opened and changed it; 404 when there is none."""
        return _found(id_, work.seen(self._fulfillment, order_of(id_), views.seeing(id_)))

    async def read(self, tenant: str, id_: str) -> views.FulfillmentOrder:
        """A fulfillment order as it stands now; 404 when there is none."""
        async with self._on.store.reading() as reading:
            return await self.read_in(reading, tenant, id_)

    async def read_in(
        self, transaction: Transaction, tenant: str, id_: str
    ) -> views.FulfillmentOrder:
        see = views.seeing(id_)
        return _found(
            id_, await seen_in(transaction, self._fulfillment, tenant, order_of(id_), see)
        )

    async def find(
        self, tenant: str, filters: dict[str, str], after: str | None, limit: int
    ) -> Sequence[views.FulfillmentOrder]:
        """Fulfillment orders with these attributes, oldest first, one more if there are."""
        async with self._on.store.reading() as reading:
            found = await reading.documents.find(
                tenant, views.FULFILLMENT_ORDERS.name, filters, after=after, limit=limit + 1
            )
        return [
            views.FULFILLMENT_ORDERS.model.validate_json(document.body) for _, document in found
        ]


def order_of(fulfillment_order_id: str) -> str:
    """The order of a fulfillment order: `ffo_X-1` → `ord_X`.

    Raises:
        Refused: 404, this can be the id of none.
    """
    if not _ID.fullmatch(fulfillment_order_id):
        raise no_such(fulfillment_order_id)
    return f"ord_{suffix(fulfillment_order_id)}"


def _found(id_: str, seen: views.Seen) -> views.FulfillmentOrder:
    if seen is None:
        raise no_such(id_)
    return seen


def no_such(id_: str) -> Refused:
    return not_found(f"fulfillment order {id_[:80]}")
