"""The services of a system that runs elsewhere, as their own APIs answer for them."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from waybill import children
from waybill.programs import SERVICES


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one service says of itself; `why` where it is not ready."""

    name: str
    url: str
    ready: bool
    why: str | None


def urls() -> Mapping[str, str]:
    """Where the environment says that the services answer."""
    named = {name: os.environ.get(f"{name.upper()}_URL") for name in SERVICES}
    return {name: url for name, url in named.items() if url}


async def ask(urls: Mapping[str, str]) -> list[Answer]:
    """Each service, at once, whether it is ready."""
    timeout_s = children.PROBE_TIMEOUT_S
    async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as http:
        why = await asyncio.gather(*(_refusal(http, url) for url in urls.values()))
    return [
        Answer(name=name, url=url, ready=refusal is None, why=refusal)
        for (name, url), refusal in zip(urls.items(), why, strict=True)
    ]


async def _refusal(http: httpx.AsyncClient, url: str) -> str | None:
    try:
        answer = await http.get(f"{url}/readyz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or f"no answer within {children.PROBE_TIMEOUT_S:g} s"
    if answer.is_success:
        return None
    return children.words(str(answer.status_code), answer.content)
