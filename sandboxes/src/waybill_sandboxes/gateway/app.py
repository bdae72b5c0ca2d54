"""The gateway over HTTP: requests in, replies out, nothing decided here."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Response

from waybill_sandboxes import clock, replies, shell
from waybill_sandboxes.gateway import faults, ledger, requests

Key = Annotated[str, Depends(shell.idempotency_key)]


def build(
    gateway: ledger.Gateway, *, api_key: str, wake: Callable[[], None], latency_s: float = 0.0
) -> FastAPI:
    """The app of one gateway; `wake` is called when it may have something to tell."""
    app = shell.new_app("Waybill sandbox gateway")
    guarded = [Depends(shell.bearer(api_key))]
    app.include_router(_merchant_routes(gateway, wake, latency_s), dependencies=guarded)
    app.include_router(_lookup_routes(gateway), dependencies=guarded)
    # Open on purpose: an auditor, or a chaos run, holds no key of the merchant's.
    app.include_router(_tester_routes(gateway))
    return app


def _merchant_routes(
    gateway: ledger.Gateway, wake: Callable[[], None], latency_s: float
) -> APIRouter:
    routes = APIRouter(prefix="/v1/authorizations")

    async def answer(reply: replies.Reply) -> Response:
        wake()
        return await shell.deliver(reply, latency_s=latency_s)

    @routes.post("")
    async def authorize(request: requests.Authorize, key: Key) -> Response:
        return await answer(gateway.authorize(key, request, clock.now()))

    @routes.post("/{authorization_id}/captures")
    async def capture(authorization_id: str, request: requests.Capture, key: Key) -> Response:
        return await answer(gateway.capture(key, authorization_id, request, clock.now()))

    @routes.post("/{authorization_id}/voids")
    async def void(authorization_id: str, request: requests.Void, key: Key) -> Response:
        return await answer(gateway.void(key, authorization_id, request, clock.now()))

    @routes.post("/{authorization_id}/refunds")
    async def refund(authorization_id: str, request: requests.Refund, key: Key) -> Response:
        return await answer(gateway.refund(key, authorization_id, request, clock.now()))

    return routes


def _lookup_routes(gateway: ledger.Gateway) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.get("/authorizations")
    async def by_reference(reference: Annotated[str, Query(max_length=128)]) -> Response:
        return await shell.deliver(gateway.find_by_reference(reference, clock.now()))

    @routes.get("/authorizations/{authorization_id}")
    async def authorization(authorization_id: str) -> Response:
        return await shell.deliver(gateway.find_authorization(authorization_id, clock.now()))

    @routes.get("/operations")
    async def operation(idempotency_key: Annotated[str, Query(max_length=255)]) -> Response:
        return await shell.deliver(gateway.find_operation(idempotency_key, clock.now()))

    return routes


def _tester_routes(gateway: ledger.Gateway) -> APIRouter:
    routes = APIRouter()

    @routes.get("/ledger")
    async def entries(
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> dict[str, Any]:
        gateway.advance(clock.now())
        return {"entries": gateway.entries(after, limit)}

    @routes.get("/faults")
    async def lies() -> dict[str, Any]:
        return {"faults": gateway.faults.model_dump(), "struck": gateway.struck()}

    @routes.post("/faults")
    async def lie(wanted: faults.Faults) -> faults.Faults:
        gateway.set_faults(wanted)
        return gateway.faults

    @routes.delete("/faults")
    async def stop_lying() -> faults.Faults:
        gateway.set_faults(faults.Faults())
        return gateway.faults

    return routes
