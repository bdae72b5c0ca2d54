"""Shipping in three steps: ask in the stream, buy the label outside, record what came of it."""

from dataclasses import dataclass

from fulfillment import views
from fulfillment.decider import commands, state
from fulfillment.labels import Labels, VerdictUnknown
from fulfillment.service import Rules, Warehouse, order_of
from waybill_runtime.decider import Intent
from waybill_runtime.http import conditions
from waybill_runtime.http.problem import Refused
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Answer
from waybill_runtime.transact import transact
from waybill_runtime.work import Asked, Cause, Work

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """Ships fulfillment orders for warehouses."""

    on: Infrastructure
    fulfillment: Rules
    warehouse: Warehouse
    labels: Labels

    async def buy(
        self, asked: Asked, command: commands.RequestLabel, if_match: str | None, mark: str
    ) -> None:
        """Buy the label and record the carrier's verdict; again under the same key, the same one.

        `mark` is what makes two requests under one key the same.

        Raises:
            Refused: what other commands raise; 503 nobody knows yet: the same request later says.
        """
        is_first_try = await self._ask(asked, command, if_match, mark)
        await self._settle(asked, command, is_first_try=is_first_try)

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
        self, asked: Asked, command: commands.RequestLabel, if_match: str | None, mark: str
    ) -> bool:
        """Commit the request for a label; True when the carrier was not asked before.

        The key's own request has moved the version on, so a repeat is let through without it.
        """
        id_ = command.fulfillment_order_id

        async def body(transaction: Transaction) -> bool:
            name = f"ship:{asked.command_id}"
            kept = await transaction.answers.claim(asked.tenant, name, mark)
            if kept is not None and kept.fingerprint != mark:
                raise Refused(
                    422,
                    "idempotency-key-reused",
                    "This Idempotency-Key was used for another request. Take a new key.",
                )
            if kept is not None and await self._is_asked(transaction, asked.tenant, id_):
                return False
            before = await self.warehouse.read_in(transaction, asked.tenant, id_)
            after = await self.warehouse.do(transaction, asked, command, if_match)
            if kept is None:
                await transaction.answers.keep(asked.tenant, name, Answer(mark, 202, {}, b""))
            return after.version > before.version

        return await transact(self.on.store, self.on.ids, body)

    async def _is_asked(self, transaction: Transaction, tenant: str, id_: str) -> bool:
        """Whether the carrier is being asked, or has said yes; after a no it may be asked anew."""
        order_id = order_of(id_)
        work = Work(transaction, now=self.on.store.now(), ids=self.on.ids, tenant=tenant)
        await work.load(self.fulfillment, [order_id])
        order = work.state(self.fulfillment, order_id).orders.get(id_)
        return order is not None and isinstance(order.phase, state.Labelling | state.Shipped)

    async def _settle(
        self, asked: Asked, command: commands.RequestLabel, *, is_first_try: bool
    ) -> None:
        """Hear the carrier's verdict and commit it; nothing to do when it is known.

        Raises:
            Refused: 503 while it is unknown.
        """
        id_ = command.fulfillment_order_id
        order_id = order_of(id_)
        try:
            verdict = await self.labels.verdict(
                asked.tenant, order_id, id_, is_first_try=is_first_try
            )
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
            work = Work(transaction, now=self.on.store.now(), ids=self.on.ids, tenant=asked.tenant)
            await work.load(self.fulfillment, [order_id])
            cause = Cause(causation_id=asked.command_id, actor="system:fulfillment")
            work.execute(Intent(self.fulfillment, order_id, verdict), cause)
            await work.flush()

        await transact(self.on.store, self.on.ids, record)


def _refused_by_carrier(seen: views.FulfillmentOrder) -> Refused:
    if seen.status != "packed":
        return Refused(409, "wrong-state", f"The fulfillment order is {seen.status} by now.")
    return Refused(
        409,
        "label-refused",
        f"The carrier refused: {seen.reason}. Mend it (pack anew, or choose another service), "
        "then ship again with the ETag of now.",
        headers={"ETag": conditions.etag(seen.version)},
    )
