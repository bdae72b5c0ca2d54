"""What is posted for a file: the same every time, within the APIs' limits, in stated shares."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from capture import bodies as capture_bodies
from capture.settings import Settings
from inventory import bodies as inventory_bodies
from waybill.failure import Failure
from waybill.replay import plan as plans
from waybill.replay.checkpoint import Checkpoint, Made
from waybill.replay.reading import Invoice, Line, Sorted

SHA = "ab" * 32
SHIPPING_OPTIONS = Settings.model_fields["shipping_options"].default


def file_of(count: int, *, lines: int = 2) -> Sorted:
    """So many invoices of so many lines, over 3,000 SKUs."""
    invoices = [
        Invoice(
            number=str(536_000 + number),
            customer=None if number % 3 else "17850",
            country="Germany" if number % 2 else "EIRE",
            lines=[
                Line(
                    sku=str(20_000 + (number * lines + at) % 3_000),
                    name="GREEN LAMP",
                    quantity=7,
                    unit_price_minor=125,
                )
                for at in range(lines)
            ],
        )
        for number in range(count)
    ]
    return Sorted(
        rows=count * lines,
        invoices_found=count,
        invoices=invoices,
        refused_rows={},
        refused_invoices={},
    )


def test_the_same_file_makes_the_same_plan() -> None:
    assert plans.make(file_of(50), SHA) == plans.make(file_of(50), SHA)


def test_every_order_and_delivery_is_one_that_the_apis_take() -> None:
    plan = plans.make(file_of(3_000), SHA)
    for order in plan.orders[::50]:
        body = capture_bodies.PlaceOrder.model_validate_json(order.post.body)
        assert not list(body.faults(SHIPPING_OPTIONS))
        assert (body.external_ref, body.channel) == (order.invoice, "replay")
    for receipt in plan.receipts:
        inventory_bodies.Receipt.model_validate_json(receipt.body)


def test_keys_are_unique_and_come_from_the_invoice_number() -> None:
    plan = plans.make(file_of(100), SHA)
    keys = [order.post.key for order in plan.orders]
    assert keys == [f"replay-{order.invoice}" for order in plan.orders]
    assert len({*keys, *(post.key for post in plan.receipts)}) == len(keys) + len(plan.receipts)


def test_deliveries_bring_the_demand_but_for_the_scarce() -> None:
    plan = plans.make(file_of(3_000), SHA)
    brought: dict[str, int] = {}
    for receipt in plan.receipts:
        for line in json.loads(receipt.body)["lines"]:
            brought[line["sku"]] = brought.get(line["sku"], 0) + line["quantity"]
    demand = 3_000 * 2 * 7 // 3_000
    short = [sku for sku, units in brought.items() if units == demand // 2]
    full = [sku for sku, units in brought.items() if units == demand]
    assert len(short) == plan.scarce_skus
    assert len(full) + len(short) == plan.skus == 3_000
    assert plan.stocked_units == sum(brought.values())


def test_stock_lies_at_three_locations() -> None:
    plan = plans.make(file_of(3_000), SHA)
    assert {json.loads(post.body)["location"] for post in plan.receipts} == {
        "main",
        "north",
        "south",
    }


def test_shares_are_near_what_is_stated() -> None:
    numbers = [str(536_000 + number) for number in range(20_000)]
    for token, share in plans.TOKENS.items():
        found = sum(plans.token_of(number) == token for number in numbers) / 20
        assert found == pytest.approx(share, rel=0.25)
    scarce = sum(plans.shelves(number, 100) in ({"main": 50}, {"north": 50}) for number in numbers)
    assert 0 < scarce / 20 <= plans.SHARES["scarce"] * 1.25


def test_a_demand_of_one_that_is_scarce_is_not_stocked_at_all() -> None:
    scarce = next(str(n) for n in range(1000) if plans.draw("scarce", str(n)) < 20)
    assert plans.shelves(scarce, 1) == {}


def test_a_checkpoint_is_taken_up_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    kept = Checkpoint(path, SHA)
    kept.note(Made(key="replay-1", order_id="ord_1", tracking_token="trk_1"))
    kept.note(Made(key="replay-2", refusal="external-ref-taken"))
    kept.close()
    again = Checkpoint(path, SHA)
    again.close()
    assert again.made == kept.made


def test_a_torn_last_line_is_forgotten_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    kept = Checkpoint(path, SHA)
    kept.note(Made(key="replay-1", order_id="ord_1"))
    kept.close()
    with path.open("a") as file:
        file.write('{"key": "repl')
    again = Checkpoint(path, SHA)
    again.note(Made(key="replay-2", order_id="ord_2"))
    again.close()
    with closing(Checkpoint(path, SHA)) as third:
        assert set(third.made) == {"replay-1", "replay-2"}


def test_a_checkpoint_of_another_file_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "one.jsonl", SHA).close()
    with pytest.raises(Failure, match="another file"):
        Checkpoint(tmp_path / "one.jsonl", "cd" * 32)
