"""The warehouses' HTTP interface, their feed, and the door for the carrier's callbacks."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from fulfillment import bodies, views
from fulfillment.decider import commands
from fulfillment.effects.parcels import NotDispatched, Parcels, UnknownShipment, callback_cause
from fulfillment.effects.shipping import Shipping
from fulfillment.feed import Feed
from fulfillment.ports import CarrierUnavailable
from fulfillment.service import Warehouse
from waybill_events.identity import suffix
from waybill_runtime.http import conditions, query, signatures
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.conditions import Cursor, Limit
from waybill_runtime.http.idempotency import (
    Reply,
    answered_once,
    command_id,
    marked,
    replay_if_kept,
    required,
)
from waybill_runtime.http.links import SEEN, onwards
from waybill_runtime.http.problem import Refused, not_found
from waybill_runtime.http.sent import Sent, sent_on_a_version_by
from waybill_runtime.http.text import PRINTABLE
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked

Writing = Annotated[Sent, Depends(sent_on_a_version_by("fulfillment:write"))]
Reader = Annotated[Principal, Depends(requires("fulfillment:read"))]
Filter = Annotated[str | None, Query(max_length=80, pattern=PRINTABLE)]

FOUND = {"id": "$response.body#/data/0/id"}
SAME = {"id": "$response.body#/id"}

FEED_PAGE = 100
FEED_PAGE_MAX = 500


def warehouse_router(on: Infrastructure, warehouse: Warehouse, shipping: Shipping) -> APIRouter:
    """`/v1/fulfillment-orders`."""
    router = APIRouter(prefix="/v1/fulfillment-orders")
    _add_reads(router, warehouse)
    _add_handshake(router, on, warehouse)
    _add_ship(router, on, shipping)
    return router


def _add_reads(router: APIRouter, warehouse: Warehouse) -> None:
    @router.get(
        "",
        operation_id="list_fulfillment_orders",
        responses=onwards(
            200,
            read_fulfillment_order=FOUND,
            list_fulfillment_orders={"cursor": "$response.body#/next_cursor"},
        ),
    )
    async def find(
        who: Reader,
        location: Filter = None,
        status: Annotated[
            str | None,
            Query(
                max_length=80, pattern=PRINTABLE, description=f"One of {', '.join(views.STATUSES)}."
            ),
        ] = None,
        order_id: Filter = None,
        cursor: Cursor = None,
        limit: Limit = conditions.PAGE,
    ) -> bodies.FulfillmentOrderPage:
        """Fulfillment orders, oldest first. Follows what happens within a second."""
        query.check_value("status", status, views.STATUSES)
        filters = {"location": location, "status": status, "order_id": order_id}
        wanted = {name: value for name, value in filters.items() if value is not None}
        rows = await warehouse.find(who.tenant, wanted, conditions.key_of(cursor), limit)
        page = list(rows[:limit])
        more = len(rows) > limit
        return bodies.FulfillmentOrderPage(
            data=page,
            has_more=more,
            next_cursor=conditions.cursor_of(page[-1].id) if more else None,
        )

    @router.get(
        "/{id}",
        operation_id="read_fulfillment_order",
        response_model=views.FulfillmentOrder,
        responses=onwards(
            200,
            accept_fulfillment_order=SAME | SEEN,
            reject_fulfillment_order=SAME | SEEN,
            pick_fulfillment_order=SAME | SEEN,
            pack_fulfillment_order=SAME | SEEN,
            ship_fulfillment_order=SAME | SEEN,
        ),
    )
    async def read(request: Request, id: str, who: Reader) -> Response:
        """A fulfillment order as it stands, with its ETag."""
        seen = await warehouse.read(who.tenant, id)
        return conditions.answer_read(request, seen, seen.version)


def _add_handshake(router: APIRouter, on: Infrastructure, warehouse: Warehouse) -> None:
    async def once(sent: Sent, command: commands.WarehouseCommand) -> Response:
        async def do(transaction: Transaction, asked: Asked) -> Reply:
            id_ = command.fulfillment_order_id
            work = await warehouse.open(transaction, asked.tenant, id_)
            seen = await warehouse.do(work, asked, command, sent.if_match)
            return Reply(200, seen, {"ETag": conditions.etag(seen.version)})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)

    answers: dict[str, Any] = {
        "response_model": views.FulfillmentOrder,
        "responses": onwards(200, read_fulfillment_order=SAME),
    }

    @router.post("/{id}/accept", operation_id="accept_fulfillment_order", **answers)
    async def accept(id: str, body: bodies.Accept, sent: Writing) -> Response:
        """Take it on."""
        return await once(sent, commands.Accept(fulfillment_order_id=id))

    @router.post("/{id}/reject", operation_id="reject_fulfillment_order", **answers)
    async def reject(id: str, body: bodies.Reject, sent: Writing) -> Response:
        """Refuse it; its units are looked for elsewhere. Possible until its label is bought."""
        return await once(sent, commands.Reject(fulfillment_order_id=id, reason=body.reason))

    @router.post("/{id}/pick", operation_id="pick_fulfillment_order", **answers)
    async def pick(id: str, body: bodies.Pick, sent: Writing) -> Response:
        """Say what was found, for good: what is missing will not ship."""
        return await once(sent, commands.Pick(fulfillment_order_id=id, units=body.units))

    @router.post("/{id}/pack", operation_id="pack_fulfillment_order", **answers)
    async def pack(id: str, body: bodies.Pack, sent: Writing) -> Response:
        """Say which package each picked unit is in."""
        parcels = tuple(
            commands.Parcel(weight_g=one.weight_g, units=one.units) for one in body.packages
        )
        return await once(sent, commands.Pack(fulfillment_order_id=id, parcels=parcels))


def _add_ship(router: APIRouter, on: Infrastructure, shipping: Shipping) -> None:
    @router.post(
        "/{id}/ship",
        operation_id="ship_fulfillment_order",
        response_model=views.FulfillmentOrder,
        responses=onwards(200, read_fulfillment_order=SAME),
    )
    async def ship(id: str, body: bodies.Ship, sent: Writing) -> Response:
        """Buy the label and hand over: answers `shipments` with their tracking numbers.

        503: the carrier's answer is not known yet. Send the same again, with the same key.
        """
        who = sent.who
        mark = await marked(sent)
        replay = await replay_if_kept(sent, mark, store=on.store)
        if replay is not None:
            return replay
        command = commands.RequestLabel(fulfillment_order_id=id, service=body.service)
        cause = command_id(required(sent.key))
        asked = Asked(tenant=who.tenant, actor=who.actor, command_id=cause)
        # Outside the transaction that keeps the answer: the carrier is asked in between.
        await shipping.buy(asked, command, sent, mark)

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            seen = await shipping.shipped(transaction, asked.tenant, id)
            return Reply(200, seen, {"ETag": conditions.etag(seen.version)})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do, mark=mark)


def feed_router(feed: Feed) -> APIRouter:
    """`/v1/feed/fulfillment`."""
    router = APIRouter(prefix="/v1/feed")

    @router.get(
        "/fulfillment",
        operation_id="read_fulfillment_feed",
        responses=onwards(200, read_fulfillment_feed={"after": "$response.body#/next_cursor"}),
    )
    async def read(
        who: Reader,
        after: Annotated[
            str | None,
            Query(max_length=300, description="`next_cursor` kept; without it: from the start."),
        ] = None,
        location: Filter = None,
        limit: Annotated[int, Query(ge=1, le=FEED_PAGE_MAX)] = FEED_PAGE,
    ) -> bodies.FeedPage:
        """The events of the topic `fulfillment`, in the order they were committed.

        `location` leaves out other locations' events and those of no location.
        """
        return await feed.read(who.tenant, after, location, limit)

    return router


def callback_router(on: Infrastructure, parcels: Parcels, secret: str) -> APIRouter:
    """`/v1/callbacks/carrier`. The signature is the key."""
    router = APIRouter(prefix="/v1/callbacks")

    @router.post("/carrier", status_code=204, operation_id="carrier_callback")
    async def carrier(request: Request) -> Response:
        """A parcel was seen: the carrier is asked where, and that is noted. May come twice."""
        body = await request.body()
        callback_id = signatures.verify(secret, request.headers, body, on.clock.now())
        try:
            hint = bodies.Hint.model_validate_json(body)
        except ValidationError as error:
            detail = "Send a JSON object with `reference`, our shipment's id."
            raise Refused(422, "invalid-request", detail) from error
        shipment_id = hint.reference
        try:
            await parcels.look(
                f"ord_{suffix(shipment_id)}", shipment_id, callback_cause(callback_id)
            )
        except UnknownShipment as error:
            raise not_found(f"shipment {shipment_id}") from error
        except NotDispatched as error:
            detail = f"Shipment {shipment_id} is not in our books yet. Send it again in a moment."
            raise Refused(503, "not-dispatched", detail, headers={"Retry-After": "1"}) from error
        except CarrierUnavailable as error:
            detail = "The carrier did not answer our look-up. Send it again in a moment."
            raise Refused(
                503, "carrier-unavailable", detail, headers={"Retry-After": "1"}
            ) from error
        return Response(status_code=204)

    return router
