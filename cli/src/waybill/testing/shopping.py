"""A shop in memory that has sold something: orders placed and followed to their end."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waybill.simulation.system import System

ENDED = ("completed", "rejected", "expired", "cancelled")
LOOKS_MAX = 600


async def stocked(whole: System, scratch: Path, *skus: str) -> None:
    """Begin the system, with a warehouse and a carrier at work and a thousand of each SKU."""
    await whole.begin()
    whole.work_warehouse(scratch)
    whole.carry_parcels()
    async with whole.client("inventory", **{"Idempotency-Key": "stocked"}) as http:
        lines = [{"sku": sku, "quantity": 1_000} for sku in skus]
        body = {"location": "main", "reference": "PO-1", "lines": lines}
        answer = await http.post("/v1/stock/receipts", json=body)
        answer.raise_for_status()


async def placed(whole: System, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the storefront is answered to an order."""
    async with whole.client("capture", **{"Idempotency-Key": key}) as http:
        answer = await http.post("/v1/orders", json=dict(body))
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


async def ended(whole: System, order_id: str) -> str:
    """How an order ended.

    Raises:
        TimeoutError: it did not, within LOOKS_MAX seconds.
    """
    async with whole.client("capture") as http:
        for _ in range(LOOKS_MAX):
            status = str((await http.get(f"/v1/orders/{order_id}")).json()["status"])
            if status in ENDED:
                return status
            await asyncio.sleep(1)
    raise TimeoutError(order_id)
