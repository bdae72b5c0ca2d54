"""HTTP between the nodes of a simulation: straight into the application that now has the name."""

from collections.abc import Callable, Mapping

import httpx
from starlette.types import ASGIApp


class Wire(httpx.AsyncBaseTransport):
    """Routes requests by host name. A node that is down refuses the connection."""

    def __init__(self, application: Callable[[str], ASGIApp | None]) -> None:
        self._application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        app = self._application(request.url.host)
        if app is None:
            raise httpx.ConnectError(f"{request.url.host} is down", request=request)
        return await httpx.ASGITransport(app).handle_async_request(request)

    def client(self, host: str, headers: Mapping[str, str]) -> httpx.AsyncClient:
        """A client whose relative paths go to `host`."""
        return httpx.AsyncClient(transport=self, base_url=f"http://{host}", headers=dict(headers))
