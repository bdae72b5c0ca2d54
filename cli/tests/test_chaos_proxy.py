"""The proxy between a service and its store: carries, cuts, slows, and goes deaf one way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from waybill import ports
from waybill.chaos.proxy import Link


class Echo:
    """A server that answers what it is sent, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.said = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.heard += data
                self.said.set()
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def connected(
    link: Link,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(ports.HOST, link.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, ports.HOST, 0)
    upstream = server.sockets[0].getsockname()[1]
    free = await asyncio.start_server(echo.serve, ports.HOST, 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    link = Link("test", port, lambda: upstream)
    try:
        async with link.listening():
            yield link, echo
    finally:
        server.close()


async def test_it_carries_bytes_both_ways_whole_and_in_order() -> None:
    async with linked() as (link, _), connected(link) as (reader, writer):
        sent = b"".join(number.to_bytes(4) for number in range(200_000))
        writer.write(sent)
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent


async def test_a_cut_resets_what_is_open_and_refuses_what_comes() -> None:
    async with linked() as (link, _):
        async with connected(link) as (reader, writer):
            await greet(reader, writer)
            assert link.cut() == 1
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(reader.readexactly(1), 5)
        with link.refusing():
            async with connected(link) as (reader, _):
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (link.told.reset, link.told.refused) == (1, 1)
        async with connected(link) as (reader, writer):
            await greet(reader, writer)


async def test_what_is_slowed_comes_late_and_in_order_even_as_it_heals() -> None:
    async with linked() as (link, _), connected(link) as (reader, writer):
        await greet(reader, writer)
        with link.slowed(0.2):
            begun_s = asyncio.get_running_loop().time()
            writer.write(b"1")
            await asyncio.sleep(0.05)
        writer.write(b"2")
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"12"
        assert asyncio.get_running_loop().time() - begun_s >= 0.2


async def test_deaf_outwards_nothing_arrives_until_it_heals_and_then_all_of_it() -> None:
    async with linked() as (link, echo), connected(link) as (reader, writer):
        await greet(reader, writer)
        with link.deaf("out"):
            echo.said.clear()
            writer.write(b"lost?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(echo.said.wait(), 0.2)
        assert link.told.held_back == len(b"lost?")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"lost?"


async def test_deaf_backwards_the_deed_is_done_and_its_answer_does_not_come() -> None:
    async with linked() as (link, echo), connected(link) as (reader, writer):
        await greet(reader, writer)
        with link.deaf("back"):
            echo.said.clear()
            writer.write(b"commit")
            await asyncio.wait_for(echo.said.wait(), 5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
        assert link.told.held_back == len(b"commit")
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"commit"


async def test_what_waits_in_a_connection_that_is_given_up_was_held_back_too() -> None:
    async with linked() as (link, echo), connected(link) as (reader, writer):
        await greet(reader, writer)
        with link.deaf("back"):
            echo.said.clear()
            writer.write(b"commit")
            await asyncio.wait_for(echo.said.wait(), 5)
            await asyncio.sleep(0.05)
            writer.close()
            while link.connections:
                await asyncio.sleep(0.01)
        assert link.told.held_back == len(b"commit")


async def test_faults_on_one_link_do_not_heal_each_other() -> None:
    async with linked() as (link, _), connected(link) as (reader, writer):
        await greet(reader, writer)
        with link.refusing(), link.slowed(0.3), link.deaf("back"):
            with link.refusing(), link.slowed(0.1), link.deaf("back"), link.deaf("out"):
                assert link.delay_s == 0.3
            assert link.delay_s == 0.3
            assert link.is_deaf("back")
            assert not link.is_deaf("out")
            writer.write(b"x")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.5)
            async with connected(link) as (second, _):
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(second.read(), 5) == b""
        assert link.delay_s == 0.0
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"x"


async def test_an_end_goes_through_and_nothing_stays_open() -> None:
    async with linked() as (link, _), connected(link) as (reader, writer):
        await greet(reader, writer)
        assert link.connections == 1
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        for _ in range(100):
            if not link.connections:
                break
            await asyncio.sleep(0.01)
        assert link.connections == 0


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
