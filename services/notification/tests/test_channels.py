"""One suite for every channel, against the real sandbox sink; and what each refuses by itself."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP

from notification.adapters import smtp as smtp_channel
from notification.adapters.channel_memory import MemoryChannel
from notification.adapters.smtp import SmtpChannel
from notification.adapters.text_http import HttpTextChannel
from notification.ports import Channel, ChannelRefused, ChannelUnavailable, Outgoing
from waybill_sandboxes import journal
from waybill_sandboxes.mail import app, inbox, smtp

HOST = "127.0.0.1"
SENDER = "Waybill <orders@waybill.example>"

MAIL = Outgoing(
    message_id="msg_x-shipped-email",
    to="buyer@example.com",
    subject="Ihre Bestellung ist unterwegs: Ein Herz",
    text="Guten Tag Ä. Buyer,\n\nEin Herz ❤\n",
    html="<p>Guten Tag Ä. Buyer</p>",
)
TEXT = Outgoing(message_id="msg_x-shipped-sms", to="+442079460000", subject="", text="Unterwegs ❤")


@dataclass
class Rig:
    """A channel, a message for it, and what has arrived: (message id, to, text)."""

    channel: Channel
    message: Outgoing
    arrived: Callable[[], list[tuple[str, str, str]]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def serving(
    job: Callable[[], Awaitable[None]], port: int
) -> AsyncIterator[asyncio.Task[None]]:
    """Run an SMTP end until the test is over."""

    async def run() -> None:
        await job()

    task = asyncio.create_task(run())
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        await writer.wait_closed()
        break
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def kept(messages: inbox.Inbox) -> list[tuple[str, str, str]]:
    return [
        (one["message_id"].strip("<>").partition("@")[0], ", ".join(one["to"]), one["text"])
        for one in messages.messages()
    ]


@pytest.fixture(params=["memory", "smtp", "text"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    messages = inbox.Inbox(journal.MemoryJournal())
    if request.param == "memory":
        memory = MemoryChannel()
        yield Rig(
            memory, MAIL, lambda: [(m.message_id, m.to, m.text) for m in memory.messages.values()]
        )
    elif request.param == "smtp":
        port = free_port()
        channel = SmtpChannel(HOST, port, sender=SENDER, timeout_s=5)
        async for _ in serving(smtp.serving(messages, host=HOST, port=port), port):
            yield Rig(channel, MAIL, lambda: kept(messages))
            await channel.close()
    else:
        text = HttpTextChannel(
            "http://mail.test",
            "sms",
            timeout_s=5,
            transport=httpx.ASGITransport(app.build(messages)),
        )
        yield Rig(text, TEXT, lambda: kept(messages))
        await text.close()


async def test_a_message_arrives_whole(rig: Rig) -> None:
    assert await rig.channel.send(rig.message)
    ((id_, to, text),) = rig.arrived()
    assert (id_, to) == (rig.message.message_id, rig.message.to)
    assert text.replace("\r\n", "\n") == rig.message.text


async def test_many_at_once_all_arrive(rig: Rig) -> None:
    many = [
        Outgoing(message_id=f"msg_{n}", to=rig.message.to, subject="s", text="t") for n in range(8)
    ]
    await asyncio.gather(*(rig.channel.send(message) for message in many))
    assert {id_ for id_, _, _ in rig.arrived()} == {message.message_id for message in many}


async def test_closing_twice_is_fine(rig: Rig) -> None:
    await rig.channel.close()
    await rig.channel.close()


async def test_a_text_sent_again_is_kept_once() -> None:
    messages = inbox.Inbox(journal.MemoryJournal())
    transport = httpx.ASGITransport(app.build(messages))
    channel = HttpTextChannel("http://mail.test", "chat", timeout_s=5, transport=transport)
    await channel.send(TEXT)
    await channel.send(TEXT)
    assert len(kept(messages)) == 1
    await channel.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ChannelRefused),
        (404, ChannelRefused),
        (422, ChannelRefused),
        (408, ChannelUnavailable),
        (429, ChannelUnavailable),
        (500, ChannelUnavailable),
        (503, ChannelUnavailable),
    ],
)
async def test_a_providers_status_is_a_no_or_no_answer(status: int, error: type[Exception]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    channel = HttpTextChannel("http://mail.test", "sms", timeout_s=5, transport=transport)
    with pytest.raises(error):
        await channel.send(TEXT)
    await channel.close()


async def test_a_provider_that_is_down_gives_no_answer() -> None:
    channel = HttpTextChannel(f"http://{HOST}:{free_port()}", "sms", timeout_s=1)
    with pytest.raises(ChannelUnavailable):
        await channel.send(TEXT)
    await channel.close()


class Strict:
    """A relay that answers recipients and data as it is told."""

    def __init__(self, rcpt: str = "250 ok", data: str = "250 ok") -> None:
        self.rcpt = rcpt
        self.data = data
        self.envelopes: list[Any] = []

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.envelopes.append(envelope)
        return self.data


async def send_through(relay: Strict, message: Outgoing) -> str:
    port = free_port()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(relay, hostname="relay", loop=loop), HOST, port)
    channel = SmtpChannel(HOST, port, sender=SENDER, timeout_s=5)
    async with server:
        try:
            return await channel.send(message)
        finally:
            await channel.close()


class Relay(Strict):
    """A strict relay with the connections that were made to it."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.connections: list[SMTP] = []

    async def serving(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def connection() -> SMTP:
            self.connections.append(SMTP(self, hostname="relay", loop=loop))
            return self.connections[-1]

        return await loop.create_server(connection, HOST, self.port)

    def channel(self) -> SmtpChannel:
        return SmtpChannel(HOST, self.port, sender=SENDER, timeout_s=5)

    def open(self) -> int:
        """How many connections there are at this moment."""
        transports = [connection.transport for connection in self.connections]
        return sum(one is not None and not one.is_closing() for one in transports)


async def test_mails_in_a_row_share_a_connection_until_the_relay_ends_it() -> None:
    relay = Relay()
    channel = relay.channel()
    async with await relay.serving():
        for _ in range(3):
            await channel.send(MAIL)
        assert len(relay.connections) == 1
        ended = relay.connections[0].transport
        assert ended is not None
        ended.close()
        await asyncio.sleep(0.05)
        await channel.send(MAIL)
        assert (len(relay.connections), len(relay.envelopes)) == (2, 4)
        await channel.close()


async def test_a_connection_that_nobody_used_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Relay()
    channel = relay.channel()
    async with await relay.serving():
        await channel.send(MAIL)
        monkeypatch.setattr(smtp_channel, "KEPT_S", 0.0)
        await channel.send(MAIL)
        await asyncio.sleep(0.05)
        assert (len(relay.connections), relay.open()) == (2, 1)
        await channel.close()


async def test_a_connection_on_which_a_mail_failed_is_not_used_again() -> None:
    relay = Relay()
    channel = relay.channel()
    async with await relay.serving():
        relay.data = "451 4.3.0 later"
        with pytest.raises(ChannelUnavailable):
            await channel.send(MAIL)
        await asyncio.sleep(0.05)
        assert relay.open() == 0
        relay.data = "250 ok"
        await channel.send(MAIL)
        assert len(relay.connections) == 2
        await channel.close()


async def test_a_burst_leaves_few_connections_open() -> None:
    relay = Relay()
    channel = relay.channel()
    async with await relay.serving():
        await asyncio.gather(*(channel.send(MAIL) for _ in range(3 * smtp_channel.KEPT_MAX)))
        await asyncio.sleep(0.05)
        assert relay.open() == smtp_channel.KEPT_MAX
        assert len(relay.connections) == 3 * smtp_channel.KEPT_MAX
        await channel.close()


@pytest.mark.parametrize(
    ("relay", "error"),
    [
        (Strict(rcpt="550 5.1.1 no such user"), ChannelRefused),
        (Strict(rcpt="450 4.2.0 greylisted"), ChannelUnavailable),
        (Strict(data="554 5.6.0 spam"), ChannelRefused),
        (Strict(data="451 4.3.0 later"), ChannelUnavailable),
    ],
)
async def test_a_relays_code_is_a_no_or_no_answer(relay: Strict, error: type[Exception]) -> None:
    with pytest.raises(error):
        await send_through(relay, MAIL)


@pytest.mark.parametrize(
    ("said", "kept_of_it"),
    [
        ("2.0.0 Ok: queued as 4bXwZ12yhJz", "250 4bXwZ12yhJz"),
        ("OK id=1rT2aB-0004xY-2k", "250 1rT2aB-0004xY-2k"),
        ("2.0.0 Kept as 5", "250"),
        ("2.6.0 Queued mail for delivery to <buyer@example.com>", "250"),
        ("ok, queued as buyer1@example.com", "250"),
        ("ok, queued as +442079460000", "250"),
        ("ok, queued as 442079460000 for A. Buyer", "250"),
        ("ok", "250"),
    ],
)
async def test_of_what_a_relay_says_the_code_and_the_queues_id_are_kept(
    said: str, kept_of_it: str
) -> None:
    assert await send_through(Strict(data=f"250 {said}"), MAIL) == kept_of_it


@pytest.mark.parametrize(
    "relay",
    [
        Strict(rcpt="550 5.1.1 <buyer@example.com> unknown, A. Buyer"),
        Strict(rcpt="450 4.2.0 buyer@example.com greylisted, A. Buyer"),
        Strict(data="554 5.6.0 spam for buyer@example.com, A. Buyer"),
        Strict(data="451 4.3.0 later, buyer@example.com, A. Buyer"),
    ],
)
async def test_of_a_relays_refusal_its_code_alone_is_told(relay: Strict) -> None:
    with pytest.raises((ChannelRefused, ChannelUnavailable)) as refused:
        await send_through(relay, MAIL)
    assert not {"buyer", "Buyer"} & set(re.findall(r"\w+", str(refused.value)))


async def test_a_relay_that_is_down_gives_no_answer() -> None:
    with pytest.raises(ChannelUnavailable):
        await SmtpChannel(HOST, free_port(), sender=SENDER, timeout_s=1).send(MAIL)


@pytest.mark.parametrize(
    "address", ["buyer,victim@example.com", "a@b@example.com", "bü@example.com", "buyer@", ""]
)
async def test_mail_goes_to_one_mailbox_or_nowhere(address: str) -> None:
    relay = Strict()
    stray = Outgoing(message_id="msg_1", to=address, subject="s", text="t")
    with pytest.raises(ChannelRefused):
        await send_through(relay, stray)
    assert relay.envelopes == []


async def test_a_mail_says_who_sent_it_and_that_no_person_did() -> None:
    relay = Strict()
    await send_through(relay, MAIL)
    (envelope,) = relay.envelopes
    head = envelope.content.decode().partition("\r\n\r\n")[0]
    assert "Auto-Submitted: auto-generated" in head
    assert f"Message-ID: <{MAIL.message_id}@waybill>" in head
    assert (envelope.mail_from, envelope.rcpt_tos) == ("orders@waybill.example", [MAIL.to])
