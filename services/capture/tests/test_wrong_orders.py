"""Twenty wrong orders and more: each answer names the field and says what to do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from capture import bodies, bootstrap
from capture.settings import Settings
from waybill_runtime.http.auth import ROLES
from waybill_runtime.service import Service
from waybill_runtime.testing.asking import PEPPER, asking
from waybill_runtime.testing.world import World

ORDERS = "/v1/orders"
RIGHT: dict[str, Any] = bodies.PlaceOrder.model_json_schema()["examples"][0]
LINE: dict[str, Any] = RIGHT["lines"][0]
EMOJI = "\N{PACKAGE}\N{SNOWMAN}"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    on = World().infrastructure("capture")
    settings = Settings(
        database_url=SecretStr("unused"),
        key_pepper=SecretStr(PEPPER),
        tracking_token_secret=SecretStr("secret"),
    )
    service = Service(bootstrap.compose(settings, on), on)
    async with asking(service, ROLES["storefront"], name="shop") as client:
        client.headers["Idempotency-Key"] = "k-1"
        yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:waybill:problem:")
    return body


def line(**changes: Any) -> dict[str, Any]:
    return {"lines": [{**LINE, **changes}]}


def address(**changes: Any) -> dict[str, Any]:
    return {"shipping_address": {**RIGHT["shipping_address"], **changes}}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"colour": "red"}, "/colour", "Leave it out"),
    ({"a/b~c": 1}, "/a~1b~0c", "Leave it out"),
    ({"lines": None}, "/lines", "list"),
    ({"lines": []}, "/lines", "at least 1"),
    ({"lines": [LINE] * 1_001}, "/lines", "Send at most 1000 of them."),
    (line(quantity=-1), "/lines/0/quantity", "at least 1"),
    (line(quantity=0), "/lines/0/quantity", "at least 1"),
    (line(quantity=10**30), "/lines/0/quantity", "at most 100000"),
    (line(quantity="6"), "/lines/0/quantity", "Send a whole number, without quotes"),
    (line(quantity=1.5), "/lines/0/quantity", "Send a whole number"),
    (line(unit_price_minor=-1), "/lines/0/unit_price_minor", "at least 0"),
    (line(sku=""), "/lines/0/sku", "at least 1"),
    (line(sku="x" * 65), "/lines/0/sku", "at most 64"),
    (line(sku="."), "/lines/0/sku", "at least one letter or digit"),
    (line(sku=" .. "), "/lines/0/sku", "at least one letter or digit"),
    (line(name="a\0b"), "/lines/0/name", "Control characters"),
    (line(name="\ud800"), "/lines/0/name", "Send UTF-8"),
    (line(name="4111 1111 1111 1111"), "/lines/0/name", "never a card"),
    ({"currency": "XQQ"}, "/currency", "such as GBP"),
    *[({"currency": code}, "/currency", "such as GBP") for code in ("XTS", "XAU", "XDR", "XBA")],
    ({"payment": {"method": "cash", "token": "t"}}, "/payment/method", "one of: card."),
    ({"shipping": {"option": "teleport"}}, "/shipping/option", "one of: standard, express."),
    ({"currency": "gbp"}, "/currency", "capital letters, such as GBP"),
    (address(country_code="XX"), "/shipping_address/country_code", "such as GB"),
    (address(postal_code="123"), "/shipping_address/postal_code", "N1 9GU"),
    (address(postal_code="N\u0661 \u0669GU"), "/shipping_address/postal_code", "N1 9GU"),
    (
        address(country_code="DE", postal_code="\u0661\u0660\u0661\u0661\u0665"),
        "/shipping_address/postal_code",
        "like 10115",
    ),
    ({"customer": {"email": "nobody"}}, "/customer/email", "such as buyer@example.com"),
    ({"customer": {"ref": "jane.roe@example.com"}}, "/customer/ref", "names no person"),
    (
        {"customer": {"ref": "442079460000", "phone": "+442079460000"}},
        "/customer/ref",
        "the customer's phone",
    ),
    ({"external_ref": "a. buyer"}, "/external_ref", "the customer's name"),
    (line(name="Mug for Buyer@example.com"), "/lines/0/name", "the customer's email"),
    ({"external_ref": "web jane@example.com"}, "/external_ref", "holds an e-mail address"),
    ({"customer": {"email": "m\u00fcller@example.com"}}, "/customer/email", "ASCII letters"),
    ({"customer": {"phone": "020 7946"}}, "/customer/phone", "E.164"),
    (
        {
            "customer": {
                "phone": "+\u0664\u0664\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0660\u0660\u0660"
            }
        },
        "/customer/phone",
        "E.164",
    ),
    ({"customer": {"phone": "+1800FLOWERS"}}, "/customer/phone", "E.164"),
    ({"customer": {"locale": "english"}}, "/customer/locale", "such as en or en-GB"),
    ({"total": {"amount_minor": 1, "currency": "GBP"}}, "/total", "leave the total out"),
    (
        {"total": {"amount_minor": 1, "currency": "GBP"}},
        "/total",
        'Send {"amount_minor": 2025, "currency": "GBP"}',
    ),
    ({"payment": {"method": "card"}}, "/payment/token", "Send it"),
]


@pytest.mark.parametrize(
    ("change", "pointer", "remedy"), WRONG, ids=[f"{n}:{w[1]}" for n, w in enumerate(WRONG, 1)]
)
async def test_a_wrong_order_is_told_where_and_what_to_do(
    http: httpx.AsyncClient, change: dict[str, Any], pointer: str, remedy: str
) -> None:
    content = json.dumps({**RIGHT, **change})
    headers = {"Content-Type": "application/json"}
    body = problem(await http.post(ORDERS, content=content, headers=headers), 422)
    (error,) = [error for error in body["errors"] if error["pointer"] == pointer]
    assert remedy in error["detail"]
    assert pointer in body["detail"] or remedy in body["detail"]


@pytest.mark.parametrize(
    ("content", "sent", "status", "says"),
    [
        (b'{"a":', "application/json", 422, "not JSON"),
        (b"{}{}", "application/json", 422, "not JSON"),
        (b"", "application/json", 422, "The body is empty"),
        (b"[]", "application/json", 422, "Send a JSON object"),
        (b'"text"', "application/json", 422, "Send a JSON object"),
        (b"\xff\xfe", "application/json", 422, "Send a JSON object"),
        (b"[" * 100_000, "application/json", 400, "Send a JSON object"),
        (b'{"a":', "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
        (b"{}", None, 415, "Content-Type: application/json"),
        (b"{}", "text/plain; charset=utf-8", 415, "not text/plain"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_what_to_send(
    http: httpx.AsyncClient, content: bytes, sent: str | None, status: int, says: str
) -> None:
    headers = {} if sent is None else {"Content-Type": sent}
    body = problem(await http.post(ORDERS, content=content, headers=headers), status)
    assert says in body["detail"]


async def test_no_key_is_told_to_send_one(http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    assert "Authorization: Bearer" in problem(await http.post(ORDERS, json=RIGHT), 401)["detail"]


async def test_no_idempotency_key_is_told_to_send_one(http: httpx.AsyncClient) -> None:
    del http.headers["Idempotency-Key"]
    assert "Idempotency-Key" in problem(await http.post(ORDERS, json=RIGHT), 400)["detail"]


async def test_a_reason_that_is_none_is_told_of_one(http: httpx.AsyncClient) -> None:
    told = problem(await http.post(f"{ORDERS}/ord_x/cancel", json={"reason": "Ich mag nicht"}), 422)
    (error,) = told["errors"]
    assert error["pointer"] == "/reason"
    assert error["detail"].endswith("such as customer_request.")


async def test_the_document_is_the_same_each_time_it_is_asked_for(http: httpx.AsyncClient) -> None:
    first, again = [await http.get("/openapi.json") for _ in range(2)]
    assert (first.status_code, first.content) == (200, again.content)


async def test_the_same_key_with_another_body_is_told_to_take_a_new_one(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.post(ORDERS, json=RIGHT)).status_code == 201
    other = {**RIGHT, "external_ref": "536366"}
    assert "Take a new key" in problem(await http.post(ORDERS, json=other), 422)["detail"]


@pytest.mark.parametrize("order_id", ["pay_x", "ord_", "17", "ord_01m84k8yhre00sxe1fx5ygf3kq"])
async def test_an_id_that_is_no_order_of_ours_is_not_found(
    http: httpx.AsyncClient, order_id: str
) -> None:
    assert order_id in problem(await http.get(f"{ORDERS}/{order_id}"), 404)["detail"]


async def test_an_unknown_path_and_method_are_told_where_to_look(http: httpx.AsyncClient) -> None:
    assert "/docs" in problem(await http.get("/v1/nothing"), 404)["detail"]
    answer = await http.delete(ORDERS)
    assert "Allow" in problem(answer, 405)["detail"]
    assert answer.headers["allow"]


async def test_emoji_in_every_text_is_an_order_like_any_other(http: httpx.AsyncClient) -> None:
    order = {
        **RIGHT,
        **line(name=EMOJI, sku=EMOJI),
        **address(name=EMOJI, line1=EMOJI, city=EMOJI),
        "external_ref": f"{EMOJI}1",
    }
    answer = await http.post(ORDERS, json=order)
    assert answer.status_code == 201, answer.text
    read = (await http.get(answer.headers["location"])).json()
    assert (read["external_ref"], read["lines"][0]["name"]) == (f"{EMOJI}1", EMOJI)


@pytest.mark.parametrize(
    "change",
    [
        *[{"currency": code} for code in ("XOF", "XAF", "XPF", "XCD", "XCG", "JPY")],
        {"shipping": {"option": "express"}},
        {"payment": {"token": "tok_approve"}},
        {"customer": {"phone": "+44 (20) 7946-0000"}},
    ],
)
async def test_what_a_country_pays_with_and_we_do_is_taken(
    http: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    assert (await http.post(ORDERS, json={**RIGHT, **change})).status_code == 201


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ('"channel": "web"', '"channel": "web", "channel": "x"', "channel"),
        ('"quantity": 6', '"quantity": 6, "quantity": 7', "quantity"),
    ],
)
async def test_a_body_that_says_a_field_twice_is_refused_by_its_name(
    http: httpx.AsyncClient, before: str, after: str, name: str
) -> None:
    content = json.dumps(RIGHT).replace(before, after)
    assert content.count(f'"{name}"') == 2
    headers = {"Content-Type": "application/json"}
    body = problem(await http.post(ORDERS, content=content, headers=headers), 422)
    assert f"'{name}' twice" in body["detail"]
