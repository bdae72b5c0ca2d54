"""S8: what is too much of anything is refused at once, over a real socket, and costs no memory."""

import asyncio
import copy
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr

import capture.bootstrap
import capture.settings
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.http.server import new_server
from waybill_runtime.service import Service
from waybill_runtime.testing.world import World

DOCUMENT = Path(__file__).parents[2] / "docs/reference/openapi/capture.json"
ORDER = json.loads(DOCUMENT.read_text())["components"]["schemas"]["PlaceOrder"]["examples"][0]
KEY = "wb_sizes000_secret"
GROWTH_BYTES_MAX = 20 * 2**20
REPEATED = 5


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """Capture on memory, served by the server that serves it everywhere."""
    on = World().infrastructure("capture")
    given = SecretStr("x")
    settings = capture.settings.Settings(
        database_url=given, key_pepper=given, tracking_token_secret=given
    )
    ring = KeyRing(on.store, on.clock, "x")
    await ring.add(KEY, name="sizes", scopes=ROLES["storefront"])
    app = Service(capture.bootstrap.compose(settings, on), on).app(ring)
    server = new_server(app, host="127.0.0.1", port=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True


def order(**changed: Any) -> bytes:
    return json.dumps(copy.deepcopy(ORDER) | changed).encode()


def head(path: str = "/v1/orders", **more: str) -> bytes:
    lines = {
        "Host": "x",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Connection": "close",
        "Idempotency-Key": "too much",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{told}\r\n".encode()


def whole(body: bytes, **more: str) -> bytes:
    return head(Content_Length=str(len(body)), **more) + body


def chunked(body: bytes) -> bytes:
    step = 16 * 1024
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    told = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head(Transfer_Encoding="chunked") + told + b"0\r\n\r\n"


LINE = ORDER["lines"][0]
NESTED = b'{"lines": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
OVERSIZE: Mapping[str, tuple[bytes, int]] = {
    "a body, as declared": (whole(order(channel="x" * 300_000)), 413),
    "a body, in chunks": (chunked(order(channel="x" * 300_000)), 413),
    "a declared length alone": (head(Content_Length=str(10 * 2**30)), 413),
    "lines": (whole(order(lines=[LINE | {"name": "x"}] * 1_001)), 422),
    "nesting": (whole(NESTED), 400),
    "a text": (whole(order(channel="x" * 100_000)), 422),
    "a number": (whole(order().replace(b"255", b"9" * 4_000)), 422),
    "digits of a number": (whole(order().replace(b"255", b"9" * 100_000)), 400),
    "fields": (whole(order(**{f"f{n}": n for n in range(10_000)})), 422),
    "a field twice": (whole(order()[:-1] + b', "currency": "EUR"}'), 422),
    "no number": (whole(order().replace(b"255", b"NaN")), 422),
    "a header": (head(X_Much="x" * 40_000), 431),
    "headers": (head(**{f"X_{n}": "x" * 100 for n in range(400)}), 431),
    "an address": (head("/v1/orders?" + "x" * 40_000), 431),
    "an Idempotency-Key": (whole(order(), **{"Idempotency-Key": "x" * 300}), 400),
    "a key": (whole(order(), Authorization="Bearer wb_x_" + "y" * 10_000), 401),
    "a body that would unfold": (
        whole(gzip.compress(b"0" * 100_000_000), Content_Encoding="gzip"),
        415,
    ),
}


async def sent(port: int, request: bytes) -> bytes:
    """All that is answered before the server or this side ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(15):
            with suppress(ConnectionError):  # refused before it was taken whole
                writer.write(request)
                await writer.drain()
            with suppress(ConnectionError):
                return await reader.read()
            return b""
    finally:
        writer.close()


@pytest.mark.parametrize("what", OVERSIZE)
async def test_too_much_of_anything_is_refused_and_costs_no_memory(port: int, what: str) -> None:
    request, status = OVERSIZE[what]
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(REPEATED):
        answer = await sent(port, request)
        told, _, body = answer.partition(b"\r\n\r\n")
        if status == 413 and not body:
            continue  # ended while it was still being sent: what was answered may be lost with it
        assert told.split(b" ", 2)[1] == str(status).encode(), (what, answer[:600])
        assert b"application/problem+json" in told
        document = body[body.index(b"{") : body.rindex(b"}") + 1]  # it may come in a chunk
        assert json.loads(document)["status"] == status
    assert process.memory_info().rss - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize("kib", [300, 2_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_who_sends_too_much_is_told_so_and_not_reset(
    port: int, kib: int, *, chunked: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(kib):
            yield b"x" * 1024

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "too much"}
        content = chunks() if chunked else b"x" * 1024 * kib
        answer = await http.post("/v1/orders", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:waybill:problem:body-too-large"
