"""Preferences of customers, and the delivery log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from notification import bodies, decider, views
from notification.service import Notifications
from waybill_runtime.http import conditions, query
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.conditions import Cursor, Limit
from waybill_runtime.http.idempotency import Reply, answered_once
from waybill_runtime.http.links import SEEN, onwards
from waybill_runtime.http.sent import Sent, sent_on_a_version_by
from waybill_runtime.http.text import PRINTABLE
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked

Reader = Annotated[Principal, Depends(requires("notifications:read"))]
Writing = Annotated[Sent, Depends(sent_on_a_version_by("notifications:write"))]
CUSTOMER = {"customer_ref": "$response.body#/customer_ref"}
CustomerRef = Annotated[str, Path(min_length=1, max_length=64, pattern=PRINTABLE)]
Filter = Annotated[str | None, Query(max_length=80, pattern=PRINTABLE)]
Status = Annotated[
    str | None,
    Query(max_length=80, pattern=PRINTABLE, description=f"One of {', '.join(views.STATUSES)}."),
]


def router(on: Infrastructure, notifications: Notifications) -> APIRouter:
    """`/v1/preferences` and `/v1/deliveries`."""
    routes = APIRouter(prefix="/v1")
    _add_preferences(routes, on, notifications)
    _add_deliveries(routes, notifications)
    return routes


def _add_preferences(routes: APIRouter, on: Infrastructure, notifications: Notifications) -> None:
    @routes.get(
        "/preferences/{customer_ref}",
        operation_id="read_preferences",
        response_model=bodies.PreferencesView,
        responses=onwards(200, set_preference=CUSTOMER | SEEN),
    )
    async def read(request: Request, customer_ref: CustomerRef, who: Reader) -> Response:
        """Which channels may be used for a customer."""
        channels, version = await notifications.preferences(who.tenant, customer_ref)
        view = bodies.PreferencesView(
            customer_ref=customer_ref, channels=dict(channels), version=version
        )
        return conditions.answer_read(request, view, version)

    @routes.put(
        "/preferences/{customer_ref}",
        operation_id="set_preference",
        response_model=bodies.PreferencesView,
        responses=onwards(200, read_preferences=CUSTOMER),
    )
    async def write(
        customer_ref: CustomerRef, body: bodies.SetPreference, sent: Writing
    ) -> Response:
        """Allow or refuse a channel; messages not sent yet obey it too."""

        async def do(transaction: Transaction, asked: Asked) -> Reply:
            wanted = decider.SetPreference(
                customer_ref=customer_ref, channel=body.channel, allowed=body.allowed
            )
            channels, version = await notifications.prefer(
                transaction, asked, wanted, sent.if_match
            )
            view = bodies.PreferencesView(
                customer_ref=customer_ref, channels=dict(channels), version=version
            )
            return Reply(200, view, {"ETag": conditions.etag(version)})

        return await answered_once(sent, store=on.store, ids=on.ids, do=do)


def _add_deliveries(routes: APIRouter, notifications: Notifications) -> None:
    @routes.get(
        "/deliveries",
        operation_id="list_deliveries",
        responses=onwards(200, list_deliveries={"cursor": "$response.body#/next_cursor"}),
    )
    async def deliveries(
        who: Reader,
        order_id: Filter = None,
        status: Status = None,
        cursor: Cursor = None,
        limit: Limit = conditions.PAGE,
    ) -> bodies.DeliveryPage:
        """Messages and what became of them, newest order first."""
        query.check_value("status", status, views.STATUSES)
        filters = {"order_id": order_id, "status": status}
        wanted = {name: value for name, value in filters.items() if value is not None}
        after = conditions.key_of(cursor)
        found = await notifications.deliveries(who.tenant, wanted, after, limit)
        page = found[:limit]
        more = len(found) > limit
        return bodies.DeliveryPage(
            data=[bodies.DeliveryView(**row.model_dump()) for row in page],
            has_more=more,
            next_cursor=conditions.cursor_of(page[-1].message_id) if more else None,
        )
