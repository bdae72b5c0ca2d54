"""A carrier in memory, for tests and simulators: it sells, forgets nothing, and can lie."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fulfillment.ports import (
    CarrierParcel,
    CarrierScan,
    CarrierShipment,
    CarrierUnavailable,
    Declined,
    LabelOrder,
)

UNDELIVERABLE = "FAIL"
"""The postal code that no carrier goes to, as at the sandbox carrier."""
SERVICES = ("standard", "express")


class MemoryCarrier:
    """`Carrier` in memory. `fail_before` and `fail_after` make so many of the next purchases

    end without an answer, before anything was bought or after.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._answers: dict[str, CarrierShipment | Declined] = {}
        self._shipments: dict[str, CarrierShipment] = {}
        self.fail_before = 0
        self.fail_after = 0
        self.is_down = False
        self.purchases: list[str] = []

    async def buy_labels(self, order: LabelOrder) -> CarrierShipment | Declined:
        self._check_up()
        if self.fail_before:
            self.fail_before -= 1
            raise CarrierUnavailable("no answer, nothing bought")
        answer = self._answers.get(order.idempotency_key)
        if answer is None:
            answer = self._answers[order.idempotency_key] = self._sell(order)
        if self.fail_after:
            self.fail_after -= 1
            raise CarrierUnavailable("no answer, and yet bought")
        return answer

    async def look_up(self, reference: str) -> CarrierShipment | None:
        self._check_up()
        return self._shipments.get(reference)

    async def close(self) -> None:
        return None

    def forget_keys(self) -> None:
        """As carriers do after a day: what comes under an old key is new to them."""
        self._answers.clear()

    def scan(self, reference: str, status: str, place: str = "Depot") -> None:
        """Let every parcel of a shipment be seen now."""
        shipment = self._shipments[reference]
        seen = CarrierScan(status=status, happened_at=self._now(), place=place)
        parcels = tuple(replace(parcel, scans=(*parcel.scans, seen)) for parcel in shipment.parcels)
        self._shipments[reference] = replace(shipment, parcels=parcels)

    def _check_up(self) -> None:
        if self.is_down:
            raise CarrierUnavailable("the carrier is down")

    def _sell(self, order: LabelOrder) -> CarrierShipment | Declined:
        if order.to.postal_code == UNDELIVERABLE:
            return Declined("undeliverable: no carrier goes there")
        if order.service not in SERVICES:
            return Declined(f"no such service: {order.service}")
        self.purchases.append(order.reference)
        stem = f"MEM{len(self.purchases):06d}"
        shipment = CarrierShipment(
            reference=order.reference,
            carrier="memory",
            parcels=tuple(
                CarrierParcel(
                    reference=parcel.reference,
                    tracking_number=f"{stem}{number:03d}",
                    label_url=f"memory:/labels/{stem}{number:03d}",
                )
                for number, parcel in enumerate(order.parcels, start=1)
            ),
        )
        self._shipments[order.reference] = shipment
        return shipment
