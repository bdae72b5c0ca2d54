"""The same key is the same order: whoever asks again is told the same, byte for byte."""

import asyncio

import pytest

from shopper import REPLAYED, Shopper, placed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


async def test_an_order_without_a_key_is_refused(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    answer = await shopper.post(shopper.body({sku: 1}), "")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_asked_again_gives_the_same_bytes_and_another_body_is_refused(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(2)
    body, key = shopper.body({sku: 1}), shopper.unique("key")
    first = await shopper.post(body, key)
    again = await shopper.post(body, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    other = await shopper.post({**body, "channel": "phone"}, key)
    assert other.status_code == 422
    order = placed(body, first.json())
    await shopper.wait_for(order, "completed")
    await shopper.wait_for_stock(sku, 1, 0, 0, 1)
    # As it was told then, though the order has moved on since.
    assert (await shopper.post(body, key)).content == first.content


async def test_many_posts_at_once_under_one_key_make_one_order(shopper: Shopper) -> None:
    sku = await shopper.new_sku(10)
    body, key = shopper.body({sku: 1}), shopper.unique("key")
    answers = await asyncio.gather(*(shopper.post(body, key) for _ in range(10)))
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 409}
    made = {answer.content for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    settled = await shopper.post(body, key)
    assert made == {settled.content}
    order = placed(body, settled.json())
    await shopper.wait_for(order, "completed")
    await shopper.wait_for_stock(sku, 9, 0, 0, 9)
    assert len(await shopper.charges(order)) == 2
