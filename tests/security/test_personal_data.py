"""S15, S6, S20, S21: people are in the vault and nowhere else; erased, they are nowhere."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from waybill import rebuilding, registry
from waybill.programs import SERVICES
from waybill.simulation import system
from waybill.testing import dump, shopping
from waybill_events import identity
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

PEOPLE = 16
VAULT = "capture.documents"
ANSWERS = "capture.answers"


def canaries(number: int) -> Mapping[str, str]:
    """A person whose every word is theirs alone."""
    mark = f"zq{number:04d}"
    return {
        "name": f"Canary{mark} Søren",
        "company": f"Company{mark}",
        "line1": f"1 Street{mark}",
        "line2": f"Floor{mark}",
        "city": f"City{mark}",
        "email": f"mail{mark}@example.com",
        "phone": f"+4420794{number:05d}",
    }


def order(number: int) -> dict[str, Any]:
    person = canaries(number)
    return {
        "external_ref": f"ref-{number}",
        "currency": "GBP",
        "customer": {
            "ref": f"customer-{number}",
            "email": person["email"],
            "phone": person["phone"],
            "locale": "en",
        },
        "shipping_address": {
            **{name: person[name] for name in ("name", "company", "line1", "line2", "city")},
            "postal_code": "N1 9GU",
            "country_code": "GB",
        },
        "lines": [{"sku": "A", "name": "Holder", "quantity": 1, "unit_price_minor": 255}],
        "shipping": {"option": "standard", "price_minor": 495},
        "payment": {
            "method": "card",
            "token": ("tok_approve", "tok_decline", "tok_approve", "tok_pending")[number % 4],
        },
    }


class Shop:
    """A shop whose customers are canaries, with all that was logged while they bought."""

    def __init__(self, scratch: Path) -> None:
        self.loop = SeededLoop.of(15)
        self.whole = system.make(World(), self.loop)
        self.orders: list[dict[str, Any]] = []
        with capture_logs() as logs:
            self.loop.run(self._sell(scratch))
        self.logs = repr(logs)

    async def _sell(self, scratch: Path) -> None:
        await shopping.stocked(self.whole, scratch, "A")
        for number in range(PEOPLE):
            self.orders.append(await shopping.placed(self.whole, f"o-{number}", order(number)))
        for placed in self.orders:
            await shopping.ended(self.whole, placed["id"])
        await asyncio.sleep(120)

    def everywhere(self) -> Mapping[str, str]:
        return {**dump.everything(self.whole.world), "logs": self.logs}


def words() -> Iterator[tuple[str, str]]:
    """Each canary as it is and as JSON and Python write it."""
    for number in range(PEOPLE):
        for field, text in canaries(number).items():
            for written in {text, json.dumps(text)[1:-1], repr(text)[1:-1]}:
                yield field, written


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("warehouse"))


def test_people_are_in_the_vault_and_in_no_event_log_or_topic(shop: Shop) -> None:
    everywhere = shop.everywhere()
    seen = {text: dump.places_of(everywhere, text) for _, text in words()}
    assert {place for places in seen.values() for place in places} == {VAULT}
    assert len([text for text, places in seen.items() if places]) >= PEOPLE * 7
    outside = repr((shop.whole.outside.mail.messages, shop.whole.outside.text.messages))
    assert canaries(0)["email"] in outside  # they were written to all the same


def test_a_tracking_token_is_kept_as_its_hash_but_in_the_answer_that_gave_it(shop: Shop) -> None:
    everywhere = shop.everywhere()
    for placed in shop.orders:
        token = placed["tracking"]["token"]
        assert dump.places_of(everywhere, token) == {ANSWERS}
        assert identity.token_hash(token) in everywhere["capture.events"]
        assert (len(token) - len("trk_")) * 6 >= 128  # bits, of base 64


async def _erase(shop: Shop) -> None:
    for number, placed in enumerate(shop.orders):
        who = {"order_id": placed["id"]} if number % 2 else {"customer_ref": f"customer-{number}"}
        key = {"Idempotency-Key": f"erase-{number}"}
        async with shop.whole.client("capture", **key) as http:
            answer = await http.post("/v1/recipients/erase", json=who)
            assert answer.status_code == 200, answer.text
    await asyncio.sleep(120)


async def _differing(shop: Shop) -> list[str]:
    """The views of which a rebuild from the first event has another hash (I8)."""
    compared = {
        f"{name} {view.name}": await rebuilding.rebuild(
            shop.whole.world.infrastructure(name), name, view, switch=False
        )
        for name in SERVICES
        for view in registry.views(name)
    }
    assert len(compared) > 4
    return [view for view, one in compared.items() if not one.equal]


def test_the_erased_are_nowhere_and_every_view_still_folds(shop: Shop) -> None:
    with capture_logs() as logs:
        shop.loop.run(_erase(shop))
    everywhere = {**shop.everywhere(), "logs of the erasing": repr(logs)}
    for field, text in words():
        assert dump.places_of(everywhere, text) == set(), (field, text)
    assert everywhere["capture.events"].count("recipient_erased") >= PEOPLE
    assert shop.loop.run(_differing(shop)) == []

    async def read(placed: dict[str, Any]) -> tuple[int, str]:
        async with shop.whole.client("capture") as http:
            recipient = await http.get(f"/v1/recipients/rcp_{placed['id'].partition('_')[2]}")
            seen = await http.get(f"/v1/orders/{placed['id']}")
        return recipient.status_code, seen.json()["status"]

    for placed in shop.orders:
        status, order_status = shop.loop.run(read(placed))
        assert status == 410
        assert order_status in shopping.ENDED
