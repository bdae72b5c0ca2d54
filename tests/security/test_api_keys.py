"""S2, S26: keys are random, kept as keyed hashes and end when told to; none, nobody gets in."""

import asyncio
import hmac
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from waybill.simulation import system
from waybill_runtime.http.auth import CACHE_S, ROLES, VIEW, KeyRing, new_key
from waybill_runtime.stored import StoreUnavailable
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

DOCUMENT = Path(__file__).parents[2] / "docs/reference/openapi/capture.json"
Main = Callable[[system.System, httpx.AsyncClient], Coroutine[Any, Any, None]]


def on_capture(main: Main) -> None:
    """Run `main` with the whole system and a client of capture that has no key yet."""
    loop = SeededLoop.of(1)
    whole = system.make(World(), loop)

    async def begun() -> None:
        await whole.begin()
        async with whole.wire.client("capture", {}) as http:
            await main(whole, http)

    loop.run(begun())


def ring(whole: system.System) -> KeyRing:
    """The keys of capture, as whoever hands them out sees them."""
    on = whole.world.infrastructure("capture")
    return KeyRing(on.store, on.clock, system.PEPPER)


async def status(http: httpx.AsyncClient, key: str) -> int:
    answer = await http.get("/v1/orders", headers={"Authorization": f"Bearer {key}"})
    return answer.status_code


def test_a_key_is_256_random_bits_behind_an_id() -> None:
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    for key in keys:
        prefix, key_id, secret = key.split("_", 2)
        assert (prefix, len(key_id), len(secret)) == ("wb", 8, 43)  # 43 letters of 6 bits


def test_a_dump_of_the_store_has_no_usable_key() -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        key = new_key()
        key_id = await ring(whole).add(key, name="shop", scopes=ROLES["storefront"])
        on = whole.world.infrastructure("capture")
        async with on.store.reading() as reading:
            kept = (await reading.documents.get("default", VIEW, [key_id]))[key_id].body
        secret = key.split("_", 2)[2]
        assert secret not in kept
        assert await status(http, key) == 200
        # Neither what is kept nor a hash under another pepper opens anything.
        for found in kept.split('"'):
            assert await status(http, f"wb_{key_id}_{found}") == 401
        other = KeyRing(on.store, on.clock, "another pepper")
        assert await other.principal(key) is None

    on_capture(main)


def test_a_revoked_key_is_dead_within_five_seconds_on_every_process() -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        key = new_key()
        key_id = await ring(whole).add(key, name="shop", scopes=ROLES["storefront"])
        assert await status(http, key) == 200
        assert await ring(whole).revoke(key_id)
        begun_s = whole.world.clock.monotonic_s()
        while await status(http, key) != 401:
            assert whole.world.clock.monotonic_s() - begun_s <= 5
            await asyncio.sleep(0.1)
        # Letting the keys of a home in again, as every start does, does not bring it back.
        await ring(whole).add(key, name="shop", scopes=ROLES["storefront"])
        await asyncio.sleep(CACHE_S + 0.1)
        assert await status(http, key) == 401

    on_capture(main)


def test_a_key_ends_when_it_was_told_to() -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        key = new_key()
        ends = whole.world.clock.now() + timedelta(seconds=60)
        await ring(whole).add(key, name="shop", scopes=ROLES["storefront"], expires_at=ends)
        assert await status(http, key) == 200
        await asyncio.sleep(59)
        assert await status(http, key) == 200
        await asyncio.sleep(1)
        assert await status(http, key) == 401

    on_capture(main)


def test_keys_are_rotated_under_load_without_a_refusal() -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        old, new = new_key(), new_key()
        old_id = await ring(whole).add(old, name="shop", scopes=ROLES["storefront"])
        seen: list[int] = []
        current = old

        async def shop() -> None:
            while True:
                seen.append(await status(http, current))
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            load = [group.create_task(shop()) for _ in range(10)]
            await asyncio.sleep(5)
            await ring(whole).add(new, name="shop", scopes=ROLES["storefront"])
            await ring(whole).expire(old_id, whole.world.clock.now() + timedelta(seconds=10))
            await asyncio.sleep(5)
            current = new
            await asyncio.sleep(10)
            assert await status(http, old) == 401
            for task in load:
                task.cancel()
        assert len(seen) > 1_000
        assert set(seen) == {200}

    on_capture(main)


def test_an_end_is_never_put_off_by_another() -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        key = new_key()
        key_id = await ring(whole).add(key, name="shop", scopes=ROLES["storefront"])
        assert await ring(whole).revoke(key_id)
        assert await ring(whole).expire(key_id, whole.world.clock.now() + timedelta(days=1))
        assert await status(http, key) == 401
        assert not await ring(whole).revoke("unknown0")
        (entry,) = [one for one in await ring(whole).entries() if one.key_id == key_id]
        assert (entry.name, set(entry.scopes)) == ("shop", set(ROLES["storefront"]))
        assert entry.expires_at is not None

    on_capture(main)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer wb",
        "Bearer wb_",
        "Bearer wb__",
        "Bearer wb_simulate",
        "Bearer wb_simulate_",
        "Bearer wb_simulate_everythin",
        "Bearer wb_simulate_everything ",
        "Bearer wb_simulate_everythingx",
        "Bearer WB_simulate_everything",
        "Bearer xx_simulate_everything",
        "Bearer wb_simulate_everything, wb_simulate_everything",
        "Basic wb_simulate_everything",
        "wb_simulate_everything",
        "Bearer " + "wb_simulate_everything" * 20,
    ],
)
def test_what_is_nearly_a_key_opens_nothing(header: str) -> None:
    async def main(_: system.System, http: httpx.AsyncClient) -> None:
        good = {"Authorization": f"Bearer {system.KEY}"}
        assert (await http.get("/v1/orders", headers=good)).status_code == 200  # now remembered
        answer = await http.get("/v1/orders", headers={"Authorization": header.rstrip("\n")})
        # A space at the end of a header is no part of it (RFC 9110 section 5.5).
        expected = 200 if header.strip() == f"Bearer {system.KEY}" else 401
        assert answer.status_code == expected

    on_capture(main)


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []
    plain = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        same: bool = plain(one, other)
        return same

    monkeypatch.setattr(hmac, "compare_digest", noted)

    async def main(_: system.System, http: httpx.AsyncClient) -> None:
        assert await status(http, "wb_simulate_wrong") == 401
        assert compared
        assert all(len(str(side)) == 64 for pair in compared for side in pair)

    on_capture(main)


def test_while_keys_cannot_be_read_nobody_is_let_in_and_all_are_asked_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(whole: system.System, http: httpx.AsyncClient) -> None:
        assert await status(http, system.KEY) == 200
        await asyncio.sleep(CACHE_S + 0.1)
        store = whole.nodes["capture"].infrastructure.store

        def away() -> None:
            raise StoreUnavailable("the store is away")

        monkeypatch.setattr(store, "reading", away)
        monkeypatch.setattr(store, "transaction", away)
        paths = json.loads(DOCUMENT.read_text())["paths"]
        cells = 0
        for path, item in paths.items():
            for method in item:
                for key in (system.KEY, "wb_unknown0_x"):
                    answer = await http.request(
                        method,
                        path.replace("{", "").replace("}", ""),
                        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "k"},
                    )
                    assert answer.status_code == 503, (method, path, answer.text)
                    assert answer.headers["retry-after"] == "1"
                    cells += 1
        assert cells >= 12

    on_capture(main)
