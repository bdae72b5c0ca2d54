"""The load: so many buyers in a closed loop, each waiting until its order is seen confirmed.

A process of its own. Takes one JSON object on stdin, writes one on stdout. A buyer posts one order
of one line, then looks at its tracking page until that says `confirmed`, then buys again. It looks
first when half of the buyers before it had seen theirs, then every LOOK_S: few looks, and none
counted as seen before it was.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from connection import Answer, Connection

LOOK_S = 0.02
GIVE_UP_S = 60.0
REMEMBERED = 64
CREATED, OK, NOT_MODIFIED, NOT_FOUND = 201, 200, 304, 404


class Load:
    """One run: everything that was seen is in `seen`."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._wanted = wanted
        self._keys = {"authorization": f"Bearer {wanted['storefront_key']}"}
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._number = 0
        self.looks = 0
        self.seen: list[dict[str, Any]] = []

    async def run(self) -> None:
        self._until_s = time.monotonic() + self._wanted["seconds"]
        async with asyncio.TaskGroup() as group:
            for _ in range(self._wanted["clients"]):
                group.create_task(self._buyer())

    async def _buyer(self) -> None:
        async with (
            Connection(self._wanted["capture_url"]) as capture,
            Connection(self._wanted["tracking_url"]) as tracking,
        ):
            while time.monotonic() < self._until_s:
                await self._buy(capture, tracking)

    async def _buy(self, capture: Connection, tracking: Connection) -> None:
        self._number += 1
        key = f"{self._wanted['mark']}-{self._number}"
        begun, begun_s = time.time(), time.monotonic()
        headers = {**self._keys, "content-type": "application/json", "idempotency-key": key}
        placed = await capture.ask("POST", "/v1/orders", headers, self._order(key))
        if placed.status != CREATED:
            raise SystemExit(f"an order was answered {placed.status}: {placed.body.decode()}")
        posted_s = time.monotonic() - begun_s
        order = json.loads(placed.body)
        await self._until_confirmed(tracking, order["tracking"]["token"], begun_s)
        visible_s = time.monotonic() - begun_s
        self._recent.append(visible_s)
        self.seen.append(
            {
                "order_id": order["id"],
                "begun": begun,
                "posted_s": posted_s,
                "visible_s": visible_s,
                "ended_s": time.monotonic(),
            }
        )

    async def _until_confirmed(self, tracking: Connection, token: str, begun_s: float) -> None:
        usual_s = statistics.median(self._recent) if self._recent else LOOK_S
        await asyncio.sleep(max(0.0, usual_s * 0.8 - (time.monotonic() - begun_s)))
        tag = '"0"'
        while time.monotonic() - begun_s < GIVE_UP_S:
            self.looks += 1
            answer = await tracking.ask("GET", f"/v1/track/{token}", {"if-none-match": tag})
            tag = answer.headers.get("etag", tag)
            if _is_confirmed(answer):
                return
            await asyncio.sleep(LOOK_S)
        raise SystemExit(f"an order was not seen confirmed within {GIVE_UP_S:.0f} s")

    def _order(self, key: str) -> bytes:
        body = {
            "external_ref": key,
            "channel": "bench",
            "currency": "GBP",
            "customer": {"email": "buyer@example.com"},
            "shipping_address": {
                "name": "A. Buyer",
                "line1": "1 High Street",
                "city": "London",
                "postal_code": "N1 9GU",
                "country_code": "GB",
            },
            "lines": [
                {
                    "sku": f"BENCH-{self._number * 37 % self._wanted['skus']:03}",
                    "name": "Bench mug",
                    "quantity": 1,
                    "unit_price_minor": 1250,
                }
            ],
            "payment": {"method": "card", "token": "tok_approve"},
        }
        return json.dumps(body).encode()


def _is_confirmed(answer: Answer) -> bool:
    if answer.status in (NOT_FOUND, NOT_MODIFIED):
        return False
    if answer.status != OK:
        raise SystemExit(f"tracking answered {answer.status}: {answer.body.decode()}")
    status = json.loads(answer.body)["order"]["status"]
    if status not in ("placed", "confirmed", "completed"):
        raise SystemExit(f"an order with ample stock and money became {status}")
    return bool(status != "placed")


def main() -> None:
    wanted = json.load(sys.stdin)
    load = Load(wanted)
    begun_s, cpu_s = time.monotonic(), time.process_time()
    asyncio.run(load.run())
    took_s = time.monotonic() - begun_s
    json.dump(
        {
            "took_s": took_s,
            "cpu_s": time.process_time() - cpu_s,
            "looks": load.looks,
            "seen": load.seen,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
