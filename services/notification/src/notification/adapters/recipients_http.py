"""The recipient vault of capture over HTTP, remembered for a minute at most."""

import httpx
from pydantic import TypeAdapter, ValidationError

from notification.ports import Recipient, RecipientErased, RecipientsUnavailable
from waybill_runtime.clock import Clock

REMEMBER_S = 60.0
REMEMBERED_MAX = 5_000

_RECIPIENT = TypeAdapter(Recipient)


class HttpRecipients:
    """Reads `/v1/recipients/{ref}` with a key of our own."""

    def __init__(
        self,
        url: str,
        key: str,
        clock: Clock,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout_s, transport=transport
        )
        self._clock = clock
        self._remembered: dict[str, tuple[float, Recipient]] = {}

    async def read(self, recipient_ref: str) -> Recipient:
        now_s = self._clock.monotonic_s()
        known = self._remembered.get(recipient_ref)
        if known is not None and now_s - known[0] < REMEMBER_S:
            return known[1]
        try:
            response = await self._client.get(f"/v1/recipients/{recipient_ref}")
        except httpx.HTTPError as error:
            raise RecipientsUnavailable(type(error).__name__) from error
        if response.status_code in (404, 410):
            raise RecipientErased(recipient_ref)
        if response.status_code != 200:
            raise RecipientsUnavailable(f"HTTP {response.status_code}")
        try:
            recipient = _RECIPIENT.validate_json(response.content)
        except ValidationError as error:
            raise RecipientsUnavailable("an answer that is no recipient") from error
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[recipient_ref] = (now_s, recipient)
        return recipient

    def forget(self, recipient_ref: str) -> None:
        self._remembered.pop(recipient_ref, None)

    async def close(self) -> None:
        await self._client.aclose()
