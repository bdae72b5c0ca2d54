"""E-mail over SMTP. A relay keeps no idempotency keys: a crash after DATA may send twice."""

from email.message import EmailMessage

import aiosmtplib

from notification.ports import ChannelRefused, ChannelUnavailable, Outgoing

PERMANENT = 500


class SmtpChannel:
    """Sends text with an HTML alternative, one connection a message."""

    def __init__(self, host: str, port: int, *, sender: str, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, message: Outgoing) -> str:
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = message.to
        mail["Subject"] = message.subject
        mail["Message-ID"] = f"<{message.message_id}@waybill>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        try:
            _, answer = await aiosmtplib.send(
                mail, hostname=self._host, port=self._port, timeout=self._timeout_s
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise ChannelRefused("the address was refused") from error
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= PERMANENT:
                raise ChannelRefused(f"SMTP {error.code}") from error
            raise ChannelUnavailable(f"SMTP {error.code}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ChannelUnavailable(type(error).__name__) from error
        return answer[:200]

    async def close(self) -> None:
        """Nothing is kept open."""
