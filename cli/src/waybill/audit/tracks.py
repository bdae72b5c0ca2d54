"""What customers see now: the tracking API, asked with the tokens that clients wrote down."""

import asyncio
from collections.abc import Mapping, Sequence

import httpx

from waybill.audit.outside import AT_ONCE, NotHad
from waybill.ledger import Polled, Posted
from waybill.system import System

ORDERS_MAX = 5_000
"""More orders than this are sampled, evenly over their ids."""


def tokens(clients: Sequence[Posted | Polled]) -> Mapping[str, str]:
    """The token of each order, where a client wrote it down."""
    return {seen.order_id: seen.token for seen in clients if seen.token and seen.order_id}


async def shown(
    system: System, http: httpx.AsyncClient, of_order: Mapping[str, str]
) -> Mapping[str, int]:
    """The version shown of each of these orders; 0 of one that its token does not open.

    Raises:
        NotHad: the address is not known, or the API does not answer as it should.
    """
    url = system.values.get("TRACKING_URL")
    if not url:
        raise NotHad("TRACKING_URL is not set")
    names = sorted(of_order)
    if len(names) > ORDERS_MAX:
        names = [names[at * len(names) // ORDERS_MAX] for at in range(ORDERS_MAX)]
    found: dict[str, int] = {}
    queue = iter(names)

    async def ask() -> None:
        for order_id in queue:
            found[order_id] = await _version(http, url, order_id, of_order[order_id])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask())
    except* NotHad as failed:
        raise NotHad(str(failed.exceptions[0])) from failed
    return found


async def _version(http: httpx.AsyncClient, url: str, order_id: str, token: str) -> int:
    try:
        answer = await http.get(f"{url}/v1/track/{token}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return 0
        version = answer.json()["version"] if answer.is_success else None
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise NotHad(f"tracking of {order_id}: {type(error).__name__}") from error
    if not isinstance(version, int):
        raise NotHad(f"tracking of {order_id} answers {answer.status_code}")
    return version
