"""One kept-alive HTTP/1.1 connection, as little of it as a load generator needs.

The client shares its machine with what it measures: every microsecond here is taken from there.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One request at a time. A connection that was lost is made anew, once per request."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            OSError: the other side is gone, twice in a row.
            TimeoutError: no answer in TIMEOUT_S.
        """
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self._ask(method, path, headers, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._streams = None
                return await self._ask(method, path, headers, body)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        length = int(found.get("content-length", "0"))
        content = await reader.readexactly(length) if length else b""
        if found.get("connection", "").lower() == "close":
            writer.close()
            self._streams = None
        return Answer(int(head[0].split(" ", 2)[1]), found, content)
