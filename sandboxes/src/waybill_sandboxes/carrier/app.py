"""The carrier over HTTP: requests in, replies out, nothing decided here."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response

from waybill_sandboxes import clock, shell
from waybill_sandboxes.carrier import depot, faults, requests

Key = Annotated[str, Depends(shell.idempotency_key)]


def build(
    carrier: depot.Carrier, *, api_key: str, wake: Callable[[], None], latency_s: float = 0.0
) -> FastAPI:
    """The app of one carrier; `wake` is called when it may have something to tell."""
    app = shell.new_app("Waybill sandbox carrier")
    guarded = [Depends(shell.bearer(api_key))]
    app.include_router(_shipper_routes(carrier, wake, latency_s), dependencies=guarded)
    # Open on purpose: an auditor, or a chaos run, holds no key of the merchant's.
    app.include_router(_tester_routes(carrier))
    return app


def _shipper_routes(
    carrier: depot.Carrier, wake: Callable[[], None], latency_s: float
) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/shipments")
    async def create(request: requests.CreateShipment, key: Key) -> Response:
        reply = carrier.create_shipment(key, request, clock.now())
        wake()
        return await shell.deliver(reply, latency_s=latency_s)

    @routes.get("/shipments")
    async def by_reference(reference: Annotated[str, Query(max_length=128)]) -> Response:
        return await shell.deliver(carrier.find_by_reference(reference, clock.now()))

    @routes.get("/shipments/{shipment_id}")
    async def shipment(shipment_id: str) -> Response:
        return await shell.deliver(carrier.find_shipment(shipment_id, clock.now()))

    @routes.delete("/shipments/{shipment_id}")
    async def void(shipment_id: str) -> Response:
        reply = carrier.void_shipment(shipment_id, clock.now())
        return await shell.deliver(reply, latency_s=latency_s)

    @routes.get("/labels/{tracking_number}")
    async def label(tracking_number: str) -> Response:
        text = carrier.label(tracking_number)
        if text is None:
            raise HTTPException(404, f"No label {tracking_number}.")
        return Response(text, media_type="text/plain; charset=utf-8")

    return routes


def _tester_routes(carrier: depot.Carrier) -> APIRouter:
    routes = APIRouter()

    @routes.get("/ledger")
    async def entries(
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> dict[str, Any]:
        return {"entries": carrier.entries(after, limit)}

    @routes.get("/faults")
    async def lies() -> dict[str, Any]:
        return {"faults": carrier.faults.model_dump(), "struck": carrier.struck()}

    @routes.post("/faults")
    async def lie(wanted: faults.Faults) -> faults.Faults:
        carrier.set_faults(wanted)
        return carrier.faults

    @routes.delete("/faults")
    async def stop_lying() -> faults.Faults:
        carrier.set_faults(faults.Faults())
        return carrier.faults

    return routes
