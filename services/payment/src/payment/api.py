"""Payment's HTTP interface: payments for staff, callbacks for the gateway."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from payment import bodies
from payment.service import Payments
from waybill_runtime.http import conditions, signatures
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.idempotency import Reply, answered_once
from waybill_runtime.http.links import SEEN, onwards
from waybill_runtime.http.sent import Sent, sent_on_a_version_by
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked

Reader = Annotated[Principal, Depends(requires("payments:read"))]
Writing = Annotated[Sent, Depends(sent_on_a_version_by("payments:write"))]

PAYMENT = {"payment_id": "$response.body#/id"}


def payments_router(on: Infrastructure, payments: Payments) -> APIRouter:
    """`/v1/payments`."""
    router = APIRouter(prefix="/v1/payments")

    @router.get(
        "",
        operation_id="list_payments",
        responses=onwards(200, read_payment={"payment_id": "$response.body#/data/0/id"}),
    )
    async def find(who: Reader, order_id: Annotated[bodies.OrderId, Query()]) -> bodies.PaymentList:
        """The payment of an order, never stale; an empty list while the order has none."""
        return await payments.of_order(who.tenant, order_id)

    @router.get(
        "/{payment_id}",
        operation_id="read_payment",
        response_model=bodies.PaymentView,
        responses=onwards(200, refund_payment=PAYMENT | SEEN),
    )
    async def read(request: Request, payment_id: str, who: Reader) -> Response:
        """A payment as it stands, with its ETag."""
        payment = await payments.read(who.tenant, payment_id)
        return conditions.answer_read(request, payment, payment.version)

    @router.post(
        "/{payment_id}/refunds",
        status_code=202,
        operation_id="refund_payment",
        response_model=bodies.PaymentView,
        responses=onwards(202, read_payment=PAYMENT),
    )
    async def refund(payment_id: str, body: bodies.RefundPayment, sent: Writing) -> Response:
        """Give captured money back. Taken in when answered; read the payment for the verdict."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            payment = await payments.refund(transaction, asked, payment_id, body, sent.if_match)
            headers = {
                "Location": f"/v1/payments/{payment_id}",
                "ETag": conditions.etag(payment.version),
            }
            return Reply(202, payment, headers)

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    return router


def callbacks_router(on: Infrastructure, payments: Payments, secret: str) -> APIRouter:
    """`/v1/callbacks`: no API key, the signature is the key."""
    router = APIRouter(prefix="/v1/callbacks")

    @router.post("/gateway", status_code=204, operation_id="hear_gateway")
    async def hear(request: Request) -> Response:
        """A signed hint that something was decided. Whatever it says is looked up, not believed."""
        body = await request.body()
        callback_id = signatures.verify(secret, request.headers, body, on.clock.now())
        if (hint := bodies.read_hint(body)) is not None:
            await payments.hear(callback_id, hint.order_id, hint.idempotency_key)
        return Response(status_code=204)

    return router
