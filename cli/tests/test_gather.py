"""The audit's own reading, of six services in one loop, while somebody tampers with them.

The same `gather` as on a real system: stores and bus are in memory, HTTP goes straight into the
applications, and ledgers, mails and logs are what the outside wrote.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from waybill import home as homes
from waybill.audit import gather, oracles, outside
from waybill.audit.evidence import Finding
from waybill.ledger import Ledger
from waybill.simulation import system
from waybill_runtime.bus import Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

BODY: Mapping[str, Any] = {
    "currency": "GBP",
    "customer": {"email": "ada@example.com", "phone": "+442079460000"},
    "shipping_address": {
        "name": "Ada Buyer",
        "line1": "1 High Street",
        "line2": "Flat Seven",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [{"sku": "A", "name": "A thing", "quantity": 1, "unit_price_minor": 250}],
    "shipping": {"option": "standard", "price_minor": 495},
}
HOSTS = {
    "INVENTORY_URL": "http://inventory",
    "TRACKING_URL": "http://tracking",
    "GATEWAY_URL": "http://gateway",
    "CARRIER_URL": "http://carrier",
    "MAIL_URL": "http://mail",
    "OPERATOR_KEY": system.KEY,
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@dataclass
class Audited:
    """A `waybill.system.System` whose processes are in this one."""

    running: system.System
    home: homes.Home
    values: Mapping[str, str]

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncIterator[Infrastructure]:
        yield self.running.world.infrastructure(name, f"auditor of {name}")

    def rows(self, name: str) -> Any:
        """All that a service's database holds, for whoever tampers with it."""
        return self.running.world.database(name).rows


class Outside(httpx.AsyncBaseTransport):
    """The sandboxes' ledgers by host; whatever else is asked goes to the services."""

    def __init__(self, running: system.System) -> None:
        self._running = running

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        outside_ = self._running.outside
        sunk = (*outside_.mail.messages, *outside_.text.messages)
        ledgers: Mapping[str, tuple[str, list[dict[str, Any]]]] = {
            "gateway": ("entries", [_entry(one) for one in outside_.gateway.ledger]),
            "carrier": ("entries", [_label(one) for one in outside_.carrier.purchases]),
            "mail": ("messages", [{"message_id": f"<{one}@waybill>"} for one in sunk]),
        }
        if request.url.host not in ledgers:
            return await self._running.wire.handle_async_request(request)
        field, entries = ledgers[request.url.host]
        numbered = [{**one, "seq": seq} for seq, one in enumerate(entries, start=1)]
        after = int(request.url.params["after"])
        return httpx.Response(200, json={field: numbered[after:]}, request=request)


def _entry(entry: Any) -> dict[str, Any]:
    names = ("operation", "outcome", "idempotency_key", "reference", "amount_minor", "currency")
    found = {name: getattr(entry, name) for name in names}
    return {**found, "authorization_id": entry.authorization_id}


def _label(reference: str) -> dict[str, Any]:
    parcel = {"reference": reference, "shipment_id": f"cs_{reference}"}
    return {"operation": "buy_label", "outcome": "approved", **parcel}


async def _sell(running: system.System, ledger: Ledger) -> None:
    """One order that goes all the way and one that is refused, both looked at to the end."""
    async with running.client("inventory", **{"Idempotency-Key": "r1"}) as http:
        lines = [{"sku": "A", "quantity": 5}]
        await http.post(
            "/v1/stock/receipts", json={"location": "main", "reference": "PO", "lines": lines}
        )
    for number, card in enumerate(("tok_approve", "tok_decline")):
        key = f"k{number}"
        async with running.client("capture", **{"Idempotency-Key": key}) as http:
            body = {**BODY, "payment": {"method": "card", "token": card}}
            answers = [await http.post("/v1/orders", json=body) for _ in range(2)]
        placed = answers[0].json()
        token = placed["tracking"]["token"]
        for answer in answers:
            asked = answer.request.content
            ledger.posted(key, asked, answer.status_code, placed["id"], answer.content, token=token)
        await asyncio.sleep(30)
        async with running.client("tracking") as http:
            seen = (await http.get(f"/v1/track/{token}")).json()
            ledger.polled(placed["id"], seen["version"], token=token)


