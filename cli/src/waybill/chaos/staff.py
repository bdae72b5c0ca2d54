"""What staff do beside the sales of a chaos run: one chore for a few orders in a hundred."""

import json
from collections.abc import Mapping
from typing import Any

from waybill import shop as shops
from waybill.chaos import orders


class Staff:
    """Carries out chores over HTTP. A refusal is an answer, too."""

    def __init__(self, shop: shops.Shop) -> None:
        self._shop = shop

    async def do(self, wanted: orders.Wanted, order_id: str) -> None:
        """The chore that this order was drawn with, under keys of its own.

        Raises:
            Failure: nobody answers.
        """
        match wanted.chore:
            case "refund":
                await self._refund(wanted, order_id, parts=1)
            case "refund twice":
                await self._refund(wanted, order_id, parts=2)
            case "erase":
                await self._ask(wanted, "capture", "/v1/recipients/erase", {"order_id": order_id})
            case "prefer":
                path = f"/v1/preferences/{wanted.customer}"
                body = {"channel": "sms", "allowed": False}
                await self._ask(wanted, "notification", path, body, method="PUT", match="*")
            case "count":
                await self._book(wanted, "counts", {"counted": orders.SCARCE_UNITS})
            case "adjust":
                await self._book(wanted, "adjustments", {"delta": -1})
            case "reorder":
                path = f"/v1/stock/{wanted.scarce}/reorder-points/{orders.LOCATION}"
                body = {"reorder_point": 1, "reorder_quantity": orders.SCARCE_UNITS}
                await self._ask(wanted, "inventory", path, body, method="PUT", match="*")
            case _:
                return

    async def _refund(self, wanted: orders.Wanted, order_id: str, *, parts: int) -> None:
        """Give back all that was taken, in so many requests."""
        found = (await self._shop.read("payment", f"/v1/payments?order_id={order_id}"))["data"]
        left_minor = found[0]["amounts"]["captured_minor"] if found else 0
        for number in range(parts, 0, -1):
            amount_minor = left_minor // number
            left_minor -= amount_minor
            if amount_minor:
                path = f"/v1/payments/{found[0]['id']}/refunds"
                body = {"amount_minor": amount_minor, "reason": "goodwill"}
                await self._ask(wanted, "payment", path, body, match="*", part=number)

    async def _book(self, wanted: orders.Wanted, what: str, line: Mapping[str, int]) -> None:
        why = {"reference": wanted.key} if what == "counts" else {"reason": "damaged"}
        lines = [{"sku": wanted.scarce, **line}]
        body = {"location": orders.LOCATION, "lines": lines, **why}
        await self._ask(wanted, "inventory", f"/v1/stock/{what}", body)

    async def _ask(
        self,
        wanted: orders.Wanted,
        service: str,
        path: str,
        body: Mapping[str, Any],
        *,
        method: str = "POST",
        match: str = "",
        part: int = 1,
    ) -> None:
        key = f"{wanted.key}-{(wanted.chore or '').replace(' ', '-')}-{part}"
        content = json.dumps(body).encode()
        await self._shop.command(key, method, service, path, content, match=match)
