"""Requests that end at any moment, against a real capture process on a real Postgres.

After them: no connection at work, no lock, nothing in flight; each order that was acknowledged is
there as it was answered, and a second try under the same key makes no second one.
"""

import asyncio
import itertools
import json
import math
import os
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

import planting

AT_ONCE = 48
DRIPPING = 100
CALM_S = 2.0
START_S = 60.0
KEY = "wb_aborter_secret"
MOMENTS = (
    "before a byte",
    "in the head",
    "before the body",
    "in the body",
    "at once behind the body",
    "before the answer",
    "in the answer",
    "never",
)


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    moments: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    orders: int = 0
    drippers_ended: int = 0
    violations: list[str] = field(default_factory=list)


@asynccontextmanager
async def capture(database: str, bus: str) -> AsyncIterator[str]:
    """A capture process, API only, with a key; answers its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "CAPTURE_DATABASE_URL": database,
        "CAPTURE_BUS_DATABASE_URL": bus,
        "CAPTURE_KEY_PEPPER": "pepper",
        "CAPTURE_TRACKING_TOKEN_SECRET": "secret",
        "CAPTURE_PORT": str(port),
        "CAPTURE_LOG_LEVEL": "error",
        "CAPTURE_KEY_REQUESTS_PER_S": "100000",
        "CAPTURE_KEY_BURST": "100000",
        "CAPTURE_ADDRESS_REQUESTS_PER_S": "100000",
        "CAPTURE_ADDRESS_BURST": "100000",
    }
    environment = {**os.environ, **told}
    await _run(environment, "migrate")
    words = ("keys", "add", "--name", "aborter", "--scopes", "storefront", "--secret-stdin")
    await _run(environment, *words, said=f"{KEY}\n".encode())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "capture", "--role", "api", env=environment
    )
    try:
        await _up(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), START_S)


async def _run(environment: Mapping[str, str], *words: str, said: bytes = b"") -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "capture", *words, env=environment, stdin=asyncio.subprocess.PIPE
    )
    await process.communicate(said)
    if process.returncode:
        raise RuntimeError(f"python -m capture {words[0]} failed")


async def _up(url: str) -> None:
    async with asyncio.timeout(START_S), httpx.AsyncClient() as http:
        while True:
            try:
                if (await http.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


def _body(number: int) -> bytes:
    return json.dumps({**planting.ORDER, "external_ref": f"aborted-{number}"}).encode()


def _head(number: int, length: int) -> bytes:
    return (
        "POST /v1/orders HTTP/1.1\r\nhost: capture\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\nidempotency-key: aborted-{number}\r\n"
        f"content-length: {length}\r\nconnection: close\r\n\r\n"
    ).encode()


async def _abort(url: httpx.URL, number: int, dice: random.Random) -> tuple[str, bytes | None]:
    """One request, ended somewhere; the answer's body when it came whole as a 201."""
    moment = dice.choice(MOMENTS)
    body = _body(number)
    head = _head(number, len(body))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    sent = {
        "before a byte": b"",
        "in the head": head[: dice.randrange(1, len(head))],
        "before the body": head,
        "in the body": head + body[: dice.randrange(1, len(body))],
    }.get(moment, head + body)
    answer: bytes | None = None
    try:
        writer.write(sent)
        await writer.drain()
        if moment in ("in the head", "before the body", "in the body", "before the answer"):
            await asyncio.sleep(dice.random() * 0.03)
        elif moment == "in the answer":
            await asyncio.wait_for(reader.read(dice.randrange(1, 200)), 30)
        elif moment == "never":
            whole = await asyncio.wait_for(reader.read(), 30)
            told, _, found = whole.partition(b"\r\n\r\n")
            answer = found if b" 201 " in told[:20] else None
    except (ConnectionError, TimeoutError):
        answer = None
    if dice.random() < 0.5:  # a reset, not a farewell
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()
    return moment, answer


