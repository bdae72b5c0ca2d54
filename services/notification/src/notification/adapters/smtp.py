"""E-mail over SMTP. A relay keeps no idempotency keys: a crash after DATA may send twice."""

import re
from email.message import EmailMessage

import aiosmtplib

from notification.ports import ChannelRefused, ChannelUnavailable, Outgoing

PERMANENT = 500

_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
"""An e-mail address as browsers take one (WHATWG HTML, section 4.10.5.1.5)."""


class SmtpChannel:
    """Sends text with an HTML alternative, one connection a message."""

    def __init__(self, host: str, port: int, *, sender: str, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, message: Outgoing) -> str:
        mail = self._mail(message)
        try:
            _, answer = await aiosmtplib.send(
                mail,
                recipients=[message.to],
                hostname=self._host,
                port=self._port,
                timeout=self._timeout_s,
            )
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
        return answer[:200]

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

    async def close(self) -> None:
        """Nothing is kept open."""
