"""`python -m waybill_sandboxes.warehouse`."""

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from waybill_sandboxes import shell
from waybill_sandboxes.warehouse import robot
from waybill_sandboxes.warehouse.settings import Settings


def main() -> None:
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    http = HttpxAiohttpClient(
        base_url=settings.fulfillment_url,
        headers={"Authorization": f"Bearer {settings.key}"},
        timeout=settings.timeout_s,
        limits=httpx.Limits(max_connections=settings.workers + 2),
    )
    worker = robot.Robot(
        http, settings.behaviour(), settings.pace(), settings.data_dir / "feed.cursor"
    )
    app = shell.new_app("Waybill robot warehouse")

    @app.get("/status")
    async def status() -> dict[str, str | int]:
        return {"cursor": worker.cursor, "in_hand": worker.in_hand, "done": worker.done}

    shell.run(app, host=settings.host, port=settings.port, jobs=[worker.run])


if __name__ == "__main__":
    main()
