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


SAID = '{"text": "hello"}'


async def _answer(path: str, headers: dict[str, str], *chunks: bytes) -> httpx.Response:
    async def sent() -> Any:
        for chunk in chunks:
            yield chunk

    transport = httpx.ASGITransport(_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        content = chunks[0] if len(chunks) == 1 else sent()
        return await http.post(path, content=content, headers=headers)


@pytest.mark.parametrize("path", ["/modelled", "/raw"])
@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("Content-Type", "application/json; charset=utf-7", "'utf-7'"),
        ("Content-Type", 'application/json ;Charset = "UTF-16"', "'UTF-16'"),
        ("Content-Encoding", "gzip", "'gzip'"),
        ("Content-Encoding", "identity, br", "'identity, br'"),
    ],
)
@pytest.mark.parametrize("chunks", [(SAID.encode(),), (b"{", SAID[1:].encode())])
async def test_a_body_that_says_it_is_packed_or_in_other_letters_is_refused(
    path: str, name: str, value: str, named: str, chunks: tuple[bytes, ...]
) -> None:
    answer = await _answer(path, {"Content-Type": "application/json", name: value}, *chunks)
    assert answer.status_code == 415, answer.text
    assert answer.headers["accept-encoding"] == "identity"
    assert answer.json()["type"] == "urn:waybill:problem:unsupported-media-type"
    detail = answer.json()["detail"]
    assert name in detail
    assert named in detail
    assert "Send " in detail


@pytest.mark.parametrize("path", ["/modelled", "/raw"])
@pytest.mark.parametrize("letters", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("size", [1, 1_000])
async def test_a_body_in_letters_of_two_or_four_bytes_is_refused(
    path: str, letters: str, size: int
) -> None:
    body = SAID.encode(letters)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    answer = await _answer(path, {"Content-Type": "application/json"}, *chunks)
    assert answer.status_code == 415, answer.text
    assert "Send JSON in UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": 'application/json;charset="UTF8"'},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
async def test_a_body_that_says_what_it_is_is_read(headers: dict[str, str]) -> None:
    answer = await _answer("/modelled", headers, '{"text": "\N{SNOWMAN}"}'.encode())
    assert answer.json() == {"text": "\N{SNOWMAN}"}


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
