"""A TCP proxy between a service and what it asks: cut, slowed, or deaf in one direction.

What is held back is not lost, as in a network that is away and then retransmits: it stays in the
sockets' own buffers, and the sender feels it as back-pressure.
"""

import array
import asyncio
import fcntl
import socket
import struct
import termios
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

from waybill import ports

Direction = Literal["out", "back"]
"""`out`: from the service to what it asks."""
CONNECT_S = 10.0
HELD_BYTES_MAX = 1 << 20
RESET = struct.pack("ii", 1, 0)
"""Linger for no time at all: closing then resets."""


@dataclass(slots=True)
class Told:
    """What faults have done to a link so far: connections reset and refused, chunks that came
    late, bytes that waited for a deaf direction.
    """

    reset: int = 0
    refused: int = 0
    late: int = 0
    held_back: int = 0


class Link:
    """One listening port and where it leads. A fault holds from entering it to leaving it, and
    several hold at once: none takes back what another one wants.

    `upstream` answers the port to connect to, asked anew for each connection.
    """

    def __init__(self, name: str, port: int, upstream: Callable[[], int | None]) -> None:
        self.name = name
        self.port = port
        self.told = Told()
        self._refusing = 0
        self._delays_s: Counter[float] = Counter()
        self._deaf: Counter[Direction] = Counter()
        self._upstream = upstream
        self._connecting = asyncio.TaskGroup()
        self._sides: set[_Side] = set()

    @property
    def delay_s(self) -> float:
        """By how much each chunk comes late now: the longest that anybody wants."""
        return max(self._delays_s.elements(), default=0.0)

    @property
    def connections(self) -> int:
        """How many are open, counted at the service's side."""
        return sum(side.direction == "out" and side.is_open for side in self._sides)

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
        self.told.reset += count
        for side in list(self._sides):
            side.abort()
        return count

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """New connections are reset while inside."""
        self._refusing += 1
        try:
            yield
        finally:
            self._refusing -= 1

    @contextmanager
    def slowed(self, delay_s: float) -> Iterator[None]:
        """Each chunk comes later while inside, both ways."""
        self._delays_s[delay_s] += 1
        try:
            yield
        finally:
            self._delays_s[delay_s] -= 1

    @contextmanager
    def deaf(self, direction: Direction) -> Iterator[None]:
        """What comes in this direction is held back while inside, ends of connections too."""
        self._deaf[direction] += 1
        self._obey()
        try:
            yield
        finally:
            self._deaf[direction] -= 1
            self._obey()

    def is_deaf(self, direction: Direction) -> bool:
        return self._deaf[direction] > 0

    def _obey(self) -> None:
        for side in self._sides:
            side.obey()

    def connect(self, side: "_Side") -> None:
        """Give a service's connection its other end soon, or reset it."""
        self._connecting.create_task(self._connect(side))

    async def _connect(self, side: "_Side") -> None:
        self.told.refused += self._refusing > 0
        port = None if self._refusing else self._upstream()
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
        self._is_deaf = False
        self._next_s = 0.0

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

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
        delay_s = self._link.delay_s
        if delay_s or self._next_s > now_s:
            self._link.told.late += delay_s > 0
            # Never before what was sent earlier, whatever the delay is by now.
            self._next_s = max(now_s + delay_s, self._next_s)
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
            peer.count_held_back()
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
        is_deaf = self._link.is_deaf(self.direction)
        if self._is_deaf and not is_deaf:
            self.count_held_back()
        self._is_deaf = is_deaf
        if self._told_to_wait or is_deaf:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def count_held_back(self) -> None:
        """Note the bytes that came while nothing was read; they stand in the socket."""
        if self._is_deaf and self.transport is not None and not self.transport.is_reading():
            waits = array.array("i", [0])
            number = self.transport.get_extra_info("socket").fileno()
            fcntl.ioctl(number, termios.FIONREAD, waits)
            self._link.told.held_back += waits[0]

    def abort(self) -> None:
        """Reset the connection: its other end sees an error, not an orderly end."""
        if self.transport is None or self.transport.is_closing():
            return
        self.count_held_back()
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RESET
        )
        self.transport.abort()
