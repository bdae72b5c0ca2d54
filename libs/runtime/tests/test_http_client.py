"""Whatever becomes of a request, a caller hears it in httpx's words, and in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from waybill_runtime.adapters.http_client import HttpClient

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIMEOUT_S = 0.2


class _Peer:
    """Answers every request with the same bytes, then hangs up unless it was all well."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.connections = 0
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                if self._answer is None:
                    await reader.read()
                    break
                writer.write(self._answer)
                await writer.drain()
                if self._answer != WELL:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def _listening(answer: bytes | None) -> AsyncIterator[tuple[_Peer, str]]:
    peer = _Peer(answer)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with server:
        yield peer, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_answer_is_httpx_own_and_its_connection_is_used_again() -> None:
    async with _listening(WELL) as (peer, url), HttpClient(base_url=url) as client:
        answers = [await client.post("/it", json={"a": 1}) for _ in range(3)]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "ok")] * 3
    assert len(peer.heads) == 3
    assert peer.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["hung up", "no HTTP", "cut off", "no chunk"],
)
async def test_an_answer_that_is_none_is_a_transport_error(answer: bytes) -> None:
    async with _listening(answer) as (_, url), HttpClient(base_url=url) as client:
        with pytest.raises(httpx.TransportError):
            await client.post("/it", json={})


async def test_nobody_listening_is_a_transport_error() -> None:
    async with _listening(WELL) as (_, url):
        pass
    async with HttpClient(base_url=url) as client:
        with pytest.raises(httpx.TransportError):
            await client.get("/it")


async def test_silence_ends_with_the_time_out() -> None:
    async with (
        _listening(None) as (_, url),
        HttpClient(base_url=url, timeout=TIMEOUT_S) as client,
    ):
        with pytest.raises(httpx.TimeoutException):
            await client.get("/it")


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _listening(WELL) as (peer, url):
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpClient(base_url="http://gateway.invalid") as client:
            assert (await client.get("/it")).text == "ok"
        async with HttpClient(base_url=url, trust_env=False) as client:
            await client.get("/it")
    assert [head.split(b" ")[1] for head in peer.heads] == [b"http://gateway.invalid/it", b"/it"]
