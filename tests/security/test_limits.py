"""S8: what one caller may ask is limited by key and by address; nobody else notices."""

import random

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr

import tracking.bootstrap
import tracking.settings
from waybill.simulation import system
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.http.limits import BUCKETS_MAX, Buckets, Limits, Rate, address_of
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

KEYS = {"a": "wb_shopaaaa_secret", "b": "wb_shopbbbb_secret"}


class Moved:
    """A clock that goes on when it is told to."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self.at_s = 0.0

    def now(self) -> object:
        return self._clock.now()

    def monotonic_s(self) -> float:
        return self.at_s


def buckets(rate: Rate, most: int = BUCKETS_MAX) -> tuple[Buckets, Moved]:
    clock = Moved(World())
    return Buckets(clock, rate, most=most), clock  # type: ignore[arg-type]  # a clock of its own


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    kept, clock = buckets(Rate(per_s=10, burst=5))
    assert [kept.wait_s("a") for _ in range(5)] == [0] * 5
    assert kept.wait_s("a") == pytest.approx(0.1)
    assert kept.wait_s("b") == 0
    clock.at_s = 0.1
    assert kept.wait_s("a") == 0
    assert kept.wait_s("a") > 0
    clock.at_s = 1_000
    assert [kept.wait_s("a") for _ in range(6)] == [0] * 5 + [pytest.approx(0.1)]


@pytest.mark.parametrize("seed", range(20))
def test_no_caller_gets_more_than_burst_and_rate_allow_whenever_it_asks(seed: int) -> None:
    dice = random.Random(seed)
    rate = Rate(per_s=dice.uniform(0.5, 50), burst=dice.randint(1, 20))
    kept, clock = buckets(rate)
    taken = 0
    for _ in range(2_000):
        clock.at_s += dice.expovariate(100)
        taken += kept.wait_s("a") == 0
        assert taken <= rate.burst + clock.at_s * rate.per_s + 1e-6


def test_a_million_names_are_kept_in_bounded_memory() -> None:
    kept, _ = buckets(Rate(per_s=1, burst=1), most=100)
    assert kept.wait_s("busy") == 0
    for number in range(100_000):
        kept.wait_s(f"name-{number}")
        if number % 50 == 0:
            assert kept.wait_s("busy") > 0  # what is used is not what is forgotten
    assert len(kept) == 100


@pytest.mark.parametrize(
    ("host", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_what_one_client_has(host: str, counted_as: str) -> None:
    assert address_of({"type": "http", "client": (host, 1)}) == counted_as


def limited_app(key: Rate, address: Rate) -> tuple[SeededLoop, FastAPI, KeyRing]:
    loop = SeededLoop.of(1)
    world = World()
    on = world.infrastructure("tracking")
    settings = tracking.settings.Settings(
        database_url=SecretStr("memory"), key_pepper=SecretStr(system.PEPPER)
    )
    ring = KeyRing(on.store, on.clock, system.PEPPER)
    service = Service(tracking.bootstrap.compose(settings, on), on)
    return loop, service.app(ring, Limits(on.clock, key=key, address=address)), ring


def counted(by: str) -> float:
    return REGISTRY.get_sample_value("waybill_http_limited_total", {"by": by}) or 0.0


def test_a_flood_by_one_key_is_turned_away_and_another_key_is_not() -> None:
    loop, app, ring = limited_app(Rate(per_s=1, burst=3), Rate())

    async def main() -> None:
        for name, key in KEYS.items():
            await ring.add(key, name=name, scopes=ROLES["operator"])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as h:

            async def ask(who: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {KEYS[who]}"}
                return await h.get("/v1/orders/ord_x/timeline", headers=headers)

            before = counted("key")
            flood = [await ask("a") for _ in range(50)]
            assert [answer.status_code for answer in flood] == [404] * 3 + [429] * 47
            assert counted("key") - before == 47
            assert flood[-1].headers["retry-after"] == "1"
            assert flood[-1].headers["content-type"] == "application/problem+json"
            assert flood[-1].json()["type"] == "urn:waybill:problem:too-many-requests"
            # The flood was at the same address; the other key is at it for the first time.
            assert (await ask("b")).status_code == 404

    loop.run(main())


def test_guesses_from_one_address_are_turned_away_and_a_key_in_use_there_is_not() -> None:
    loop, app, ring = limited_app(Rate(), Rate(per_s=0.1, burst=4))

    async def main() -> None:
        await ring.add(KEYS["a"], name="a", scopes=ROLES["operator"])
        good = {"Authorization": f"Bearer {KEYS['a']}"}
        timeline = "/v1/orders/ord_x/timeline"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as h:
            assert (await h.get(timeline, headers=good)).status_code == 404
            before = counted("address")
            guesses = [
                await h.get("/v1/track/guess"),
                await h.get("/v1/track/guess", headers={"Authorization": "Bearer wb_x_y"}),
                await h.get(timeline, headers={"Authorization": "Bearer wb_shopaaaa_wrong"}),
            ]
            assert [answer.status_code for answer in guesses] == [404, 404, 401]
            for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer wb_x_y"}):
                for path in ("/v1/track/guess", "/v1/track/guess/events", timeline):
                    answer = await h.get(path, headers=headers)
                    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
            assert counted("address") - before == 9
            # A key that is known here goes on, and probes are never turned away.
            assert (await h.get(timeline, headers=good)).status_code == 404
            for path in ("/livez", "/metrics"):
                assert (await h.get(path)).status_code == 200

    loop.run(main())
