"""S13: a card number is refused in every text that anybody may send, and is nowhere afterwards."""

import asyncio
import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from waybill import openapi
from waybill.programs import SERVICES
from waybill.simulation import system
from waybill.testing import dump
from waybill_runtime import cards
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

DOCUMENTS: Mapping[str, Any] = {
    name.rpartition("/")[2].removesuffix(".json"): json.loads(text)
    for name, text in openapi.documents().items()
}
BRANDS = (("4", 16), ("4", 19), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("3528", 16))
CANARIES = 10_000
SENT = 1_000
SIGNED = {"hear_gateway", "carrier_callback"}


def card(dice: random.Random) -> str:
    """A number as a bank might give it."""
    prefix, length = dice.choice(BRANDS)
    digits = prefix + "".join(dice.choice("0123456789") for _ in range(length - len(prefix) - 1))
    values = [int(one) for one in reversed(digits)]
    total = sum(sum(divmod(2 * d, 10)) if at % 2 == 0 else d for at, d in enumerate(values))
    return digits + str(-total % 10)


def written(number: str, dice: random.Random) -> str:
    """As people and machines write it."""
    between = dice.choice(("", " ", "-"))
    if not between or len(number) not in (15, 16, 19):
        return number
    at = (4, 10) if len(number) == 15 else (4, 8, 12, 16)
    parts = [number[a:b] for a, b in zip((0, *at), (*at, None), strict=True)]
    return between.join(part for part in parts if part)


@pytest.mark.parametrize("seed", range(10))
def test_card_numbers_are_told_however_they_are_written(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(CANARIES // 10):
        text = written(card(dice), dice)
        for whole in (text, f"card {text}", f"{text}!", f"({text})", f"pan:{text},"):
            assert cards.in_code(whole), whole
            assert cards.in_text(whole), whole


@pytest.mark.parametrize(
    "code",
    [
        *("85123A", "PO-1", "order-536365", "4006381333931", "9780201379624", "0012345678905"),
        *("2026-11-23T22:51:59.123456Z", "1732400000000", "+442079460000", "4111111111111112"),
        *("ord_01m84k8yhre00sxe1fx5ygf3kq", "4111111111111111a", "a4111111111111111"),
        *("0000000000000000", "4444444444444444", "41111111111111111111111111111111"),
        *("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "12345678-1234-4234-9123-123456789012"),
    ],
)
def test_goods_times_and_ids_are_no_cards(code: str) -> None:
    assert not cards.in_code(code)


def test_random_keys_are_no_cards() -> None:
    """A key that is refused by chance is an order that is refused by chance."""
    dice = random.Random(1)
    for _ in range(20_000):
        number = f"{dice.getrandbits(128):032x}"
        dashed = "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))
        assert not cards.in_code(number)
        assert not cards.in_code(dashed)


def _texts(schema: Any, document: Any, at: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where a body may hold text, by names and indices."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _texts(branch, document, at)
    if schema.get("type") == "string" and "enum" not in schema and "const" not in schema:
        yield at
    for name, inner in schema.get("properties", {}).items():
        yield from _texts(inner, document, (*at, name))
    if isinstance(schema.get("items"), dict):
        yield from _texts(schema["items"], document, (*at, 0))


Input = tuple[str, str, str, Any, tuple[Any, ...]]


def inputs() -> Iterator[Input]:
    """(service, method, path, example, place) of every text in every body; no place: a header."""
    for service, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method, operation in item.items():
                content = operation.get("requestBody", {}).get("content", {})
                if "application/json" not in content or operation["operationId"] in SIGNED:
                    continue
                schema = content["application/json"]["schema"]
                name = schema["$ref"].rpartition("/")[2]
                example = document["components"]["schemas"][name]["examples"][0]
                for place in sorted(set(_texts(schema, document, ())), key=repr):
                    yield service, method, path, example, place
                yield service, method, path, example, ()


def planted(example: Any, place: tuple[Any, ...], text: str) -> Any:
    body = copy.deepcopy(example)
    inner = body
    for step in place[:-1]:
        if isinstance(inner, dict) and inner.get(step) is None:
            inner[step] = {}
        inner = inner[step]
    inner[place[-1]] = text
    return body


INPUTS = list(inputs())


def test_cards_through_every_input_are_refused_and_found_nowhere() -> None:
    loop = SeededLoop.of(1)
    whole = system.make(World(), loop)
    dice = random.Random(13)
    sent: set[str] = set()

    async def ask(http: httpx.AsyncClient, one: Input, number: int) -> None:
        _, method, path, example, place = one
        pan = card(dice)
        text = written(pan, dice)
        sent.update((pan, text))
        url, key, body = path.replace("{", "").replace("}", ""), f"key-{number}", example
        if place:
            body = planted(example, place, text)
        elif "{" in path and number % 2:
            url = (
                path.partition("{")[0]
                + text
                + path.partition("}")[2].replace("{", "").replace("}", "")
            )
        else:
            key = text
        headers = {"Idempotency-Key": key, "If-Match": "*", "X-Request-Id": pan}
        answer = await http.request(method, url, json=body, headers=headers)
        assert answer.status_code == 422, (one, text, answer.text)
        assert pan not in answer.headers["x-request-id"]

    async def main() -> None:
        await whole.begin()
        clients = {name: whole.client(name) for name in SERVICES}
        for number in range(SENT):
            one = INPUTS[number % len(INPUTS)]
            await ask(clients[one[0]], one, number)
        await whole.stop()

    structlog.reset_defaults()
    with capture_logs() as logs:
        loop.run(main())
    assert len(logs) >= SENT
    for place, text in (*dump.everything(whole.world).items(), ("logs", repr(logs))):
        assert [pan for pan in sent if pan in text] == [], place


def test_a_card_that_was_taken_would_be_found() -> None:
    """The search above sees what a store keeps."""
    loop = SeededLoop.of(1)
    whole = system.make(World(), loop)

    async def main() -> None:
        await whole.begin()
        async with whole.client("inventory", **{"Idempotency-Key": "k"}) as http:
            body = {
                "location": "main",
                "reference": "canary 4111",
                "lines": [{"sku": "A", "quantity": 1}],
            }
            assert (await http.post("/v1/stock/receipts", json=body)).status_code == 201
        await asyncio.sleep(5)
        await whole.stop()

    loop.run(main())
    found = dump.places_of(dump.everything(whole.world), "canary 4111")
    assert {"inventory.events", "bus"} <= found
