"""A carrier over HTTP, as the sandbox carrier speaks it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from fulfillment.ports import (
    CarrierParcel,
    CarrierScan,
    CarrierShipment,
    CarrierUnavailable,
    Declined,
    LabelOrder,
)
from waybill_runtime.adapters.http_client import HttpClient

CONNECTIONS_MAX = 64
FIELDS_MAX = 5
FIELD_NAMES = frozenset(
    {
        *("reference", "service", "to", "packages", "weight_g", "callback_url"),
        *("name", "company", "line1", "line2", "city", "region", "postal_code", "country_code"),
    }
)
"""All that we name in a request."""
_SLUG = re.compile(r"[a-z][a-z-]{0,59}")
REFUSALS = frozenset({400, 404, 413, 422})
"""Statuses that say no for good. Anything else that is no success settles nothing."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


A = TypeVar("A", bound=_Answer)


class _Event(_Answer):
    status: str
    happened_at: AwareDatetime
    place: str = ""


class _Package(_Answer):
    reference: str = Field(min_length=1, max_length=80)
    tracking_number: str = Field(min_length=1, max_length=80)
    label_url: str = Field("", max_length=500)
    events: tuple[_Event, ...] = ()


class _Shipment(_Answer):
    reference: str
    carrier: str = Field("carrier", min_length=1, max_length=80)
    status: str = ""
    packages: tuple[_Package, ...]


class _Found(_Answer):
    data: tuple[_Shipment, ...]


class HttpCarrier:
    """`Carrier` over HTTP. Each call ends within `timeout_s`."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float,
        callback_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._callback_url = callback_url
        self._client = HttpClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
        )

    async def buy_labels(self, order: LabelOrder) -> CarrierShipment | Declined:
        answer = await self._send(
            "POST",
            "/v1/shipments",
            json=self._request(order),
            headers={"Idempotency-Key": order.idempotency_key},
        )
        if answer.status_code in REFUSALS:
            return Declined(_reason(answer))
        return _shipment(_read(answer, _Shipment))

    async def look_up(self, reference: str) -> CarrierShipment | None:
        answer = await self._send("GET", "/v1/shipments", params={"reference": reference})
        live = [one for one in _read(answer, _Found).data if one.status != "voided"]
        return _shipment(live[-1]) if live else None

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, order: LabelOrder) -> dict[str, Any]:
        to = order.to
        address = {
            "name": to.name,
            "company": to.company,
            "line1": to.line1,
            "line2": to.line2,
            "city": to.city,
            "region": to.region_code,
            "postal_code": to.postal_code,
            "country_code": to.country_code,
        }
        body: dict[str, Any] = {
            "reference": order.reference,
            "service": order.service,
            "to": {name: value for name, value in address.items() if value is not None},
            "packages": [
                {"reference": parcel.reference, "weight_g": parcel.weight_g}
                for parcel in order.parcels
            ],
        }
        return body | ({"callback_url": self._callback_url} if self._callback_url else {})

    async def _send(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return await self._client.request(
                method, path, json=json, params=params, headers=headers
            )
        except httpx.HTTPError as error:
            # Never its text: an error may quote the request, and that holds an address.
            raise CarrierUnavailable(type(error).__name__) from error


def _read(answer: httpx.Response, model: type[A]) -> A:
    if not answer.is_success:
        raise CarrierUnavailable(f"the carrier answered {answer.status_code}")
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise CarrierUnavailable("the carrier's answer makes no sense") from None


def _reason(answer: httpx.Response) -> str:
    """`undeliverable: to.postal_code is wrong`: the problem's kind, and which fields of ours.

    Never the carrier's words: they may quote the address, and a reason is kept in an event.
    """
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    told = problem if isinstance(problem, dict) else {}
    kind = _SLUG.fullmatch(re.split("[:/#]", str(told.get("type", "")))[-1])
    errors = told.get("errors")
    wrong = _wrong(errors) if isinstance(errors, list) else ()
    said = kind[0] if kind and kind[0] != "blank" else f"the carrier answered {answer.status_code}"
    return ": ".join([said, "; ".join(wrong)] if wrong else [said])


def _wrong(errors: Sequence[object]) -> Sequence[str]:
    """`service is wrong`, for each field of ours that is named, as `to.city` or as `/to/city`."""
    fields = []
    for one in errors[:FIELDS_MAX]:
        named = (one.get("field") or one.get("pointer")) if isinstance(one, dict) else None
        steps = re.findall(r"[^./\[\]]+", str(named or ""))
        if steps and all(step in FIELD_NAMES or re.fullmatch(r"\d{1,2}", step) for step in steps):
            fields.append(".".join(steps))
    return [f"{field} is wrong" for field in dict.fromkeys(fields)]


def _shipment(found: _Shipment) -> CarrierShipment:
    return CarrierShipment(
        reference=found.reference,
        carrier=found.carrier,
        parcels=tuple(
            CarrierParcel(
                reference=package.reference,
                tracking_number=package.tracking_number,
                label_url=package.label_url,
                scans=tuple(
                    CarrierScan(
                        status=event.status, happened_at=event.happened_at, place=event.place
                    )
                    for event in package.events
                ),
            )
            for package in found.packages
        ),
    )
