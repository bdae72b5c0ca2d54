"""Recipients from capture's vault over HTTP, with a bounded memory."""

from collections import OrderedDict
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from waybill_runtime.adapters.http_client import HttpClient
from waybill_runtime.clock import Clock
from waybill_runtime.recipients import RecipientErased, RecipientsUnavailable

REMEMBERED_MAX = 5_000
CONNECTIONS_MAX = 32

R = TypeVar("R")


class HttpRecipients(Generic[R]):
    """`Recipients` over HTTP. What `taken` does not name is not even kept in memory.

    The key needs the scope `recipients:read` at capture.
    """

    def __init__(
        self,
        taken: TypeAdapter[R],
        url: str,
        api_key: str,
        clock: Clock,
        *,
        timeout_s: float,
        remember_s: float,
        remembered_max: int = REMEMBERED_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._taken = taken
        self._clock = clock
        self._remember_s = remember_s
        self._remembered_max = remembered_max
        self._known: OrderedDict[str, tuple[float, R]] = OrderedDict()
        self._client = HttpClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
        )

    async def read(self, recipient_ref: str) -> R:
        asked_at_s = self._clock.monotonic_s()
        known = self._known.get(recipient_ref)
        if known is not None and asked_at_s - known[0] < self._remember_s:
            return known[1]
        self.forget(recipient_ref)
        recipient = await self._fetch(recipient_ref)
        self._known[recipient_ref] = (asked_at_s, recipient)
        while len(self._known) > self._remembered_max:
            self._known.popitem(last=False)
        return recipient

    def forget(self, recipient_ref: str) -> None:
        self._known.pop(recipient_ref, None)

    async def close(self) -> None:
        self._known.clear()
        await self._client.aclose()

    async def _fetch(self, recipient_ref: str) -> R:
        try:
            answer = await self._client.get(f"/v1/recipients/{quote(recipient_ref, safe='')}")
        except httpx.HTTPError as error:
            raise RecipientsUnavailable(type(error).__name__) from error
        if answer.status_code in (404, 410):
            raise RecipientErased(recipient_ref)
        if not answer.is_success:
            raise RecipientsUnavailable(f"the vault answered {answer.status_code}")
        try:
            return self._taken.validate_json(answer.content)
        except ValidationError:
            # Never its text: it quotes what it could not read.
            raise RecipientsUnavailable("the vault's answer makes no sense") from None
