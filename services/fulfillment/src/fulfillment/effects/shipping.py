"""Shipping in three steps: ask in the stream, buy the label outside, record what came of it."""

from dataclasses import dataclass
from typing import TypeGuard

from fulfillment import views
from fulfillment.decider import commands, state
from fulfillment.effects.labels import RECIPIENT_ERASED, Labels, VerdictUnknown
from fulfillment.service import Rules, Warehouse, order_of
from waybill_runtime.decider import Intent
from waybill_runtime.http import conditions, idempotency
from waybill_runtime.http.problem import Refused
from waybill_runtime.http.sent import Sent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Answer
from waybill_runtime.transact import transact
from waybill_runtime.work import Asked, Cause

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """Ships fulfillment orders for warehouses."""

    on: Infrastructure
    fulfillment: Rules
    warehouse: Warehouse
    labels: Labels

    async def buy(
        self, asked: Asked, command: commands.RequestLabel, sent: Sent, mark: str
    ) -> None:
        """Buy the label and record the carrier's verdict; again under the same key, the same one.

        `mark` is what makes two requests under one key the same.

        Raises:
            Refused: what other commands raise; 503 nobody knows yet: the same request later says.
        """
        order, is_first_try = await self._ask(asked, command, sent, mark)
        await self._settle(asked, order, is_first_try=is_first_try)

    async def shipped(
        self, transaction: Transaction, tenant: str, id_: str
    ) -> views.FulfillmentOrder:
        """A fulfillment order whose label was bought.

        Raises:
            Refused: 409 the carrier will not take it.
        """
        seen = await self.warehouse.read_in(transaction, tenant, id_)
        if seen.status != "shipped":
            raise _refused_by_carrier(seen)
        return seen

    async def _ask(
        self, asked: Asked, command: commands.RequestLabel, sent: Sent, mark: str
    ) -> tuple[state.FulfillmentOrder, bool]:
        """Commit the request for a label; True with it when the carrier was not asked before.

        The key's own request has moved the version on, so a repeat is let through without it.
        """
        id_ = command.fulfillment_order_id

        async def body(transaction: Transaction) -> tuple[state.FulfillmentOrder, bool]:
            name = f"ship:key:{idempotency.required(sent.key)}"
            kept = await transaction.answers.claim(asked.tenant, name, mark)
            if kept is not None:
                idempotency.check_same(kept, mark)
            order_id = order_of(id_)
            work = await self.warehouse.open(transaction, asked.tenant, id_)
            order = work.state(self.fulfillment, order_id).orders.get(id_)
            if kept is not None and _is_asked(order):
                return order, False
            before = work.version(self.fulfillment, order_id)
            await self.warehouse.do(work, asked, command, sent.if_match)
            if kept is None:
                await transaction.answers.keep(asked.tenant, name, Answer(mark, 202, {}, b""))
            is_first_try = work.version(self.fulfillment, order_id) > before
            return work.state(self.fulfillment, order_id).orders[id_], is_first_try

        return await transact(self.on.store, self.on.ids, body)

    async def _settle(
        self, asked: Asked, order: state.FulfillmentOrder, *, is_first_try: bool
    ) -> None:
        """Hear the carrier's verdict and commit it; nothing to do when it is known.

        Raises:
            Refused: 503 while it is unknown.
        """
        id_ = order.asked.fulfillment_order_id
        try:
            verdict = await self.labels.verdict(order, is_first_try=is_first_try)
        except VerdictUnknown as error:
            raise Refused(
                503,
                "carrier-unavailable",
                "The carrier's answer is not known yet; it is being looked into. Send the same "
                "request with the same Idempotency-Key again to hear it.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            ) from error
        if verdict is None:
            return

        async def record(transaction: Transaction) -> None:
            work = await self.warehouse.open(transaction, asked.tenant, id_)
            cause = Cause(causation_id=asked.command_id, actor="system:fulfillment")
            work.execute(Intent(self.fulfillment, order_of(id_), verdict), cause)
            await work.flush()

        await transact(self.on.store, self.on.ids, record)


def _is_asked(order: state.FulfillmentOrder | None) -> TypeGuard[state.FulfillmentOrder]:
    """Whether the carrier is being asked, or has said yes; after a no it may be asked anew."""
    return order is not None and isinstance(order.phase, state.Labelling | state.Shipped)


def _refused_by_carrier(seen: views.FulfillmentOrder) -> Refused:
    if seen.status != "packed":
        return Refused(409, "wrong-state", f"The fulfillment order is {seen.status} by now.")
    if seen.reason == RECIPIENT_ERASED:
        detail = (
            "The recipient was erased, so there is no address: recipient erased. Nothing mends "
            "that: reject the fulfillment order, or have its order cancelled."
        )
    else:
        detail = (
            f"The carrier refused: {(seen.reason or '').removesuffix('.')}. Mend it (pack anew, "
            "or choose another service), then ship again with the ETag of now."
        )
    headers = {"ETag": conditions.etag(seen.version)}
    return Refused(409, "label-refused", detail, headers=headers)
