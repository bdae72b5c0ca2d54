"""Query parameters: what a route does not declare is refused, and who may add their own."""

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Query

from waybill_runtime.http import app as http_app
from waybill_runtime.http import query
from waybill_runtime.http.auth import KeyRing, Principal, requires
from waybill_runtime.http.conditions import Cursor, Limit
from waybill_runtime.testing.world import World

KEY = "wb_storefront_secret"
Reader = Annotated[Principal, Depends(requires("orders:read"))]


async def _inner(channel: Annotated[str | None, Query(alias="in")] = None) -> str | None:
    return channel


def _router() -> APIRouter:
    router = APIRouter()

    @router.get("/things")
    async def things(
        who: Reader,
        inner: Annotated[str | None, Depends(_inner)],
        status: str | None = None,
        cursor: Cursor = None,
        limit: Limit = 20,
    ) -> list[str]:
        query.check_value("status", status, ("open", "closed"))
        return ["all of them"]

    @router.get("/things/{id}")
    async def thing(id: str, who: Reader) -> str:
        return id

    @router.get("/links/{token}")
    async def link(token: str) -> str:
        return token

    return router


def _ask(path: str, key: str | None = KEY) -> httpx.Response:
    async def main() -> httpx.Response:
        on = World().infrastructure("db")
        ring = KeyRing(on.store, on.clock, "pepper")
        await ring.add(KEY, name="shop", scopes=["orders:read"])
        app = http_app.create("things", "Things.", [_router()], on, ring)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://things.test", headers=headers
        ) as client:
            return await client.get(path)

    return asyncio.run(main())


def _errors(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def test_a_parameter_that_the_route_does_not_have_is_named_with_those_that_there_are() -> None:
    answer = _ask("/things?externalref=1&status=open")
    (error,) = _errors(answer)
    assert error["pointer"] == "query:externalref"
    assert "cursor, in, limit, status" in error["detail"]
    assert "externalref" in answer.json()["detail"]


def test_every_parameter_that_the_route_has_passes() -> None:
    answer = _ask("/things?in=web&status=closed&limit=1")
    assert (answer.status_code, answer.json()) == (200, ["all of them"])


def test_a_route_without_parameters_says_so() -> None:
    (error,) = _errors(_ask("/things/1?verbose=1"))
    assert "none" in error["detail"]


def test_who_has_no_key_is_told_that_first() -> None:
    assert _ask("/things?externalref=1", key=None).status_code == 401


@pytest.mark.parametrize("path", ["/things/%00", "/things/a%00b", "/things?status=a%00b"])
def test_a_nul_in_the_address_is_refused_before_a_store_is_asked_for_it(path: str) -> None:
    answer = _ask(path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "%00" in answer.json()["detail"]
    assert answer.json()["request_id"]


def test_a_link_for_people_opens_whatever_their_mail_client_added() -> None:
    assert _ask("/links/tok?utm_source=mail").json() == "tok"


def test_a_value_that_nothing_can_have_is_refused_with_those_that_can_be() -> None:
    (error,) = _errors(_ask("/things?status=shipped"))
    assert error["pointer"] == "query:status"
    assert "open, closed" in error["detail"]
