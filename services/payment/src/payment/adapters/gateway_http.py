"""The card gateway over HTTP: one try per call, and no answer believed that is not understood."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from payment.ports import Answer, Authorized, Declined, Done, NotFound, Pending, Unknown
from waybill_runtime.adapters.http_client import HttpClient

CONNECTIONS_MAX = 64
RETRYABLE = frozenset({"issuer_unavailable", "processing_error", "try_again_later"})
"""Declines that a later try may turn: the issuer was not asked, or asks to be asked again."""

REFUSALS = frozenset({400, 404, 409, 422})
UNDECIDED = frozenset({"authorization-pending", "idempotency-key-reused"})
"""Refusals that do not say what became of the operation itself."""
_CODE = re.compile(r"[a-z][a-z0-9_-]{0,79}")
"""A word of the gateway's that is kept. No other is: it may name a person, and events stay."""


class HttpGateway:
    """`PaymentGateway` on the sandbox gateway's API."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = HttpClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
        )

    async def authorize(
        self, key: str, *, reference: str, amount_minor: int, currency: str, token: str
    ) -> Answer:
        body = {
            "reference": reference,
            "amount_minor": amount_minor,
            "currency": currency,
            "token": token,
        }
        return await self._ask("/v1/authorizations", key, body)

    async def capture(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int, final: bool
    ) -> Answer:
        body = {"reference": reference, "amount_minor": amount_minor, "final": final}
        return await self._ask(f"/v1/authorizations/{authorization_id}/captures", key, body)

    async def void(self, key: str, authorization_id: str, *, reference: str) -> Answer:
        body = {"reference": reference}
        return await self._ask(f"/v1/authorizations/{authorization_id}/voids", key, body)

    async def refund(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int
    ) -> Answer:
        body = {"reference": reference, "amount_minor": amount_minor}
        return await self._ask(f"/v1/authorizations/{authorization_id}/refunds", key, body)

    async def lookup(self, key: str) -> Answer | NotFound:
        try:
            response = await self._client.get("/v1/operations", params={"idempotency_key": key})
            if response.status_code == 404 and _slug(response) == "not-found":
                return NotFound()
            if response.status_code != 200:
                return Unknown(detail=f"look-up answered {response.status_code}")
            return _operation(response.json())
        except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            return _no_answer(error)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, path: str, key: str, body: Mapping[str, object]) -> Answer:
        try:
            response = await self._client.post(path, json=body, headers={"Idempotency-Key": key})
            return _understood(response)
        except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            return _no_answer(error)


def _understood(response: httpx.Response) -> Answer:
    """What an answer to a command means. A refusal counts only in the gateway's own words."""
    status = response.status_code
    if status == 202:
        return Pending()
    if status == 201:
        told = response.json()
        return _decided(told["status"], told, told if "expires_at" in told else None)
    slug = _slug(response)
    if status in REFUSALS and slug and slug not in UNDECIDED:
        return Declined(code=slug.replace("-", "_"))
    return Unknown(detail=f"the gateway answered {status} {slug}".rstrip())


def _operation(told: Mapping[str, Any]) -> Answer:
    """What the gateway's books say of an operation; a `failed` one was refused for good."""
    authorization = told["authorization"]
    if told["outcome"] == "pending":
        return Pending()
    if told["outcome"] == "failed":
        return Declined(code=_why_failed(told, authorization))
    return _decided(
        told["outcome"], told, authorization if told["operation"] == "authorize" else None
    )


def _why_failed(told: Mapping[str, Any], authorization: Mapping[str, Any]) -> str:
    """The books keep no reason for a refusal: it follows from when and what was asked."""
    if told["operation"] in ("capture", "void"):
        if _moment(told["at"]) >= _moment(authorization["expires_at"]):
            return "authorization_expired"
        if told["operation"] == "void":
            return "nothing_to_void"
    return "refused"


def _decided(
    outcome: str, operation: Mapping[str, Any], authorization: Mapping[str, Any] | None
) -> Answer:
    """A verdict; `authorization` is given where the operation was to make one."""
    if outcome == "declined":
        code = _code(operation["decline_code"]) or "declined"
        return Declined(code=code, retryable=code in RETRYABLE)
    if outcome != "approved":
        return Unknown(detail=f"the gateway's outcome is {_code(outcome) or 'none'}")
    if authorization is None:
        return Done()
    return Authorized(
        authorization_id=authorization["id"], expires_at=_moment(authorization["expires_at"])
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError("a moment has no offset")
    return moment


def _slug(response: httpx.Response) -> str:
    """The stable end of a problem's type; empty when this is no problem document."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    return _code(str(response.json()["type"]).rpartition(":")[2])


def _code(said: object) -> str:
    """A code as it is; empty for whatever is none."""
    return said if isinstance(said, str) and _CODE.fullmatch(said) else ""


def _no_answer(error: Exception) -> Unknown:
    """Never an error's text: it may quote what the gateway said."""
    return Unknown(detail=type(error).__name__)
