"""The carrier's core: labels sold once per key, and parcels that travel by themselves.

Pure but for its journal: the time is an argument, chance is seeded. State is what the journal
says, so parcels go on after a restart from where they were.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from waybill_sandboxes import callbacks, clock, journal, replies
from waybill_sandboxes.carrier import faults, parcels, requests
from waybill_sandboxes.replies import Reply

NOT_IN_LEDGER = frozenset({"kind", "fingerprint", "status", "to", "callback_url", "packages"})
FOUND_AFTER_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The carrier's times, and where it tells callbacks when a request names no place."""

    step_s: float = 0.2
    hang_s: float = 30.0
    callback_url: str = ""
    public_url: str = "http://127.0.0.1:9102"


class Carrier:
    """A parcel carrier. The same key with the same request is answered the same, for ever."""

    def __init__(self, store: journal.Journal, options: Options) -> None:
        """Fold the journal; what was not told before is told again."""
        self._journal = store
        self._options = options
        self.outbox = callbacks.Outbox()
        self._shipments: dict[str, parcels.Shipment] = {}
        self._by_reference: dict[str, list[str]] = {}
        self._by_tracking_number: dict[str, tuple[parcels.Shipment, parcels.Parcel]] = {}
        self._answers = replies.StoredAnswers()
        self._due: list[tuple[datetime, str]] = []
        self._ledger_records: list[int] = []
        self._record_count = 0
        self._struck: Counter[str] = Counter()
        self.set_faults(faults.Faults())
        untold: dict[str, callbacks.Callback] = {}
        for record in store.records():
            self._fold(record, untold)
        for callback in untold.values():
            self.outbox.add(callback)
        for shipment in self._shipments.values():
            for parcel in shipment.parcels:
                self._schedule(shipment, parcel)

    def set_faults(self, wanted: faults.Faults) -> None:
        """Lie like this from now on, the dice thrown anew from the seed."""
        self.faults = wanted
        self._dice = clock.Dice(wanted.seed)
        self._callback_dice = clock.Dice(wanted.seed)

    def struck(self) -> Counter[str]:
        """How often each lie struck since this carrier was opened."""
        return self._struck + self.outbox.struck

    # --- what shippers ask ----------------------------------------------------------------

    def create_shipment(self, key: str, request: requests.CreateShipment, now: datetime) -> Reply:
        """Buy labels: 201, or a 422 problem for an address that cannot be delivered to."""
        self.advance(now)
        print_ = replies.fingerprint(request.model_dump())
        if (stored := self._answers.find(key, print_)) is not None:
            return stored
        lie = self._dice.draw(self.faults.lies())
        if lie is not None:
            self._struck[lie] += 1
        if lie == "timeout_before_label":
            return replies.problem(
                504, "timeout", "Nothing was bought.", delay_s=self._options.hang_s
            )
        undeliverable = request.to.postal_code == "FAIL"
        shipment_id = replies.derived_id("cs", key)
        self._append(
            {
                "kind": "labels",
                "at": clock.stamp(now),
                "operation": "buy_label",
                "outcome": "failed" if undeliverable else "approved",
                "idempotency_key": key,
                "reference": request.reference,
                "shipment_id": shipment_id,
                "service": request.service,
                "tracking_numbers": []
                if undeliverable
                else [_tracking_number(shipment_id, n) for n in range(len(request.packages))],
                "fingerprint": print_,
                "to": request.to.model_dump(),
                "packages": [one.model_dump() for one in request.packages],
                "callback_url": request.callback_url or self._options.callback_url,
            }
        )
        answer = self._answers.find(key, print_)
        if answer is None:
            raise AssertionError("labels were recorded without their answer")
        for parcel in self._shipments[shipment_id].parcels if not undeliverable else ():
            self._schedule(self._shipments[shipment_id], parcel)
        hangs = lie == "timeout_after_label"
        return replace(answer, replayed=False, delay_s=self._options.hang_s if hangs else 0.0)

    def void_shipment(self, shipment_id: str, now: datetime) -> Reply:
        """Give the labels back, before the first pick-up; may be asked twice."""
        self.advance(now)
        shipment = self._shipments.get(shipment_id)
        if shipment is None:
            return _unknown(shipment_id)
        if not shipment.voided:
            if shipment.picked_up:
                return replies.problem(409, "already-picked-up", "A parcel is on its way.")
            self._append(
                {
                    "kind": "voided",
                    "at": clock.stamp(now),
                    "operation": "void_label",
                    "outcome": "approved",
                    "idempotency_key": None,
                    "reference": shipment.reference,
                    "shipment_id": shipment_id,
                    "service": shipment.service,
                    "tracking_numbers": [one.tracking_number for one in shipment.parcels],
                }
            )
        return replies.ok(shipment.render(self._options.public_url))

    # --- what anyone may look up ----------------------------------------------------------

    def find_shipment(self, shipment_id: str, now: datetime) -> Reply:
        """The shipment with its parcels' events, lost parcels found again after a while."""
        self.advance(now)
        shipment = self._shipments.get(shipment_id)
        if shipment is None:
            return _unknown(shipment_id)
        self._find_lost(shipment, now)
        return replies.ok(shipment.render(self._options.public_url))

    def find_by_reference(self, reference: str, now: datetime) -> Reply:
        """All shipments with the shipper's reference, voided ones too, oldest first."""
        self.advance(now)
        found = [self._shipments[one] for one in self._by_reference.get(reference, [])]
        for shipment in found:
            self._find_lost(shipment, now)
        return replies.ok({"data": [one.render(self._options.public_url) for one in found]})

    def label(self, tracking_number: str) -> str | None:
        """The label's text, None when no such label was sold."""
        found = self._by_tracking_number.get(tracking_number)
        return None if found is None else found[0].label(found[1])

    def entries(self, after: int, limit: int) -> list[dict[str, Any]]:
        """The ledger's entries numbered `after + 1` and on, at most `limit`."""
        entries: list[dict[str, Any]] = []
        if after >= len(self._ledger_records):
            return entries
        for record in self._journal.records(self._ledger_records[max(after, 0)]):
            if "seq" in record:
                if len(entries) == limit:
                    break
                entries.append(
                    {name: value for name, value in record.items() if name not in NOT_IN_LEDGER}
                )
        return entries

    # --- time -----------------------------------------------------------------------------

    def advance(self, now: datetime) -> None:
        """Let parcels travel the steps that are due by now."""
        while self._due and self._due[0][0] <= now:
            due, tracking_number = self._due[0]
            shipment, parcel = self._by_tracking_number[tracking_number]
            status = parcels.next_status(shipment, parcel)
            if status is not None:
                self._append(_step(shipment, parcel, status, due, quiet=False))
            heapq.heappop(self._due)
            self._schedule(shipment, parcel)

    def next_due(self) -> datetime | None:
        """When the next parcel takes its next step."""
        return self._due[0][0] if self._due else None

    def acknowledged(self, callback: callbacks.Callback) -> None:
        """Never tell this callback again."""
        self._append({"kind": "told", "callback_id": callback.id})

    # --- folding --------------------------------------------------------------------------

    def _find_lost(self, shipment: parcels.Shipment, now: datetime) -> None:
        for parcel in shipment.parcels:
            if parcel.status != "exception":
                continue
            lost_s = (now - clock.read(parcel.events[-1]["happened_at"])).total_seconds()
            if lost_s >= FOUND_AFTER_STEPS * self._options.step_s:
                self._append(_step(shipment, parcel, "delivered", now, quiet=True))

    def _schedule(self, shipment: parcels.Shipment, parcel: parcels.Parcel) -> None:
        if parcels.next_status(shipment, parcel) is not None:
            since = parcel.events[-1]["happened_at"] if parcel.events else shipment.created_at
            due = clock.read(since) + timedelta(seconds=self._options.step_s)
            heapq.heappush(self._due, (due, parcel.tracking_number))

    def _append(self, record: journal.Record) -> None:
        if "operation" in record:
            record = {"seq": len(self._ledger_records) + 1, **record}
        self._journal.append(record)
        self._fold(record, None)

    def _fold(self, record: journal.Record, untold: dict[str, callbacks.Callback] | None) -> None:
        """Take a record in; `untold` collects callbacks while the past is folded."""
        if "seq" in record:
            self._ledger_records.append(self._record_count)
        self._record_count += 1
        match record["kind"]:
            case "labels":
                self._fold_labels(record)
            case "voided":
                self._shipments[record["shipment_id"]].voided = True
            case "step":
                self._fold_step(record, untold)
            case "told" if untold is not None:
                untold.pop(record["callback_id"], None)

    def _fold_labels(self, record: journal.Record) -> None:
        if record["outcome"] == "failed":
            errors = [{"field": "to.postal_code", "message": "no carrier goes there"}]
            answer = replies.problem(422, "undeliverable", "Check the address.", errors=errors)
            self._answers.store(record["idempotency_key"], record["fingerprint"], answer)
            return
        shipment = parcels.Shipment(
            id=record["shipment_id"],
            reference=record["reference"],
            service=record["service"],
            to=record["to"],
            callback_url=record["callback_url"],
            created_at=record["at"],
            parcels=[
                parcels.Parcel(
                    reference=package["reference"],
                    tracking_number=number,
                    weight_g=package["weight_g"],
                )
                for package, number in zip(
                    record["packages"], record["tracking_numbers"], strict=True
                )
            ],
        )
        self._shipments[shipment.id] = shipment
        self._by_reference.setdefault(shipment.reference, []).append(shipment.id)
        answer = replies.ok(shipment.render(self._options.public_url), status=201)
        self._answers.store(record["idempotency_key"], record["fingerprint"], answer)
        for parcel in shipment.parcels:
            self._by_tracking_number[parcel.tracking_number] = (shipment, parcel)

    def _fold_step(
        self, record: journal.Record, untold: dict[str, callbacks.Callback] | None
    ) -> None:
        event = record["event"]
        shipment, parcel = self._by_tracking_number[event["tracking_number"]]
        parcel.events.append(
            {name: event[name] for name in ("status", "happened_at", "place", "sequence")}
        )
        if record["quiet"] or not shipment.callback_url:
            return
        callback = callbacks.Callback(
            id=event["id"],
            lane=parcel.tracking_number,
            url=shipment.callback_url,
            body=replies.dump(event),
            due_at=clock.read(event["happened_at"]),
        )
        if untold is not None:
            untold[callback.id] = callback
        else:
            self.outbox.add_with_faults(callback, self.faults, self._callback_dice)


def _step(
    shipment: parcels.Shipment,
    parcel: parcels.Parcel,
    status: str,
    happened_at: datetime,
    *,
    quiet: bool,
) -> journal.Record:
    """The record of a parcel's next event; a quiet one is found by look-up, never told."""
    sequence = len(parcel.events) + 1
    return {
        "kind": "step",
        "quiet": quiet,
        "event": {
            "id": replies.derived_id("ccb", parcel.tracking_number, str(sequence)),
            "type": "tracking.updated",
            "shipment_id": shipment.id,
            "reference": shipment.reference,
            "tracking_number": parcel.tracking_number,
            "status": status,
            "happened_at": clock.stamp(happened_at),
            "place": parcels.PLACES[status],
            "sequence": sequence,
        },
    }


def _tracking_number(shipment_id: str, index: int) -> str:
    digits = int(replies.fingerprint(shipment_id, index)[:12], 16)
    return f"SBX{digits:015d}"


def _unknown(shipment_id: str) -> Reply:
    return replies.problem(404, "not-found", f"No shipment {shipment_id}.")
