"""What every sandbox's HTTP shell shares: problems, keys, waits, background jobs, a clean stop."""

import asyncio
import contextlib
import hmac
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from waybill_sandboxes import journal, replies

SYNC_EVERY_S = 1.0
STOP_WITHIN_S = 3
KEEP_ALIVE_S = 75  # longer than callers keep a silent connection, or theirs is cut in mid-request

Job = Callable[[], Awaitable[None]]
ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


def new_app(title: str) -> FastAPI:
    """An app with `/livez`, whose every refusal is a problem document."""
    app = FastAPI(title=title, version="1")
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(OSError, _disk_refused)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    return app


def bearer(api_key: str) -> Callable[[str], Awaitable[None]]:
    """A dependency that lets only callers with this key pass."""

    async def check(authorization: str = Header("")) -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {api_key}".encode()):
            raise HTTPException(401, "Send the key as `Authorization: Bearer <key>`.")

    return check


async def idempotency_key(request: Request) -> str:
    """A dependency: the caller's `Idempotency-Key`, 1 to 255 characters."""
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= 255:
        raise HTTPException(400, "Send an Idempotency-Key of 1 to 255 characters.")
    return key


async def deliver(reply: replies.Reply, *, latency_s: float = 0.0) -> Response:
    """A reply as a response, after as long as it is to take."""
    if reply.delay_s + latency_s > 0:
        await asyncio.sleep(reply.delay_s + latency_s)
    headers = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    if reply.retry_after_s is not None:
        headers["Retry-After"] = str(reply.retry_after_s)
    return Response(reply.body, reply.status, headers, reply.media_type)


async def _malformed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows for the type checker
    errors = [
        {"field": ".".join(str(part) for part in one["loc"][1:]), "message": str(one["msg"])}
        for one in error.errors()
    ]
    return await deliver(
        replies.problem(422, "invalid-request", "See errors for the fields.", errors=errors)
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - narrows for the type checker
    slugs = {400: "bad-request", 401: "unauthorized", 404: "not-found", 405: "method-not-allowed"}
    slug = slugs.get(error.status_code, "refused")
    return await deliver(replies.problem(error.status_code, slug, str(error.detail)))


async def _disk_refused(_request: Request, error: Exception) -> Response:
    return await deliver(
        replies.problem(503, "ledger-unavailable", f"Nothing was done: {error}", retry_after_s=1)
    )


def syncing(file: journal.FileJournal) -> Job:
    """A job that brings a journal to the disk once a second, off the event loop."""

    async def sync_for_ever() -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            await asyncio.to_thread(file.sync)

    return sync_for_ever


class _Server(uvicorn.Server):
    """A server that leaves the signals to `_serve`, so that SIGTERM ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(app: FastAPI, *, host: str, port: int, jobs: list[Job]) -> None:
    """Serve, with the jobs beside, until SIGTERM or SIGINT; a job that fails ends the program."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "mail.log"):  # the second is aiosmtpd: a line for each SMTP command
        logging.getLogger(chatty).setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(_Server(config), jobs))


async def _serve(server: uvicorn.Server, jobs: list[Job]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_awaited(job)) for job in jobs]
        await server.serve()
        for task in running:
            task.cancel()


async def _awaited(job: Job) -> None:
    await job()
