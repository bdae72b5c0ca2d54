"""What a core answers, as bytes with a status and how long to keep the caller waiting.

The first answer to an idempotency key is the answer to that key for ever.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer that a simulator can read too: it waits `delay_s` before it arrives."""

    status: int
    body: bytes
    delay_s: float = 0.0
    replayed: bool = False
    retry_after_s: int | None = None

    @property
    def media_type(self) -> str:
        return PROBLEM if self.status >= 400 else "application/json"

    def json(self) -> dict[str, Any]:
        """The body, read."""
        read: dict[str, Any] = json.loads(self.body)
        return read


def ok(resource: Any, *, status: int = 200, delay_s: float = 0.0) -> Reply:
    """A resource as a reply."""
    return Reply(status=status, body=dump(resource), delay_s=delay_s)


def problem(
    status: int,
    slug: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    delay_s: float = 0.0,
    retry_after_s: int | None = None,
) -> Reply:
    """An RFC 9457 problem document; `slug` is the stable end of its `type`."""
    document: dict[str, Any] = {
        "type": f"urn:waybill-sandbox:problem:{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        document["errors"] = errors
    return Reply(status=status, body=dump(document), delay_s=delay_s, retry_after_s=retry_after_s)


def dump(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def fingerprint(*parts: Any) -> str:
    """32 hexadecimal digits that differ when the request differs."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def derived_id(prefix: str, *parts: str) -> str:
    """An id that follows from what it names: the same key makes the same id, on any run."""
    digest = hashlib.sha256("\n".join((prefix, *parts)).encode()).hexdigest()
    return f"{prefix}_{digest[:24]}"


class StoredAnswers:
    """The first answer given to each idempotency key."""

    def __init__(self) -> None:
        self._by_key: dict[str, tuple[str, Reply]] = {}

    def store(self, key: str, request_fingerprint: str, reply: Reply) -> None:
        self._by_key[key] = (request_fingerprint, replace(reply, delay_s=0.0, replayed=True))

    def find(self, key: str, request_fingerprint: str) -> Reply | None:
        """The stored answer; a 422 problem when the key came with another request; else None."""
        stored = self._by_key.get(key)
        if stored is None:
            return None
        if stored[0] != request_fingerprint:
            return problem(
                422,
                "idempotency-key-reused",
                "This idempotency key was used with another request; use a new key.",
            )
        return stored[1]
