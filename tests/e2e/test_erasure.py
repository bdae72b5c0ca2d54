"""A person is forgotten; what was ordered is not."""

import pytest

from shopper import Shopper, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


async def test_an_erased_recipient_is_gone_and_the_order_still_folds(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1})
    before = await shopper.wait_for(order, "completed")
    vault = f"{shopper.url('capture')}/v1/recipients"
    peer = {"Authorization": f"Bearer {shopper.application.key('service-notification')}"}
    known = await shopper.http.get(f"{vault}/rcp_{order.suffix}", headers=peer)
    assert known.json()["email"] == order.email

    erased = await shopper.http.post(
        f"{vault}/erase",
        json={"order_id": order.id},
        headers=shopper.headers(Idempotency_Key=shopper.unique("erase")),
    )
    assert erased.json() == {"erased": 1}
    gone = await shopper.http.get(f"{vault}/rcp_{order.suffix}", headers=peer)
    assert gone.status_code == 410
    assert order.email not in gone.text
    assert await shopper.order(order.id) == before

    async def is_tracked() -> str | None:
        tracked = await shopper.track(order)
        return tracked.text if tracked.status_code == 200 else None

    assert order.email not in await eventually(is_tracked, "the customer's view")
