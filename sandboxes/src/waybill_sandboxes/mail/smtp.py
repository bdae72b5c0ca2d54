"""The sink's SMTP end, on the event loop itself: takes every e-mail, up to a size."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiosmtpd.smtp import SMTP

from waybill_sandboxes import clock
from waybill_sandboxes.mail import inbox

SIZE_MAX = 2 * 1024 * 1024


class _Handler:
    def __init__(self, messages: inbox.Inbox) -> None:
        self._messages = messages

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        """Keep the e-mail before saying so; what the disk refuses is to be sent again."""
        try:
            kept = self._messages.take_mail(
                envelope.content,
                sender=envelope.mail_from,
                recipients=list(envelope.rcpt_tos),
                now=clock.now(),
            )
        except OSError as refusal:
            return f"451 4.3.1 Not kept: {refusal}"
        return f"250 2.0.0 Kept as {kept['seq']}"


def serving(messages: inbox.Inbox, *, host: str, port: int) -> Callable[[], Awaitable[None]]:
    """A job that answers SMTP until cancelled."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        def connection() -> SMTP:
            return SMTP(
                _Handler(messages),
                data_size_limit=SIZE_MAX,
                enable_SMTPUTF8=True,
                hostname="sandbox.mail",
                ident="Waybill mail sink",
                loop=loop,
            )

        server = await loop.create_server(connection, host, port)
        async with server:
            await server.serve_forever()

    return serve
