"""SMS and chat through a provider's HTTP API: `{to, text, dedupe_key}`, deduplicated there."""

import httpx

from notification.ports import ChannelRefused, ChannelUnavailable, Outgoing
from waybill_runtime.adapters.http_client import HttpClient


class HttpTextChannel:
    """Posts to `<url>/<channel>`."""

    def __init__(
        self,
        url: str,
        channel: str,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._path = f"/{channel}"
        self._client = HttpClient(base_url=url, timeout=timeout_s, transport=transport)

    async def send(self, message: Outgoing) -> str:
        body = {"to": message.to, "text": message.text, "dedupe_key": message.message_id}
        try:
            response = await self._client.post(self._path, json=body)
        except httpx.HTTPError as error:
            raise ChannelUnavailable(type(error).__name__) from error
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise ChannelUnavailable(f"HTTP {response.status_code}")
        if response.status_code >= 400:
            raise ChannelRefused(f"HTTP {response.status_code}")
        return str(response.status_code)

    async def close(self) -> None:
        await self._client.aclose()
