"""A service's HTTP side: its routers behind the edge, with health, metrics and problems."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from waybill_runtime.bus import BusUnavailable
from waybill_runtime.http import problem
from waybill_runtime.http.auth import KeyRing, identify
from waybill_runtime.http.edge import Edge
from waybill_runtime.http.limits import Limits, unlimited
from waybill_runtime.http.problem import Problem, Refused
from waybill_runtime.http.sent import WANTED
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Probe, alongside, time_the_loop
from waybill_runtime.stored import StoreUnavailable

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {
        "description": text,
        "content": {problem.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code, text in {
        401: "No valid API key.",
        403: "The key lacks a scope.",
        404: "There is no such thing.",
        409: "It cannot be done as things stand.",
        400: "A header or the body cannot be used.",
        412: "The version has moved on.",
        413: "The body is too large.",
        415: "The body is not sent as JSON in UTF-8, uncompressed.",
        422: "A field or a query parameter is wrong, unknown or missing.",
        428: "If-Match is missing.",
        429: "Too many requests; send the same again after the time in Retry-After.",
        503: "Not available right now; send the same again.",
    }.items()
}


PING_S = 1.0
"""A part that takes longer is as good as away; probes themselves wait two seconds and more."""


class Health(BaseModel):
    """`ok`, or what is missing."""

    status: str


def create(
    name: str,
    summary: str,
    routers: Sequence[APIRouter],
    infrastructure: Infrastructure,
    keys: KeyRing,
    limits: Limits | None = None,
) -> FastAPI:
    """The service's ASGI application; without limits it takes what comes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with alongside(time_the_loop(infrastructure.clock)):
            yield

    app = FastAPI(
        title=f"Waybill {name}",
        summary=summary,
        version="1",
        responses={},
        docs_url="/docs",
        redoc_url=None,
        openapi_tags=[{"name": name}],
        lifespan=lifespan,
        dependencies=[Depends(identify)],
    )
    app.state.keys = keys
    app.state.limits = limits or unlimited(infrastructure.clock)
    problem.install(app)
    app.add_middleware(Edge, clock=infrastructure.clock, ids=infrastructure.ids)
    for router in routers:
        app.include_router(router, tags=[name], responses=PROBLEMS)
    app.include_router(_health(infrastructure), include_in_schema=False)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Have the OpenAPI document say what a Problem is, who needs no key, which headers all need."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemas = document["components"].setdefault("schemas", {})
        told = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(told.pop("$defs", {}))
        schemas["Problem"] = told
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path, item in document["paths"].items():
            for operation in item.values():
                for parameter in operation.get("parameters", ()):
                    if parameter["in"] == "header" and parameter["name"] in WANTED:
                        _require(parameter)
                if not operation.setdefault("security", []):
                    operation["responses"].pop("403", None)
                    if "/callbacks/" not in path:  # those are signed
                        operation["responses"].pop("401", None)
        for schema in schemas.values():
            if "examples" in schema:
                schema["examples"] = [_whole(one, schema, schemas) for one in schema["examples"]]
        return document

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way of extending it


def _require(header: dict[str, Any]) -> None:
    """What FastAPI was told may be missing, to have our answer to it, may not. Twice is once."""
    header["required"] = True
    kinds = header["schema"].pop("anyOf", ())
    header["schema"] = next((k for k in kinds if k != {"type": "null"}), {}) | header["schema"]


def _whole(example: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An example with its nulls: FastAPI leaves them out of what it encodes."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if isinstance(example, list):
        return [_whole(one, schema.get("items", {}), schemas) for one in example]
    if not isinstance(example, dict):
        return example
    fields = schema.get("properties", {})
    given = {name: _whole(one, fields.get(name, {}), schemas) for name, one in example.items()}
    return dict.fromkeys(schema.get("required", ())) | given


async def _state(probe: Probe) -> str:
    """`ok`, or what is wrong with a part; never an empty text."""
    try:
        if await probe.answers(PING_S):
            return "ok"
    except (StoreUnavailable, BusUnavailable) as error:
        said = str(error).strip().removesuffix(":")
        return f"{said or type(error).__name__} (at a ping)"
    return f"no answer within {PING_S:g} s"


def _health(infrastructure: Infrastructure) -> APIRouter:
    router = APIRouter()
    probes = {
        "store": Probe(infrastructure.store.ping),
        "bus": Probe(infrastructure.bus.ping),
    }

    @router.get("/livez")
    async def livez() -> Health:
        return Health(status="ok")

    @router.get("/readyz")
    async def readyz() -> Health:
        if infrastructure.stopping:
            raise Refused(503, "stopping", "This process is stopping.")
        states = await asyncio.gather(*(_state(probe) for probe in probes.values()))
        parts = dict(zip(probes, states, strict=True))
        parts |= infrastructure.failing.parts(asyncio.get_running_loop().time())
        if away := [f"{name}: {state}" for name, state in parts.items() if state != "ok"]:
            raise Refused(503, "not-ready", f"{'; '.join(away)}.", members={"parts": parts})
        return Health(status="ok")

    @router.get("/metrics")
    async def metrics() -> Response:
        infrastructure.failing.parts(asyncio.get_running_loop().time())  # brings its gauge up
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
