"""A TCP proxy between a service and what it asks: cut, slowed, or deaf in one direction.

What is held back is not lost, as in a network that is away and then retransmits: it stays in the
sockets' own buffers, and the sender feels it as back-pressure.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from waybill import ports

Direction = Literal["out", "back"]
"""`out`: from the service to what it asks."""
CONNECT_S = 10.0
HELD_BYTES_MAX = 1 << 20
RESET = struct.pack("ii", 1, 0)
"""Linger for no time at all: closing then resets."""


class Link:
    """One listening port and where it leads. Faults are set and taken back at run time.

    `upstream` answers the port to connect to, asked anew for each connection.
    """

    def __init__(self, name: str, port: int, upstream: Callable[[], int | None]) -> None:
        self.name = name
        self.port = port
        self.refuses = False
        self.delay_s = 0.0
        self.deaf: frozenset[Direction] = frozenset()
        self._upstream = upstream
        self._connecting = asyncio.TaskGroup()
        self._sides: set[_Side] = set()

    @property
    def connections(self) -> int:
        """How many are open, counted at the service's side."""
        return sum(side.direction == "out" for side in self._sides)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take connections while inside; those that are open at the end are cut."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._connecting:
            server = await loop.create_server(
                lambda: _Side(self, "out"), ports.HOST, self.port, backlog=512
            )
            try:
                yield
            finally:
                server.close()
                self.cut()

    def cut(self) -> int:
        """Reset every open connection, both ends; answers how many there were."""
        count = self.connections
        for side in list(self._sides):
            side.abort()
        return count

    def hear(self, deaf: frozenset[Direction]) -> None:
        """Hold back what comes in these directions, the ends of connections too."""
        self.deaf = deaf
        for side in self._sides:
            side.obey()

    def connect(self, side: "_Side") -> None:
        """Give a service's connection its other end soon, or reset it."""
        self._connecting.create_task(self._connect(side))

    async def _connect(self, side: "_Side") -> None:
        port = None if self.refuses else self._upstream()
        try:
            if port is None:
                raise ConnectionRefusedError("refused by the proxy")
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: _Side(self, "back", side), ports.HOST, port)
        except OSError:
            side.abort()

    def add(self, side: "_Side") -> None:
        self._sides.add(side)

    def remove(self, side: "_Side") -> None:
        self._sides.discard(side)


class _Side(asyncio.Protocol):
    """One end of one connection; reads in its `direction` and writes to its peer."""

    def __init__(self, link: Link, direction: Direction, peer: "_Side | None" = None) -> None:
        self.direction = direction
        self.transport: asyncio.Transport | None = None
        self.peer = peer
        self._link = link
        self._held = bytearray()
        self._told_to_wait = False
        self._next_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  the loop's promise for TCP
        self.transport = transport
        self._link.add(self)
        if self.peer is None:
            self._link.connect(self)
        elif self.peer.transport is None or self.peer.transport.is_closing():
            self.abort()
        else:
            self.peer.peer = self
            self.peer.flush()
        self.obey()

    def data_received(self, data: bytes) -> None:
        if self.peer is None or self.peer.transport is None:
            self._held += data
            if len(self._held) > HELD_BYTES_MAX:
                self.abort()
            return
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._link.delay_s or self._next_s > now_s:
            # Never before what was sent earlier, whatever the delay is by now.
            self._next_s = max(now_s + self._link.delay_s, self._next_s)
            loop.call_at(self._next_s, self.peer.write, data)
        else:
            self.peer.write(data)

    def flush(self) -> None:
        """Send on what came before there was a peer."""
        held, self._held = bytes(self._held), bytearray()
        if held:
            self.data_received(held)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.remove(self)
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing():
            return
        if exc is None:
            peer.transport.close()
        else:
            peer.abort()

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.wait(wait=True)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.wait(wait=False)

    def wait(self, *, wait: bool) -> None:
        """Whether the peer is too full to take more."""
        self._told_to_wait = wait
        self.obey()

    def obey(self) -> None:
        """Read or do not read, as the link and the peer want it."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._told_to_wait or self.direction in self._link.deaf:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Reset the connection: its other end sees an error, not an orderly end."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RESET
        )
        self.transport.abort()
