"""The HTTP server against clients without manners: each gets a problem document and goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from waybill_runtime.http import server
from waybill_runtime.http.server import HEAD_BYTES_MAX, Server, new_server

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, once it is whole."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * server.REQUEST_S)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Talk:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hear(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer; status 0 when the connection ended without one."""
        async with asyncio.timeout(10):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, {}, b""
            first, *lines = head.decode().strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split(" ")[1]), headers, body

    async def problem(self) -> Any:
        """The refusal that comes, after which the connection ends."""
        status, headers, body = await self.hear()
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        told = json.loads(body)
        assert told["status"] == status
        assert (await self.hear())[0] == 0
        return told

    def close(self) -> None:
        self._writer.close()


Dial = Callable[[], Any]


@asynccontextmanager
async def listening(app: ASGIApp = _echo) -> AsyncIterator[tuple[Server, Dial]]:
    """A server of an application, and a way to call it."""
    live = new_server(app, host="127.0.0.1", port=0)
    serving = asyncio.ensure_future(live.serve())
    while not live.started:
        await asyncio.sleep(0.01)
    port = live.servers[0].sockets[0].getsockname()[1]
    talks: list[Talk] = []

    async def dial() -> Talk:
        talks.append(Talk(*await asyncio.open_connection("127.0.0.1", port)))
        return talks[-1]

    try:
        yield live, dial
    finally:
        for talk in talks:
            talk.close()
        live.should_exit = True
        await serving


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose patience is short."""
    monkeypatch.setattr(server, "REQUEST_S", 0.2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("said", [b"", b"\r\n", GET, POST, POST + b"ab"])
async def test_a_request_that_does_not_become_whole_is_ended_with_408(said: bytes) -> None:
    async with listening() as (_, dial):
        talk = await dial()
        await talk.say(said)
        assert (await talk.problem())["type"] == "urn:waybill:problem:request-timeout"


@pytest.mark.usefixtures("hasty")
async def test_dripping_gains_no_time() -> None:
    async with listening() as (live, dial):
        talk = await dial()
        await talk.say(GET)
        dripping = asyncio.ensure_future(_drip(talk))
        assert (await talk.hear())[0] == 408
        talk.close()
        dripping.cancel()
        await asyncio.wait([dripping])
        while live.server_state.connections:
            await asyncio.sleep(0.01)


async def _drip(talk: Talk) -> None:
    for number in range(1_000):
        await talk.say(b"x-%d: y\r\n" % number)
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("hasty")
async def test_the_second_request_of_a_connection_has_the_same_limit() -> None:
    async with listening() as (_, dial):
        talk = await dial()
        await talk.say(POST + b"abcd")
        status, _, body = await talk.hear()
        assert (status, body) == (200, b"abcd")
        await talk.say(POST + b"ab")
        assert (await talk.problem())["status"] == 408


@pytest.mark.usefixtures("hasty")
async def test_an_answer_may_take_longer_than_its_request_whatever_comes_behind_it() -> None:
    async with listening() as (_, dial):
        talk = await dial()
        await talk.say(POST.replace(b" / ", b" /slow ") + b"abcd")
        await talk.say(b"\r\n")
        assert (await talk.hear())[0] == 200


async def test_an_endless_head_is_refused_before_it_ends() -> None:
    async with listening() as (_, dial):
        talk = await dial()
        await talk.say(GET + b"x: ")
        for _ in range(HEAD_BYTES_MAX // 1024 + 1):
            await talk.say(b"y" * 1024)
        assert (await talk.problem())["type"] == "urn:waybill:problem:headers-too-large"


async def test_a_head_that_is_whole_and_too_large_is_refused() -> None:
    async with listening() as (_, dial):
        for said in (
            GET + b"x: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\n",
            b"GET /" + b"y" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        ):
            talk = await dial()
            await talk.say(said)
            assert (await talk.problem())["status"] == 431


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        GET + b"na me: x\r\n\r\n",
        GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        GET + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        GET + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_with_a_problem(said: bytes) -> None:
    async with listening() as (_, dial):
        talk = await dial()
        await talk.say(said)
        assert (await talk.problem())["type"] == "urn:waybill:problem:bad-request"


async def test_one_request_too_many_is_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUESTS_AT_ONCE", 2)
    over = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/held":
            await asyncio.wait_for(over.wait(), 5)
        await _echo(scope, receive, send)

    async with listening(held) as (live, dial):
        busy = [await dial(), await dial()]
        for talk in busy:
            await talk.say(GET.replace(b" / ", b" /held ") + b"\r\n")
        while len(live.server_state.tasks) < 2:
            await asyncio.sleep(0.01)
        talk = await dial()
        await talk.say(GET + b"\r\n")
        status, headers, _ = await talk.hear()
        assert (status, headers["retry-after"]) == (503, "1")
        assert headers["content-type"] == "application/problem+json"
        for path in (b"/livez", b"/readyz", b"/metrics"):  # or a busy process is started anew
            talk = await dial()
            await talk.say(GET.replace(b" / ", b" " + path + b" ") + b"\r\n")
            assert (await talk.hear())[0] == 200
        over.set()
        assert [(await talk.hear())[0] for talk in busy] == [200, 200]


async def test_who_says_nothing_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUESTS_AT_ONCE", 2)
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 8)
    async with listening() as (live, dial):
        kept = await dial()
        await kept.say(GET + b"\r\n")
        assert (await kept.hear())[0] == 200
        silent = [await dial() for _ in range(20)]
        for talk in silent[::2]:
            await talk.say(GET)  # a head that does not end
        for _ in range(3):
            talk = await dial()
            await talk.say(GET + b"\r\n")
            assert (await talk.hear())[0] == 200
        assert len(live.server_state.connections) <= 8
        assert (await silent[0].hear())[0] == 0  # ended
        await kept.say(GET + b"\r\n")
        assert (await kept.hear())[0] == 200


async def test_a_websocket_is_answered_as_the_request_that_it_is() -> None:
    async with listening() as (_, dial):
        talk = await dial()
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n"
        await talk.say(GET + upgrade)
        assert (await talk.hear())[0] == 200
