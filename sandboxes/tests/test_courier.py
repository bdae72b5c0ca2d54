"""The courier goes on, whatever the receiver of a callback answers."""

import asyncio
from datetime import datetime

import pytest

from waybill_sandboxes import callbacks, clock
from waybill_sandboxes.courier import Courier

PATIENCE_S = 10.0


class _Core:
    """Has callbacks to tell, and nothing else to do."""

    def __init__(self, *urls: str) -> None:
        self.outbox = callbacks.Outbox()
        self.heard: set[str] = set()
        self.all_heard = asyncio.Event()
        for url in urls:
            self.outbox.add(
                callbacks.Callback(id=url, lane=url, url=url, body=b"{}", due_at=clock.now())
            )

    def advance(self, now: datetime) -> None:
        return

    def next_due(self) -> datetime | None:
        return None

    def acknowledged(self, callback: callbacks.Callback) -> None:
        self.heard.add(callback.id)
        self.all_heard.set()


@pytest.mark.parametrize("nonsense", [b"", b"this is no HTTP\r\n\r\n"], ids=["nothing", "no HTTP"])
async def test_what_is_no_answer_is_told_again(nonsense: bytes) -> None:
    answers = [nonsense, b"HTTP/1.1 204 No Content\r\n\r\n"]

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        core = _Core(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook")
        running = asyncio.ensure_future(Courier(core, "secret").run())
        heard = asyncio.ensure_future(core.all_heard.wait())
        await asyncio.wait({running, heard}, timeout=PATIENCE_S, return_when="FIRST_COMPLETED")
        assert not running.done()
        assert core.heard
        running.cancel()
        await asyncio.wait({running})
    assert not answers
