"""The edge of every service: too large, cut off, or failing inside, and what is counted of it."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from prometheus_client import REGISTRY
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Message

from waybill_runtime.http import app as http_app
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.http.edge import BODY_BYTES_MAX
from waybill_runtime.testing.world import World


class Said(BaseModel):
    text: str


def _app() -> FastAPI:
    on = World().infrastructure("x")
    router = APIRouter()

    @router.post("/modelled")
    async def modelled(body: Said) -> Said:
        return body

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @router.post("/broken")
    async def broken() -> None:
        raise RuntimeError("secret of the inside")

    @router.post("/foreign")
    async def foreign() -> None:
        raise HTTPException(418, "secret of the framework")

    return http_app.create("x", "A test.", [router], on, KeyRing(on.store, on.clock, ""))


def _counted(route: str, status: int) -> float:
    labels = {"method": "POST", "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("waybill_http_request_seconds_count", labels) or 0.0


@pytest.mark.parametrize("path", ["/modelled", "/raw", "/nowhere"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(path: str, *, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(BODY_BYTES_MAX // 1024 + 1):
            yield b" " * 1024

    content = chunks() if chunked else b" " * (BODY_BYTES_MAX + 1)
    transport = httpx.ASGITransport(_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        answer = await http.post(path, content=content)
    if path == "/nowhere" and chunked:
        assert answer.status_code == 404  # answered before its body was looked at
        return
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:waybill:problem:body-too-large"


@pytest.mark.parametrize("path", ["/modelled", "/raw"])
async def test_a_client_that_leaves_in_the_middle_is_no_failure_of_ours(path: str) -> None:
    said: list[Message] = [
        {"type": "http.request", "body": b'{"te', "more_body": True},
        {"type": "http.disconnect"},
    ]
    before = _counted(path, 400), _counted(path, 500)

    async def receive() -> Message:
        return said.pop(0)

    async def send(_: Message) -> None:
        """Nobody listens."""

    await _app()(_scope(path), receive, send)
    assert (_counted(path, 400), _counted(path, 500)) == (before[0] + 1, before[1])


async def test_a_failure_inside_is_counted_and_tells_nothing() -> None:
    before = _counted("/broken", 500)
    transport = httpx.ASGITransport(_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        answer = await http.post("/broken")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:waybill:problem:unexpected"
    assert "secret" not in answer.text
    assert _counted("/broken", 500) == before + 1


async def test_what_the_framework_never_refuses_by_itself_has_no_kind_of_its_own() -> None:
    transport = httpx.ASGITransport(_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        answer = await http.post("/foreign")
        other = await http.get("/foreign")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.json()["type"] == "urn:waybill:problem:unexpected"
    assert "secret" not in answer.text
    assert other.json()["type"] == "urn:waybill:problem:method-not-allowed"
    assert other.headers["allow"] == "POST"


def _scope(path: str) -> Any:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