async def _drip(url: httpx.URL, outcome: Outcome) -> None:
    """A client that never finishes its head; counted once the service ends it."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /v1/orders HTTP/1.1\r\n")
    try:
        for number in range(600):
            writer.write(b"x-%d: y\r\n" % number)
            await writer.drain()
            try:
                answer = await asyncio.wait_for(reader.read(100), 0.5)
            except TimeoutError:
                continue
            outcome.drippers_ended += b" 408 " in answer or not answer
            return
    except ConnectionError:
        outcome.drippers_ended += 1
    finally:
        writer.close()


async def strike(
    url: str, database: str, requests: int, seed: int, *, drippers: int, ends_s: float = math.inf
) -> Outcome:
    """So many requests, 48 at once, then the look at what is left, then the second tries.

    After `ends_s` of the monotonic clock no request is begun; those that were get all the rest.
    """
    outcome = Outcome()
    at = httpx.URL(url)
    kept: dict[int, bytes] = {}
    async with httpx.AsyncClient(timeout=30) as http:
        await _post(http, url, -1)
        watcher = await asyncpg.connect(database)
        in_flight = await _in_flight(http, url)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(drippers):
                    group.create_task(_drip(at, outcome))
                await _abort_all(at, requests, seed, outcome, kept, ends_s)
            await _look(watcher, http, url, in_flight, outcome)
            await _again(http, url, outcome.moments.total(), kept, outcome)
            counted = await watcher.fetch(
                "SELECT count(*) AS n FROM events WHERE type = 'capture.order_placed.v1'"
            )
            outcome.orders = counted[0]["n"] - 1
        finally:
            await watcher.close()
    begun = outcome.moments.total()
    if outcome.orders != begun:
        outcome.violations.append(f"{outcome.orders} orders for {begun} keys")
    if outcome.drippers_ended != drippers:
        outcome.violations.append(f"{outcome.drippers_ended} of {drippers} drippers were ended")
    return outcome


async def _abort_all(
    at: httpx.URL,
    requests: int,
    seed: int,
    outcome: Outcome,
    kept: dict[int, bytes],
    ends_s: float,
) -> None:
    in_time = itertools.takewhile(lambda _: time.monotonic() < ends_s, range(requests))

    async def worker(dice: random.Random) -> None:
        for number in in_time:
            moment, answer = await _abort(at, number, dice)
            outcome.moments[moment] += 1
            if answer is not None:
                kept[number] = answer

    async with asyncio.TaskGroup() as group:
        for one in range(AT_ONCE):
            group.create_task(worker(random.Random(f"{seed}-{one}")))
    outcome.acknowledged = len(kept)


async def _look(
    watcher: Any, http: httpx.AsyncClient, url: str, in_flight: float, outcome: Outcome
) -> None:
    """Within two seconds nothing may be left of what was under way."""
    ends_s = time.monotonic() + CALM_S
    while (left := await _left(watcher, http, url, in_flight)) and time.monotonic() < ends_s:
        await asyncio.sleep(0.1)
    outcome.violations += left


async def _left(watcher: Any, http: httpx.AsyncClient, url: str, in_flight: float) -> list[str]:
    busy = await watcher.fetch(
        "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    locks = await watcher.fetch(
        "SELECT pid, mode FROM pg_locks WHERE pid <> pg_backend_pid() AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    found = [f"connection {row['pid']} is {row['state']}" for row in busy]
    found += [f"connection {row['pid']} holds {row['mode']}" for row in locks]
    now = await _in_flight(http, url)
    return found + ([] if now == in_flight else [f"{now - in_flight:g} requests in flight"])


async def _in_flight(http: httpx.AsyncClient, url: str) -> float:
    for line in (await http.get(f"{url}/metrics")).text.splitlines():
        if line.startswith("waybill_http_in_flight "):
            return float(line.rpartition(" ")[2])
    raise LookupError("there is no gauge waybill_http_in_flight")


async def _again(
    http: httpx.AsyncClient, url: str, requests: int, kept: Mapping[int, bytes], outcome: Outcome
) -> None:
    """Each key once more, as a client does that knows nothing of its first try."""
    numbers = iter(range(requests))

    async def worker() -> None:
        for number in numbers:
            answer = await _post(http, url, number)
            if answer.status_code != 201:
                outcome.violations.append(f"{number} again: {answer.status_code} {answer.text}")
            elif number in kept and answer.content != kept[number]:
                outcome.violations.append(f"{number} is answered otherwise than before")

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(worker())


async def _post(http: httpx.AsyncClient, url: str, number: int) -> httpx.Response:
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Idempotency-Key": f"aborted-{number}",
        "Content-Type": "application/json",
    }
    for _ in range(20):
        answer = await http.post(f"{url}/v1/orders", content=_body(number), headers=headers)
        if answer.status_code not in (409, 429, 503):
            break
        await asyncio.sleep(0.2)
    return answer
