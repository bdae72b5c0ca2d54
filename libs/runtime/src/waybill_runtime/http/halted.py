"""What a service answers whose store was set back: that it is halted, and what to do."""

from collections.abc import Sequence

import structlog
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from waybill_events.envelope import Recorded
from waybill_runtime import metrics
from waybill_runtime.http import problem
from waybill_runtime.http.problem import Refused

log = structlog.get_logger("waybill.setback")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def tell(name: str, gone: Sequence[Recorded]) -> None:
    """Say it loudly: in the log, and in a metric to alert on."""
    metrics.SET_BACK.set(len(gone))
    log.error(
        "store set back",
        service=name,
        events=len(gone),
        first=f"{gone[0].stream}@{gone[0].version}",
        remedy=f"waybill restore-from-bus --service {name}",
    )


def create(name: str) -> FastAPI:
    """The ASGI application of a halted service: alive, unready, refusing everything."""
    app = FastAPI(title=f"Waybill {name}, halted", openapi_url=None)
    problem.install(app)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def shown() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.api_route("/{path:path}", methods=METHODS)
    async def halted(path: str) -> Response:
        detail = (
            f"The store of {name} was set back: the bus holds what it does not. Nothing is read or "
            f"written until `waybill restore-from-bus --service {name}` has given it back."
        )
        raise Refused(503, "store-set-back", detail)

    return app