def audited(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tamper: Callable[[Audited], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> Mapping[str, Finding]:
    """What the oracles say of a quiet system, after somebody did this to it."""
    loop = SeededLoop.of(3)
    home = homes.Home(tmp_path)
    home.logs.mkdir()
    home.log("capture").write_text('{"event": "started"}\n')

    async def run() -> Mapping[str, Finding]:
        running = system.make(World(3), loop)
        await running.begin()
        work = [running.work_warehouse(tmp_path), running.carry_parcels()]
        ledger = Ledger(tmp_path / "ledger" / "shop.jsonl")
        await _sell(running, ledger)
        ledger.close()
        monkeypatch.setattr(
            outside, "client", lambda: httpx.AsyncClient(transport=Outside(running))
        )
        subject = Audited(running, home, HOSTS)
        tamper(subject)
        gathered = await gather.gather(subject, settled=True, tell=lambda _: None)  # type: ignore[arg-type]  # a System in all that is asked of it
        for task in work:
            task.cancel()
        await running.stop()
        for one in gathered.notes:
            note(one)
        return {found.guarantee: found for found in oracles.judge(gathered.evidence)}

    return loop.run(run())


def violations(found: Mapping[str, Finding]) -> Mapping[str, Sequence[str]]:
    return {name: finding.said for name, finding in found.items() if finding.said}


def test_a_system_that_nobody_touched_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audited(tmp_path, monkeypatch)
    assert violations(found) == {}
    assert {name for name, f in found.items() if f.verdict != "holds"} == set()
    assert found["I13"].looked_at["views shown by the API"] == 2
    assert found["I1"].looked_at["recipients"] == 2


def _event(subject: Audited, service: str, type_: str) -> Any:
    rows = subject.rows(service)
    return next(at for at, event in rows.events.items() if event.type == type_)


def an_event_was_changed_in_its_store(subject: Audited) -> None:
    at = _event(subject, "payment", "payment.payment_captured.v1")
    events = subject.rows("payment").events
    events[at] = replace(
        events[at], actor="staff:mallory", occurred_at=events[at].occurred_at + timedelta(days=1)
    )


def an_event_was_taken_out_of_its_store(subject: Audited) -> None:
    del subject.rows("payment").events[_event(subject, "payment", "payment.payment_captured.v1")]


def a_consumer_was_moved_past_the_end(subject: Audited) -> None:
    """By as much as another of its partitions has: no sum would tell."""
    positions = subject.rows("payment").positions
    own = positions["payment", Partition("orders", 0)]
    positions["payment", Partition("orders", 0)] = replace(own, next_offset=own.next_offset + 2)


def an_event_was_passed_over(subject: Audited) -> None:
    """The order's last event was never taken by payment, which stands behind it all the same."""
    marks = subject.rows("payment").marks
    at = next(at for at in marks if at[0] == "payment" and "/order/" in at[1])
    marks[at] -= 1


def a_stream_was_marked_too_far(subject: Audited) -> None:
    """The order's next three events would be dropped by payment as known."""
    marks = subject.rows("payment").marks
    marks[next(at for at in marks if at[0] == "payment" and "/order/" in at[1])] += 3


def a_recipient_was_dropped(subject: Audited) -> None:
    documents = subject.rows("capture").documents
    del documents[next(at for at in documents if at[0] == "recipients")]


def a_live_view_was_changed(subject: Audited) -> None:
    documents = subject.rows("tracking").documents
    at = next(at for at in documents if at[0] == "customer")
    body = {**json.loads(documents[at].body), "hello": "world"}
    documents[at] = replace(documents[at], body=json.dumps(body))


def an_index_row_was_changed(subject: Audited) -> None:
    """The list of placed orders would still show an order that has ended."""
    documents = subject.rows("capture").documents
    at = next(at for at in documents if at[0] == "orders")
    documents[at] = replace(documents[at], attributes={"status": "placed"})


def somebody_charged_a_card_by_hand(subject: Audited) -> None:
    ledger = subject.running.outside.gateway.ledger
    ledger.append(
        replace(ledger[0], reference="ord_9", idempotency_key="x", authorization_id="ga_9")
    )


def somebody_wrote_a_mail_by_hand(subject: Audited) -> None:
    messages = subject.running.outside.mail.messages
    messages["msg_by-hand"] = next(iter(messages.values()))


def a_label_was_bought_by_hand(subject: Audited) -> None:
    subject.running.outside.carrier.purchases.append("shp_by-hand")


def the_customers_view_was_set_back(subject: Audited) -> None:
    documents = subject.rows("tracking").documents
    for at in [at for at in documents if at[0] == "customer"]:
        documents[at] = replace(documents[at], version=1)


def a_flat_was_logged(subject: Audited) -> None:
    subject.home.log("capture").write_text('{"event": "refused", "line2": "FLAT SEVEN"}\n')


TAMPERED: Mapping[Callable[[Audited], None], tuple[set[str], str]] = {
    an_event_was_changed_in_its_store: ({"I9"}, "in occurred_at, actor"),
    an_event_was_taken_out_of_its_store: ({"I4", "I10"}, "is on the bus and in no store"),
    a_consumer_was_moved_past_the_end: ({"I10"}, "payment stands 2 past the end of orders/0"),
    an_event_was_passed_over: ({"I11"}, "payment passed over default/order/"),
    a_stream_was_marked_too_far: ({"I11"}, "beyond its last,"),
    a_recipient_was_dropped: ({"I1"}, "is neither in the vault nor erased"),
    a_live_view_was_changed: ({"I8"}, "tracking customer is"),
    an_index_row_was_changed: ({"I8"}, "capture orders is"),
    somebody_charged_a_card_by_hand: ({"I4"}, "for ord_9, which is in no log"),
    somebody_wrote_a_mail_by_hand: ({"I12"}, "(<msg_by-hand@waybill>) was decided by nobody"),
    a_label_was_bought_by_hand: ({"I6"}, "a label for shp_by-hand, which is in no log"),
    the_customers_view_was_set_back: ({"I13"}, "a client saw"),
    a_flat_was_logged: ({"I14"}, "capture.log:1 holds personal data"),
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
def test_who_tampers_with_a_running_system_is_found_out(
    tamper: Callable[[Audited], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarantees, named = TAMPERED[tamper]
    notes: list[str] = []
    found = violations(audited(tmp_path, monkeypatch, tamper, notes.append))
    assert found.keys() == guarantees
    assert [note for note in notes if note.startswith("0 ")] == []
    assert [text for texts in found.values() for text in texts if named in text] != []
