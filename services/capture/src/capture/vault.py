"""The recipient vault: personal data by reference, read with care, erased for good."""

from capture import bodies
from capture.service import RECIPIENT, RECIPIENTS, Tokens
from waybill_events import capture
from waybill_events.envelope import StreamId
from waybill_events.identity import suffix
from waybill_runtime.decider import Intent
from waybill_runtime.http.problem import Refused, not_found
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked, Work

PAGE = 100


class Vault:
    """Recipients of one tenant's orders."""

    def __init__(self, on: Infrastructure, tokens: Tokens) -> None:
        self._on = on
        self._tokens = tokens

    async def read(self, tenant: str, recipient_ref: str) -> bodies.RecipientView:
        """The person behind a reference.

        Raises:
            Refused: 410 when it was erased, 404 when there never was one.
        """
        async with self._on.store.reading() as reading:
            found = await reading.documents.get(tenant, RECIPIENTS, [recipient_ref])
            if recipient_ref in found:
                recipient = bodies.Recipient.model_validate_json(found[recipient_ref].body)
                link = self._tokens.link(tenant, f"ord_{suffix(recipient_ref)}")
                return bodies.RecipientView(**recipient.model_dump(), tracking_url=link.url)
            name = str(StreamId(tenant, RECIPIENT.category, recipient_ref))
            stream = (await reading.streams.load([name], lock=False))[name]
        if stream.version:
            raise Refused(410, "erased", "This recipient was erased.")
        raise not_found(f"recipient {recipient_ref}")

    async def erase(
        self, transaction: Transaction, asked: Asked, body: bodies.EraseRecipient
    ) -> int:
        """Forget one order's person, or a customer's every order; answers how many.

        Rows go, the log stays and still folds. Again is fine.
        """
        erased = 0
        while references := await self._references(transaction, asked.tenant, body):
            work = Work(
                transaction, now=self._on.store.now(), ids=self._on.ids, tenant=asked.tenant
            )
            await work.load(RECIPIENT, references)
            for reference in references:
                fact = capture.RecipientErased(
                    recipient_ref=reference, order_id=f"ord_{suffix(reference)}"
                )
                work.execute(Intent(RECIPIENT, reference, fact), asked.cause)
            await work.flush()
            await transaction.documents.drop(asked.tenant, RECIPIENTS, references)
            erased += len(references)
        return erased

    async def _references(
        self, transaction: Transaction, tenant: str, body: bodies.EraseRecipient
    ) -> list[str]:
        documents = transaction.documents
        if body.order_id is not None:
            reference = f"rcp_{suffix(body.order_id)}"
            return list(await documents.get(tenant, RECIPIENTS, [reference]))
        found = await documents.find(
            tenant, RECIPIENTS, {"customer_ref": body.customer_ref or ""}, limit=PAGE
        )
        return [key for key, _ in found]
