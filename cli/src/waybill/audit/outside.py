"""What the world outside the services shows: ledgers, the sink, the stock API, logs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from waybill import home as homes
from waybill.audit.evidence import LogLine
from waybill.audit.facts import Json
from waybill.system import System
from waybill_runtime.adapters.http_client import HttpClient

PAGE = 1_000
AT_ONCE = 16
TIMEOUT_S = 10.0
SKUS_MAX = 10_000
"""More SKUs than this are sampled, evenly over their names."""
OURS = ("capture", "inventory", "payment", "fulfillment", "notification", "tracking", "supervisor")

_GATEWAY = (
    *("seq", "operation", "outcome", "idempotency_key", "reference", "authorization_id"),
    *("amount_minor", "released_minor", "currency", "expires_at"),
)
_CARRIER = ("seq", "operation", "outcome", "reference", "shipment_id")
_MAIL = ("seq", "channel", "message_id")


class NotHad(Exception):
    """A source that does not answer, and why."""


def client() -> httpx.AsyncClient:
    """For this machine and its like: proxies of the environment are for the world beyond."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    return HttpClient(timeout=TIMEOUT_S, limits=limits, trust_env=False)


async def gateway(system: System, http: httpx.AsyncClient) -> Sequence[Json]:
    """The gateway's own ledger."""
    return await _pages(system, http, "GATEWAY_URL", "/ledger", "entries", _only(_GATEWAY))


async def carrier(system: System, http: httpx.AsyncClient) -> Sequence[Json]:
    """The carrier's own ledger, without the addresses in it."""
    return await _pages(system, http, "CARRIER_URL", "/ledger", "entries", _only(_CARRIER))


async def mail(system: System, http: httpx.AsyncClient) -> Sequence[Json]:
    """What reached the sink, without what it says."""
    return await _pages(system, http, "MAIL_URL", "/messages", "messages", _only(_MAIL))


def _only(names: Sequence[str]) -> Callable[[Json], dict[str, Any]]:
    return lambda entry: {name: entry.get(name) for name in names}


async def _pages(
    system: System,
    http: httpx.AsyncClient,
    variable: str,
    path: str,
    field: str,
    keep: Callable[[Json], dict[str, Any]],
) -> Sequence[Json]:
    """Every entry of a numbered list, a page at a time, until a page is empty.

    Raises:
        NotHad: the address is not known, or does not answer as it should.
    """
    url = system.values.get(variable)
    if not url:
        raise NotHad(f"{variable} is not set")
    key = _partner_key(system, variable.removesuffix("_URL").lower())
    found: list[Json] = []
    after = 0
    while True:
        page = (await _get(http, url + path, {"after": after, "limit": PAGE}, key))[field]
        found += [keep(entry) for entry in page]
        if not page:
            return found
        after = page[-1]["seq"]


def _partner_key(system: System, name: str) -> str | None:
    """Our key at a sandbox: `GATEWAY_API_KEY` and the like, else what the home gave it."""
    given = system.values.get(f"{name.upper()}_API_KEY")
    kept = homes.read_json(system.home.path / "secrets.json").get(f"{name}-api-key")
    return given or (str(kept) if kept else None)


async def _get(
    http: httpx.AsyncClient, url: str, query: Mapping[str, int], key: str | None = None
) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        answer = await http.get(url, params=query, headers=headers)
        found = answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError) as error:
        raise NotHad(f"{url}: {type(error).__name__} {error}".strip()) from error
    if found is None:
        raise NotHad(f"{url} answers {answer.status_code}")
    return found


async def stock(
    system: System, http: httpx.AsyncClient, skus: Sequence[str]
) -> tuple[Mapping[str, Json], Sequence[str]]:
    """Counters of these SKUs as the API shows them, and notes on what was left out.

    Raises:
        NotHad: the address or the key is not known, or the API does not answer.
    """
    url, key = system.values.get("INVENTORY_URL"), system.values.get("OPERATOR_KEY")
    if not url or not key:
        raise NotHad("INVENTORY_URL or OPERATOR_KEY is not set")
    notes = []
    # A path segment cannot carry these; the API has no other way to show such a SKU.
    asked = [sku for sku in skus if "/" not in sku]
    if len(asked) < len(skus):
        notes.append(f"{len(skus) - len(asked)} SKUs with a slash cannot be asked of the stock API")
    if len(asked) > SKUS_MAX:
        notes.append(f"stock API: a sample of {SKUS_MAX:,} of {len(asked):,} SKUs")
        asked = [asked[at * len(asked) // SKUS_MAX] for at in range(SKUS_MAX)]
    shown: dict[str, Json] = {}
    queue = iter(asked)

    async def ask() -> None:
        for sku in queue:
            shown[sku] = await _shown(http, url, key, sku)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask())
    except* NotHad as failed:
        raise NotHad(str(failed.exceptions[0])) from failed
    return shown, notes


async def _shown(http: httpx.AsyncClient, url: str, key: str, sku: str) -> Json:
    found = await _get(http, f"{url}/v1/stock/{quote(sku, safe='')}", {}, key)
    return {"locations": found["locations"]}


class Logs:
    """Every line that our own programs logged, rotated files included; read anew each time."""

    def __init__(self, folder: Path) -> None:
        """The logs in a folder.

        Raises:
            NotHad: there is no log of a service.
        """
        self._files = [path for name in OURS for path in sorted(folder.glob(f"{name}.log*"))]
        if not any(path.stat().st_size for path in self._files):
            raise NotHad(f"no logs in {folder}")

    def __iter__(self) -> Iterator[LogLine]:
        for path in self._files:
            with path.open(encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, start=1):
                    yield LogLine(f"{path.name}:{number}", line.rstrip("\n"))
