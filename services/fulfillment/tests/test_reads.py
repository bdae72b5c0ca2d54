"""How often a command goes to the store: its stream is loaded once by each of its transactions."""

from collections import Counter
from collections.abc import Collection, Mapping

import pytest

from fulfillment.testing.running import FFO, confirmed, running
from waybill_runtime import stored
from waybill_runtime.adapters.memory.store import MemoryStore
from waybill_runtime.adapters.memory.streams import MemoryStreams


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What the store was asked for."""
    counts: Counter[str] = Counter()
    load, transaction = MemoryStreams.load, MemoryStore.transaction

    async def counted(
        self: MemoryStreams, streams: Collection[str], *, lock: bool
    ) -> Mapping[str, stored.Stream]:
        counts["loads"] += 1
        return await load(self, streams, lock=lock)

    def begun(self: MemoryStore) -> object:
        counts["transactions"] += 1
        return transaction(self)

    monkeypatch.setattr(MemoryStreams, "load", counted)
    monkeypatch.setattr(MemoryStore, "transaction", begun)
    return counts


async def test_a_command_loads_its_stream_once(asked: Counter[str]) -> None:
    async with running() as it:
        await it.tell(confirmed())
        asked.clear()
        assert (await it.ask(f"{FFO}/accept", {})).status_code == 200
        assert asked == {"transactions": 1, "loads": 1}


async def test_a_shipping_asks_records_and_answers_each_with_one_load(asked: Counter[str]) -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        asked.clear()
        assert (await it.ask(f"{FFO}/ship", {"service": "standard"})).status_code == 200
        assert asked == {"transactions": 3, "loads": 3}


async def test_a_shipping_told_again_takes_nothing_but_its_answer(asked: Counter[str]) -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        first = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="k")
        asked.clear()
        again = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="k")
        assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
        assert asked == {}
        other = await it.ask(f"{FFO}/ship", {"service": "express"}, key="k")
        assert other.status_code == 422
        assert other.json()["type"].endswith(":idempotency-key-reused")
