"""E-mail over SMTP. A relay keeps no idempotency keys: a crash after DATA may send twice."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage

import aiosmtplib

from notification.ports import ChannelRefused, ChannelUnavailable, Outgoing

PERMANENT = 500
KEPT_S = 5.0
"""How long a connection without work is kept: less than any relay waits for the next mail."""
KEPT_MAX = 4

_QUEUED = re.compile(
    r"\b(?:queued as|id=)\s*(?=[A-Za-z-]*\d)(?=[\d-]*[A-Za-z])([A-Za-z0-9-]{4,40})(?![\w.@+-])",
    re.IGNORECASE,
)
"""A queue's id as Postfix (`queued as 4bXw`) and Exim (`id=1rT2-0004`) name it."""

_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
"""An e-mail address as browsers take one (WHATWG HTML, section 4.10.5.1.5)."""


class SmtpChannel:
    """Sends text with an HTML alternative. A connection takes one message after another."""

    def __init__(self, host: str, port: int, *, sender: str, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._timeout_s = timeout_s
        self._kept: list[tuple[float, aiosmtplib.SMTP]] = []

    async def send(self, message: Outgoing) -> str:
        mail = self._mail(message)
        try:
            async with self._connection() as connection:
                _, answer = await connection.send_message(mail, recipients=[message.to])
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code
            if code >= PERMANENT:
                raise ChannelRefused(f"the address was refused, SMTP {code}") from error
            raise ChannelUnavailable(f"the address was put off, SMTP {code}") from error
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= PERMANENT:
                raise ChannelRefused(f"SMTP {error.code}") from error
            raise ChannelUnavailable(f"SMTP {error.code}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ChannelUnavailable(type(error).__name__) from error
        return _reference(answer)

    def _mail(self, message: Outgoing) -> EmailMessage:
        """The message as a mail to exactly one address, whatever that address's text says."""
        if not _MAILBOX.fullmatch(message.to):
            raise ChannelRefused("this is no address of one mailbox")
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = message.to
        mail["Subject"] = message.subject
        mail["Message-ID"] = f"<{message.message_id}@waybill>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        return mail

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection for one message; kept for the next one if all went well."""
        clock = asyncio.get_running_loop().time
        while self._kept:
            since_s, connection = self._kept.pop()
            if connection.is_connected and clock() - since_s < KEPT_S:
                break
            connection.close()
        else:
            connection = aiosmtplib.SMTP(
                hostname=self._host, port=self._port, timeout=self._timeout_s
            )
            await connection.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if len(self._kept) < KEPT_MAX:
            self._kept.append((clock(), connection))
        else:
            connection.close()

    async def close(self) -> None:
        while self._kept:
            self._kept.pop()[1].close()


def _reference(answer: str) -> str:
    """What a relay is asked by later: that it took the mail, and its queue's id if it says one.

    Never its words: they may name whom the mail is for, and a reference is kept in an event.
    """
    queued = _QUEUED.search(answer)
    return f"250 {queued[1]}" if queued else "250"
