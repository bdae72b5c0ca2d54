"""An Idempotency-Key is its tenant's: another's same key is another request."""

import json

from fastapi import Request
from pydantic import BaseModel

from waybill_runtime.http.auth import Principal
from waybill_runtime.http.idempotency import Reply, answered_once
from waybill_runtime.http.sent import Sent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.testing.world import World, simulate
from waybill_runtime.work import Asked


class Said(BaseModel):
    """Whom the answer was made for, and as which."""

    tenant: str
    number: int


class Asking:
    """A command that says for whom it was done, and counts how often."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on
        self._done = 0
        self.causes: list[str] = []

    async def _do(self, _: Transaction, asked: Asked) -> Reply:
        self._done += 1
        self.causes.append(asked.command_id)
        return Reply(201, Said(tenant=asked.tenant, number=self._done))

    async def ask(self, tenant: str, key: str = "key") -> dict[str, object]:
        """Ask with a key, by a client of this tenant."""
        principal = Principal("id", "name", tenant, frozenset())
        scope: dict[str, object] = {
            "type": "http",
            "method": "POST",
            "path": "/v1/things",
            "headers": [],
        }
        scope |= {"query_string": b"", "server": ("test", 80), "scheme": "http"}

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        response = await answered_once(
            Sent(Request(scope, receive), principal, key),
            store=self._on.store,
            ids=self._on.ids,
            do=self._do,
        )
        answer: dict[str, object] = json.loads(bytes(response.body))
        return answer


def test_the_same_key_of_two_tenants_is_answered_to_each_by_itself() -> None:
    async def main() -> None:
        asking = Asking(World().infrastructure("db"))
        first = {"tenant": "default", "number": 1}
        other = {"tenant": "other", "number": 2}
        assert await asking.ask("default") == first
        assert await asking.ask("other") == other
        assert await asking.ask("default") == first
        assert await asking.ask("other") == other

    simulate(1, main())


def test_the_cause_of_events_tells_keys_apart_and_does_not_say_them() -> None:
    async def main() -> None:
        asking = Asking(World().infrastructure("db"))
        for tenant, key in (("one", "jane@example.com"), ("two", "jane@example.com"), ("one", "x")):
            await asking.ask(tenant, key)
        first, again, other = asking.causes
        assert first == again != other
        assert all(cause.startswith("key:") and len(cause) == 68 for cause in asking.causes)
        assert "jane" not in repr(asking.causes)

    simulate(1, main())
