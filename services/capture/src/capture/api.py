"""The storefront's HTTP interface: place, read, list, cancel; and the recipient vault."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from capture import bodies, views
from capture.service import Orders
from capture.vault import Vault
from waybill_runtime.http import conditions, query
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.conditions import Cursor, Limit
from waybill_runtime.http.idempotency import Reply, answered_once
from waybill_runtime.http.links import SEEN, onwards
from waybill_runtime.http.sent import Sent, sent_by, sent_on_a_version_by
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked

Writing = Annotated[Sent, Depends(sent_by("orders:write"))]
Cancelling = Annotated[Sent, Depends(sent_on_a_version_by("orders:write"))]
Reader = Annotated[Principal, Depends(requires("orders:read"))]
Erasing = Annotated[Sent, Depends(sent_by("recipients:erase"))]
VaultReader = Annotated[Principal, Depends(requires("recipients:read"))]

ORDER = {"order_id": "$response.body#/id"}


def orders_router(on: Infrastructure, orders: Orders) -> APIRouter:
    """`/v1/orders`."""
    router = APIRouter(prefix="/v1/orders")

    @router.post(
        "",
        status_code=201,
        operation_id="place_order",
        response_model=bodies.PlacedOrder,
        responses=onwards(201, read_order=ORDER, cancel_order=ORDER | SEEN),
    )
    async def place(body: bodies.PlaceOrder, sent: Writing) -> Response:
        """Accept an order. Durable when answered; stock and payment follow by themselves."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            placed = await orders.place(transaction, asked, body)
            return Reply(201, placed, {"Location": f"/v1/orders/{placed.id}", "ETag": '"1"'})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    @router.get(
        "/{order_id}",
        operation_id="read_order",
        response_model=bodies.OrderView,
        responses=onwards(200, cancel_order=ORDER | SEEN),
    )
    async def read(request: Request, order_id: str, who: Reader) -> Response:
        """An order as it stands, with its ETag."""
        order = await orders.read(who.tenant, order_id)
        return conditions.answer_read(request, order, order.version)

    _add_list(router, orders)
    _add_cancel(router, on, orders)
    return router


def _add_list(router: APIRouter, orders: Orders) -> None:
    @router.get(
        "",
        operation_id="list_orders",
        responses=onwards(
            200,
            read_order={"order_id": "$response.body#/data/0/id"},
            list_orders={"cursor": "$response.body#/next_cursor"},
        ),
    )
    async def find(
        who: Reader,
        external_ref: Annotated[str | None, Query(max_length=64)] = None,
        channel: Annotated[str | None, Query(max_length=64)] = None,
        customer_ref: Annotated[str | None, Query(max_length=64)] = None,
        status: Annotated[
            str | None, Query(max_length=64, description=f"One of {', '.join(views.STATUSES)}.")
        ] = None,
        cursor: Cursor = None,
        limit: Limit = conditions.PAGE,
    ) -> bodies.OrderPage:
        """Orders, newest first. Follows its orders within a second."""
        query.check_value("status", status, views.STATUSES)
        filters = {
            "external_ref": external_ref,
            "channel": channel,
            "customer_ref": customer_ref,
            "status": status,
        }
        wanted = {name: value for name, value in filters.items() if value is not None}
        rows = await orders.find(who.tenant, wanted, conditions.key_of(cursor), limit)
        page = rows[:limit]
        more = len(rows) > limit
        return bodies.OrderPage(
            data=[
                bodies.OrderSummary(
                    id=row.id,
                    external_ref=row.external_ref,
                    channel=row.channel,
                    status=row.status,
                    total=bodies.Total(amount_minor=row.total_minor, currency=row.currency),
                    created_at=row.created_at,
                )
                for row in page
            ],
            has_more=more,
            next_cursor=conditions.cursor_of(page[-1].id) if more else None,
        )


def _add_cancel(router: APIRouter, on: Infrastructure, orders: Orders) -> None:
    @router.post(
        "/{order_id}/cancel",
        operation_id="cancel_order",
        response_model=bodies.OrderView,
        responses=onwards(200, read_order=ORDER),
    )
    async def cancel(order_id: str, body: bodies.CancelOrder, sent: Cancelling) -> Response:
        """Cancel what was not dispatched. Before confirmation it is done at once."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            order = await orders.cancel(transaction, asked, order_id, body.reason, sent.if_match)
            return Reply(200, order, {"ETag": conditions.etag(order.version)})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)


def recipients_router(on: Infrastructure, vault: Vault) -> APIRouter:
    """`/v1/recipients`."""
    router = APIRouter(prefix="/v1/recipients")

    @router.get("/{recipient_ref}", operation_id="read_recipient")
    async def read(recipient_ref: str, who: VaultReader) -> bodies.RecipientView:
        """The person behind a reference, for services that must address them."""
        return await vault.read(who.tenant, recipient_ref)

    @router.post("/erase", operation_id="erase_recipients", response_model=bodies.Erased)
    async def erase(body: bodies.EraseRecipient, sent: Erasing) -> Response:
        """Forget a person: the data goes, the order's history stays."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            count = await vault.erase(transaction, asked, body)
            return Reply(200, bodies.Erased(erased=count))

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    return router
