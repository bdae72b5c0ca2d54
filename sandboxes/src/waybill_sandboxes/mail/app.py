"""The sink over HTTP: texts in, messages out, and a page to look at them."""

from html import escape
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.responses import HTMLResponse

from waybill_sandboxes import clock, replies, shell
from waybill_sandboxes.mail import inbox

SHOWN = 100
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Mail sink</title>
<style>body{{font:16px/1.5 sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{padding:.3rem .6rem;text-align:left}}
tr:nth-child(even){{background:#f4f4f4}}iframe{{width:100%;height:30rem;border:1px solid #ccc}}
</style><body>{body}</body></html>"""


def build(messages: inbox.Inbox) -> FastAPI:
    """The app of one inbox. No key: it listens on this machine, for whoever tests here."""
    app = shell.new_app("Waybill mail sink")

    async def keep(channel: str, text: inbox.Text) -> Response:
        seq, is_new = messages.take_text(channel, text, clock.now())
        body = {"id": f"{channel}_{seq}", "seq": seq, "status": "accepted"}
        return await shell.deliver(replies.ok(body, status=201 if is_new else 200))

    @app.post("/sms")
    async def sms(text: inbox.Text) -> Response:
        return await keep("sms", text)

    @app.post("/chat")
    async def chat(text: inbox.Text) -> Response:
        return await keep("chat", text)

    @app.get("/messages")
    async def listed(
        to: str | None = None,
        channel: Literal["email", "sms", "chat"] | None = None,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        return {"messages": messages.messages(to=to, channel=channel, after=after, limit=limit)}

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(PAGE.format(body=_index(messages.newest(SHOWN))))

    @app.get("/inbox/{seq}")
    async def message(seq: int) -> HTMLResponse:
        found = messages.find(seq)
        if found is None:
            raise HTTPException(404, f"No message {seq}.")
        return HTMLResponse(PAGE.format(body=_message(found)))

    return app


def _index(newest: list[inbox.Message]) -> str:
    rows = "".join(
        f"<tr><td><a href='/inbox/{one['seq']}'>{one['seq']}</a><td>{escape(one['at'][:19])}"
        f"<td>{escape(one['channel'])}<td>{escape(', '.join(one['to']))}"
        f"<td>{escape(one['subject'] or one['text'][:80])}"
        for one in newest
    )
    head = "<tr><th>#<th>At (UTC)<th>Channel<th>To<th>Says"
    return f"<h1>Mail sink</h1><p>The newest {SHOWN}.</p><table>{head}{rows}</table>"


def _message(one: inbox.Message) -> str:
    # The sandboxed frame keeps scripts of a mail from running with this page's rights.
    frame = f'<iframe sandbox title="HTML part" srcdoc="{escape(one["html"])}"></iframe>'
    return (
        f"<p><a href='/'>All messages</a></p><h1>{escape(one['subject'] or one['channel'])}</h1>"
        f"<p>{escape(one['at'])}, to {escape(', '.join(one['to']))}</p>"
        f"<pre>{escape(one['text'])}</pre>{frame if one['html'] else ''}"
    )
