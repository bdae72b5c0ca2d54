"""The mail sink: e-mail over SMTP, texts over HTTP, all kept over a kill."""

import smtplib
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from waybill_sandboxes.journal import MemoryJournal
from waybill_sandboxes.mail import app, inbox

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def text(number: int, to: str = "+441") -> inbox.Text:
    return inbox.Text(to=to, text=f"text {number}", dedupe_key=f"d{number}")


def test_a_text_with_a_known_dedupe_key_is_kept_once_even_after_a_restart() -> None:
    journal = MemoryJournal()
    messages = inbox.Inbox(journal)

    assert messages.take_text("sms", text(1), NOW) == (1, True)
    assert messages.take_text("sms", text(1), NOW) == (1, False)
    assert messages.take_text("chat", text(1), NOW) == (2, True)
    assert inbox.Inbox(journal).take_text("sms", text(1), NOW) == (1, False)


def test_messages_older_than_the_newest_come_from_the_journal() -> None:
    messages = inbox.Inbox(MemoryJournal(), newest_max=3)
    for number in range(1, 11):
        messages.take_text("sms", text(number, to=f"+44{number % 2}"), NOW)

    assert [one["seq"] for one in messages.messages(limit=4)] == [1, 2, 3, 4]
    assert [one["seq"] for one in messages.messages(after=8)] == [9, 10]
    assert [one["seq"] for one in messages.messages(to="+440", after=5)] == [6, 8, 10]
    assert [one["seq"] for one in messages.newest(10)] == [10, 9, 8]
    found = messages.find(2)
    assert found is not None
    assert found["text"] == "text 2"
    assert messages.find(11) is None


def test_dedupe_keys_have_a_limit() -> None:
    messages = inbox.Inbox(MemoryJournal(), dedupe_keys_max=1)
    messages.take_text("sms", text(1), NOW)
    messages.take_text("sms", text(2), NOW)

    assert messages.take_text("sms", text(2), NOW) == (2, False)
    assert messages.take_text("sms", text(1), NOW) == (3, True)


def test_a_broken_mail_is_kept_as_far_as_it_can_be_read() -> None:
    messages = inbox.Inbox(MemoryJournal())
    raw = b"Subject: \xff\xfe\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff\r\n"

    kept = messages.take_mail(raw, sender="a@x", recipients=["b@x"], now=NOW)

    assert kept["seq"] == 1
    kept["subject"].encode()


async def test_the_page_shows_what_came_and_runs_none_of_it() -> None:
    messages = inbox.Inbox(MemoryJournal())
    evil = inbox.Text(to="<b>", text="<script>alert(1)</script>", dedupe_key="d")
    messages.take_text("chat", evil, NOW)
    transport = httpx.ASGITransport(app.build(messages))
    async with httpx.AsyncClient(transport=transport, base_url="http://mail.test") as http:
        pages = [(await http.get("/")).text, (await http.get("/inbox/1")).text]
        assert (await http.get("/inbox/2")).status_code == 404

    for page in pages:
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


def test_mail_over_smtp_is_kept_over_a_kill(
    run_sandbox: Any, free_port: Any, tmp_path: Path
) -> None:
    settings = {"data_dir": tmp_path, "smtp_port": free_port()}
    mail = EmailMessage()
    mail["From"], mail["To"] = "shop@example.com", "buyer@example.com"
    mail["Subject"], mail["Message-ID"] = "Ihre Bestellung für 10 €", "<ord_1@waybill>"
    mail.set_content("Grüße")
    mail.add_alternative("<p>Grüße</p>", subtype="html")
    with run_sandbox("mail", **settings) as sink:
        with smtplib.SMTP("127.0.0.1", settings["smtp_port"], timeout=10) as smtp:
            smtp.send_message(mail)
        sms = {"to": "+441", "text": "hello", "dedupe_key": "d1"}
        assert sink.http.post("/sms", json=sms).status_code == 201
        assert sink.http.post("/chat", json={"to": "x"}).status_code == 422
        sink.kill()

    with run_sandbox("mail", **settings) as sink:
        assert sink.http.post("/sms", json=sms).status_code == 200
        found = sink.http.get("/messages", params={"to": "buyer@example.com"}).json()["messages"]
        texts = sink.http.get("/messages", params={"channel": "sms"}).json()["messages"]
        assert sink.stop() == 0

    assert [one["text"] for one in texts] == ["hello"]
    assert len(found) == 1
    assert found[0]["subject"] == "Ihre Bestellung für 10 €"
    assert found[0]["message_id"] == "<ord_1@waybill>"
    assert (found[0]["from"], found[0]["to"]) == ("shop@example.com", ["buyer@example.com"])
    assert (found[0]["text"].strip(), found[0]["html"].strip()) == ("Grüße", "<p>Grüße</p>")
