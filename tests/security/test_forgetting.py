"""S15: a service that remembers people for a while forgets the erased at once."""

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

import fulfillment.bootstrap
import fulfillment.ports
import notification.bootstrap
import notification.ports
from fulfillment.adapters.carrier_memory import MemoryCarrier
from fulfillment.testing.running import BUYER, settings
from notification.settings import Settings
from waybill_events import capture
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import RecipientErased
from waybill_runtime.service import Blueprint, Service
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import World, recorded, simulate

WHO = "rcp_x"
TOLD = {"name": BUYER.name, "line1": "1", "city": "London", "country_code": "GB", "locale": "en"}


def assembled(name: str, on: Infrastructure, recipients: Any) -> Blueprint:
    if name == "notification":
        return notification.bootstrap.assemble(Settings.model_construct(), on, recipients, {})
    return fulfillment.bootstrap.assemble(settings(), on, MemoryCarrier(on.clock.now), recipients)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("notification", TypeAdapter(notification.ports.Recipient)),
        ("fulfillment", TypeAdapter(fulfillment.ports.Recipient)),
    ],
)
def test_the_erased_are_forgotten_before_their_time(name: str, taken: TypeAdapter[Any]) -> None:
    vault = [httpx.Response(200, json=TOLD)]
    on = World().infrastructure(name)
    remembering = HttpRecipients(
        taken,
        "http://capture.test",
        "key",
        on.clock,
        timeout_s=1,
        remember_s=1_000,
        transport=httpx.MockTransport(lambda _: vault[0]),
    )

    async def main() -> None:
        service = Service(assembled(name, on, remembering), on)
        assert (await remembering.read(WHO)).name == BUYER.name
        vault[0] = httpx.Response(410)
        await asyncio.sleep(60)
        assert (await remembering.read(WHO)).name == BUYER.name  # remembered, so far
        erased = capture.RecipientErased(recipient_ref=WHO, order_id="ord_x")
        envelope = recorded(erased, stream="s", version=1, topic="orders", key="ord_x")
        await hand(on, service.handler, envelope)
        with pytest.raises(RecipientErased):
            await remembering.read(WHO)
        await remembering.close()

    simulate(1, main())
