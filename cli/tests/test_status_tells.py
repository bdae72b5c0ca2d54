"""What a program that is not ready says of itself, as `waybill status` shows it."""

import asyncio
from pathlib import Path

from waybill import children, state
from waybill.commands import status
from waybill.home import Home


def test_a_program_that_is_not_ready_is_shown_with_what_it_says() -> None:
    problem = b'{"detail": "store: no answer within 1 s."}'

    async def asked(answer: bytes) -> str | None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(answer)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            return await children.refusal(listening.sockets[0].getsockname()[1], "/readyz")

    head = b"HTTP/1.1 503 Service Unavailable\r\nServer: us\r\n\r\n"
    assert asyncio.run(asked(b"HTTP/1.1 200 OK\r\n\r\n")) is None
    assert asyncio.run(asked(head + problem)) == "store: no answer within 1 s."
    assert asyncio.run(asked(head + b"<html>")) == "it answers 503"
    assert asyncio.run(asked(b"")) == "it answers nothing"


def test_of_a_program_that_was_never_ready_status_tells_what_it_says(tmp_path: Path) -> None:
    async def told() -> str | None:
        async def halted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b'HTTP/1.1 503 No\r\nServer: us\r\n\r\n{"detail": "It was set back."}')
            writer.close()

        async with await asyncio.start_server(halted, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            one = state.Running(port=port, ready_path="/readyz")
            return await status._refusal(Home(tmp_path), "payment", one, is_there=True)

    said = asyncio.run(told())
    assert said is not None
    assert "It was set back." in said
