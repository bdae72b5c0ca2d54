"""Recipients from capture's vault, remembered for a minute at most."""

from collections import OrderedDict
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from fulfillment.ports import Recipient, RecipientErased, RecipientsUnavailable
from waybill_runtime.clock import Clock

CACHED_MAX = 1_000
CONNECTIONS_MAX = 32


class _Recipient(BaseModel):
    """What we take of a recipient; e-mail and phone are none of our business."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    company: str | None = None
    line1: str
    line2: str | None = None
    city: str
    region_code: str | None = None
    postal_code: str | None = None
    country_code: str


class HttpRecipients:
    """`Recipients` over HTTP, with a bounded memory."""

    def __init__(
        self,
        url: str,
        api_key: str,
        clock: Clock,
        *,
        timeout_s: float,
        cache_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._cache_s = cache_s
        self._known: OrderedDict[str, tuple[float, Recipient]] = OrderedDict()
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
        )

    async def read(self, recipient_ref: str) -> Recipient:
        known = self._known.get(recipient_ref)
        if known is not None and self._clock.monotonic_s() - known[0] < self._cache_s:
            return known[1]
        self.forget(recipient_ref)
        recipient = await self._fetch(recipient_ref)
        self._known[recipient_ref] = (self._clock.monotonic_s(), recipient)
        while len(self._known) > CACHED_MAX:
            self._known.popitem(last=False)
        return recipient

    def forget(self, recipient_ref: str) -> None:
        self._known.pop(recipient_ref, None)

    async def close(self) -> None:
        self._known.clear()
        await self._client.aclose()

    async def _fetch(self, recipient_ref: str) -> Recipient:
        try:
            answer = await self._client.get(f"/v1/recipients/{quote(recipient_ref, safe='')}")
        except httpx.HTTPError as error:
            raise RecipientsUnavailable(type(error).__name__) from error
        if answer.status_code in (404, 410):
            raise RecipientErased(recipient_ref)
        if not answer.is_success:
            raise RecipientsUnavailable(f"the vault answered {answer.status_code}")
        try:
            found = _Recipient.model_validate_json(answer.content)
        except ValidationError:
            # Never its text: it quotes what it could not read.
            raise RecipientsUnavailable("the vault's answer makes no sense") from None
        return Recipient(**found.model_dump())
