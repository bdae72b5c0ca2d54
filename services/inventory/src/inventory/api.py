"""The HTTP interface of stock: receive, adjust, count, reorder points, counters, availability."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from inventory import bodies
from inventory.service import Shelves
from waybill_runtime.http import conditions
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.idempotency import Reply, answered_once
from waybill_runtime.http.links import SEEN, onwards
from waybill_runtime.http.sent import Sent, sent_by, sent_on_a_version_by
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked

Writing = Annotated[Sent, Depends(sent_by("stock:write"))]
Setting = Annotated[Sent, Depends(sent_on_a_version_by("stock:write"))]
Reader = Annotated[Principal, Depends(requires("stock:read"))]
SkuPath = Annotated[bodies.Sku, Path()]
LocationPath = Annotated[bodies.Location, Path()]

BOOKED = {"sku": "$request.body#/lines/0/sku"}
SHELF = BOOKED | {"location": "$request.body#/location"}
READ = {"sku": "$request.path.sku"}
LED_ON = onwards(
    201,
    read_stock=BOOKED,
    read_availability=BOOKED,
    set_reorder_point=SHELF | {"header.If-Match": "*"},
)

B = TypeVar("B", bound=BaseModel)
Booking = Callable[[Transaction, Asked, B], Awaitable[bodies.Booked]]


def bookings_router(on: Infrastructure, shelves: Shelves) -> APIRouter:
    """`/v1/stock`: what came, went and was counted."""
    router = APIRouter(prefix="/v1/stock")

    async def book(sent: Sent, booking: Booking[B], body: B) -> Response:
        async def do(transaction: Transaction, asked: Asked) -> Reply:
            return Reply(201, await booking(transaction, asked, body))

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    @router.post(
        "/receipts",
        status_code=201,
        operation_id="receive_stock",
        response_model=bodies.Booked,
        responses=LED_ON,
    )
    async def receive(body: bodies.Receipt, sent: Writing) -> Response:
        """Book a delivery: all of its lines, or none."""
        return await book(sent, shelves.receive, body)

    @router.post(
        "/adjustments",
        status_code=201,
        operation_id="adjust_stock",
        response_model=bodies.Booked,
        responses=LED_ON,
    )
    async def adjust(body: bodies.Adjustment, sent: Writing) -> Response:
        """Correct what is on hand, with the reason. What is held or allocated stays covered."""
        return await book(sent, shelves.adjust, body)

    @router.post(
        "/counts",
        status_code=201,
        operation_id="count_stock",
        response_model=bodies.Booked,
        responses=LED_ON,
    )
    async def count(body: bodies.Counting, sent: Writing) -> Response:
        """Set what is on hand to what was counted. What is held or allocated stays covered."""
        return await book(sent, shelves.count, body)

    return router


def sku_router(on: Infrastructure, shelves: Shelves) -> APIRouter:
    """`/v1/stock/{sku}`."""
    router = APIRouter(prefix="/v1/stock/{sku}")

    @router.put(
        "/reorder-points/{location}",
        operation_id="set_reorder_point",
        response_model=bodies.ReorderPoint,
        responses=onwards(200, read_stock=READ),
    )
    async def set_reorder_point(
        sku: SkuPath, location: LocationPath, body: bodies.SetReorderPoint, sent: Setting
    ) -> Response:
        """Have buying suggested once per fall to the point. If-Match: the stock's ETag, or *."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            conditions.check_match(
                sent.if_match, await shelves.version(transaction, asked.tenant, sku)
            )
            point = await shelves.set_reorder_point(transaction, asked, sku, location, body)
            return Reply(200, point, {"ETag": conditions.etag(point.version)})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    @router.get(
        "",
        operation_id="read_stock",
        response_model=bodies.StockView,
        responses=onwards(
            200,
            read_availability=READ,
            set_reorder_point=READ | {"location": "$response.body#/locations/0/location"} | SEEN,
        ),
    )
    async def read(request: Request, sku: SkuPath, who: Reader) -> Response:
        """A SKU's counters at every location, never stale, with their ETag."""
        view, version = await shelves.read(who.tenant, sku)
        return conditions.answer_read(request, view, version)

    return router


def availability_router(shelves: Shelves) -> APIRouter:
    """`/v1/availability`."""
    router = APIRouter(prefix="/v1/availability")

    @router.get("", operation_id="read_availability")
    async def read(
        who: Reader,
        sku: Annotated[bodies.Sku, Query()],
        quantity: Annotated[int, Query(ge=1, le=bodies.UNITS_MAX)] = 1,
    ) -> bodies.Availability:
        """Whether so many are available at this moment. Only an order holds them."""
        return await shelves.availability(who.tenant, sku, quantity)

    return router
