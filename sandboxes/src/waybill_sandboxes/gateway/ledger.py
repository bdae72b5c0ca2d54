"""The gateway's core: every request decided against the books, every decision a record first.

Pure but for its journal: the time is an argument, chance is seeded. State is what the journal
says, so a gateway opened on the same journal answers every old key as before.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from waybill_sandboxes import callbacks, clock, journal, replies
from waybill_sandboxes.gateway import books, faults, requests, rules, tokens
from waybill_sandboxes.gateway.tokens import Lie
from waybill_sandboxes.replies import Reply

NOT_IN_LEDGER = frozenset(
    {"kind", "fingerprint", "status", "slug", "detail", "token", "callback_url"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The gateway's times, and where it tells callbacks when a request names no place."""

    hang_s: float = 30.0
    slow_s: float = 2.0
    pending_s: float = 1.0
    authorization_ttl_s: float = 7 * 24 * 3600.0
    expires_fast_s: float = 3.0
    callback_url: str = ""
    callback_delay_s: float = 0.0


class Gateway:
    """A card gateway. The same key with the same request is answered the same, for ever."""

    def __init__(self, store: journal.Journal, options: Options) -> None:
        """Fold the journal; what was not told before is told again."""
        self._journal = store
        self._options = options
        self.outbox = callbacks.Outbox()
        self._authorizations: dict[str, books.Authorization] = {}
        self._by_reference: dict[str, list[str]] = {}
        self._by_key: dict[str, books.Operation] = {}
        self._answers = replies.StoredAnswers()
        self._lied_to: set[str] = set()
        self._pending: deque[tuple[datetime, str]] = deque()
        self._ledger_records: list[int] = []
        self._record_count = 0
        self._struck: Counter[str] = Counter()
        self.set_faults(faults.Faults())
        untold: dict[str, callbacks.Callback] = {}
        for record in store.records():
            self._fold(record, untold)
        for callback in untold.values():
            self.outbox.add(callback)

    def set_faults(self, wanted: faults.Faults) -> None:
        """Lie like this from now on, the dice thrown anew from the seed."""
        self.faults = wanted
        self._dice = clock.Dice(wanted.seed)
        self._callback_dice = clock.Dice(wanted.seed)

    def struck(self) -> Counter[str]:
        """How often each lie struck since this gateway was opened."""
        return self._struck + self.outbox.struck

    # --- what merchants ask ---------------------------------------------------------------

    def authorize(self, key: str, request: requests.Authorize, now: datetime) -> Reply:
        """Hold an amount: 201 approved or declined, or 202 pending; see tokens for the lies."""
        self.advance(now)
        print_ = replies.fingerprint("authorize", request.model_dump())
        if (stored := self._answers.find(key, print_)) is not None:
            return stored
        behaviour = tokens.BEHAVIOURS.get(request.token)
        if behaviour is None:
            errors = [{"field": "token", "message": "unknown; see the table of sandbox tokens"}]
            return replies.problem(422, "unknown-token", "No such token.", errors=errors)
        lie = self._choose_lie(key, behaviour.authorize_lie)
        if lie in tokens.BEFORE:
            return self._lie_before(key, lie)
        options = self._options
        ttl_s = options.expires_fast_s if behaviour.expires_fast else options.authorization_ttl_s
        outcome = "declined" if behaviour.decline_code else "approved"
        record = self._operation(
            "authorize",
            key=key,
            print_=print_,
            authorization_id=replies.derived_id("ga", key),
            request=request,
            now=now,
        ) | {
            "outcome": "pending" if behaviour.pending else outcome,
            "status": 202 if behaviour.pending else 201,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "decline_code": None if behaviour.pending else behaviour.decline_code,
            "expires_at": clock.stamp(now + timedelta(seconds=ttl_s)),
            "token": request.token,
            "callback_url": request.callback_url or options.callback_url,
        }
        return self._commit(record, lie)

    def capture(
        self, key: str, authorization_id: str, request: requests.Capture, now: datetime
    ) -> Reply:
        """Take a part of what is held, never more than is open; `final` releases the rest."""
        return self._on_authorization("capture", key, authorization_id, request, now)

    def void(self, key: str, authorization_id: str, request: requests.Void, now: datetime) -> Reply:
        """Release all that is held and not captured."""
        return self._on_authorization("void", key, authorization_id, request, now)

    def refund(
        self, key: str, authorization_id: str, request: requests.Refund, now: datetime
    ) -> Reply:
        """Give back a part of what was captured, never more than remains of it."""
        return self._on_authorization("refund", key, authorization_id, request, now)

    # --- what anyone may look up ----------------------------------------------------------

    def find_authorization(self, authorization_id: str, now: datetime) -> Reply:
        """The authorisation as the books have it now, whatever was answered before."""
        self.advance(now)
        found = self._authorizations.get(authorization_id)
        if found is None:
            return rules.unknown(authorization_id)
        return replies.ok(found.render())

    def find_by_reference(self, reference: str, now: datetime) -> Reply:
        """All authorisations with the merchant's reference, oldest first."""
        self.advance(now)
        found = [self._authorizations[one] for one in self._by_reference.get(reference, [])]
        return replies.ok({"data": [one.render() for one in found]})

    def find_operation(self, key: str, now: datetime) -> Reply:
        """What really came of a request, by its idempotency key; 404 if nothing was done."""
        self.advance(now)
        found = self._by_key.get(key)
        if found is None:
            return replies.problem(404, "not-found", "Nothing was done under this key.")
        authorization = self._authorizations[found.authorization_id]
        return replies.ok(
            found.render(authorization.currency) | {"authorization": authorization.render()}
        )

    def entries(self, after: int, limit: int) -> list[dict[str, Any]]:
        """The ledger's entries numbered `after + 1` and on, at most `limit`."""
        return list(self._entries(after, limit))

    # --- time -----------------------------------------------------------------------------

    def advance(self, now: datetime) -> None:
        """Reach the verdicts that are due by now."""
        while self._pending and self._pending[0][0] <= now:
            _, authorization_id = self._pending[0]
            authorization = self._authorizations[authorization_id]
            decline_code = tokens.BEHAVIOURS[authorization.token].decline_code
            asked = authorization.operations[0]
            self._append(
                {
                    "kind": "verdict",
                    "at": clock.stamp(now),
                    "operation": "authorize",
                    "outcome": "declined" if decline_code else "approved",
                    "idempotency_key": asked.idempotency_key,
                    "reference": asked.reference,
                    "amount_minor": asked.amount_minor,
                    "currency": authorization.currency,
                    "authorization_id": authorization_id,
                    "operation_id": asked.id,
                    "decline_code": decline_code,
                }
            )

    def next_due(self) -> datetime | None:
        """When the next verdict is due."""
        return self._pending[0][0] if self._pending else None

    def acknowledged(self, callback: callbacks.Callback) -> None:
        """Never tell this callback again."""
        self._append({"kind": "told", "callback_id": callback.id})

    # --- deciding -------------------------------------------------------------------------

    def _on_authorization(
        self,
        operation: str,
        key: str,
        authorization_id: str,
        request: requests.Capture | requests.Void | requests.Refund,
        now: datetime,
    ) -> Reply:
        self.advance(now)
        print_ = replies.fingerprint(operation, authorization_id, request.model_dump())
        if (stored := self._answers.find(key, print_)) is not None:
            return stored
        authorization = self._authorizations.get(authorization_id)
        if authorization is None:
            return rules.unknown(authorization_id)
        if authorization.status == "pending":
            return replies.problem(
                409, "authorization-pending", "Its verdict is not in; ask again.", retry_after_s=1
            )
        behaviour = tokens.BEHAVIOURS[authorization.token]
        is_capture = operation == "capture"
        lie = self._choose_lie(key, behaviour.capture_lie if is_capture else Lie.NONE)
        if lie in tokens.BEFORE:
            return self._lie_before(key, lie)
        amount_minor = (
            authorization.open_minor if isinstance(request, requests.Void) else request.amount_minor
        )
        record = self._operation(
            operation,
            key=key,
            print_=print_,
            authorization_id=authorization_id,
            request=request,
            now=now,
        ) | {"amount_minor": amount_minor, "currency": authorization.currency}
        refusal = rules.refusal(authorization, operation, amount_minor, record["at"])
        if refusal is not None:
            code = refusal.slug.replace("-", "_")
            refused = {"outcome": "failed", "decline_code": code, **refusal._asdict()}
            return self._commit(record | refused, Lie.NONE)
        if is_capture and behaviour.capture_decline_code:
            record |= {"outcome": "declined", "decline_code": behaviour.capture_decline_code}
        elif isinstance(request, requests.Capture):
            rest_minor = authorization.open_minor - amount_minor
            record |= {"final": request.final, "released_minor": rest_minor * request.final}
        return self._commit(record, lie)

    def _operation(
        self,
        operation: str,
        *,
        key: str,
        print_: str,
        authorization_id: str,
        request: requests.Authorize | requests.Capture | requests.Void | requests.Refund,
        now: datetime,
    ) -> journal.Record:
        """The record of an operation that goes well; callers change what does not."""
        return {
            "kind": "operation",
            "at": clock.stamp(now),
            "operation": operation,
            "outcome": "approved",
            "idempotency_key": key,
            "reference": request.reference,
            "amount_minor": 0,
            "currency": "",
            "authorization_id": authorization_id,
            "operation_id": replies.derived_id(books.PREFIXES[operation], key),
            "decline_code": None,
            "fingerprint": print_,
            "status": 201,
        }

    def _choose_lie(self, key: str, forced: Lie) -> Lie:
        if forced is Lie.NONE:
            return self._dice.draw(self.faults.lies()) or Lie.NONE
        if forced in tokens.BEFORE and key in self._lied_to:
            return Lie.NONE
        return forced

    def _lie_before(self, key: str, lie: Lie) -> Reply:
        """Fail without having done anything; remembered, so that the same key works later."""
        self._struck[lie] += 1
        if key not in self._lied_to:
            self._append({"kind": "lied", "idempotency_key": key})
        if lie is Lie.TIMEOUT_BEFORE:
            return replies.problem(
                504, "timeout", "The issuer did not answer.", delay_s=self._options.hang_s
            )
        return replies.problem(500, "internal-error", "Something went wrong.")

    def _commit(self, record: journal.Record, lie: Lie) -> Reply:
        """Write the operation down, then answer as the lie will have it."""
        if lie is not Lie.NONE:
            self._struck[lie] += 1
        if lie is Lie.STORED_ERROR:
            record |= {
                "status": 500,
                "slug": "internal-error",
                "detail": "Something went wrong; this answer is stored under its key.",
            }
        self._append(record)
        answer = self._answers.find(record["idempotency_key"], record["fingerprint"])
        if answer is None:
            raise AssertionError("an operation was recorded without its answer")
        delays_s = {Lie.TIMEOUT_AFTER: self._options.hang_s, Lie.SLOW: self._options.slow_s}
        return replace(answer, replayed=False, delay_s=delays_s.get(lie, 0.0))

    # --- folding --------------------------------------------------------------------------

    def _append(self, record: journal.Record) -> None:
        if record.get("outcome") not in (None, "pending"):
            record = {"seq": len(self._ledger_records) + 1, **record}
        self._journal.append(record)
        self._fold(record, None)

    def _fold(self, record: journal.Record, untold: dict[str, callbacks.Callback] | None) -> None:
        """Take a record in; `untold` collects callbacks while the past is folded."""
        if "seq" in record:
            self._ledger_records.append(self._record_count)
        self._record_count += 1
        match record["kind"]:
            case "lied":
                self._lied_to.add(record["idempotency_key"])
                return
            case "told":
                if untold is not None:
                    untold.pop(record["callback_id"], None)
                return
            case "verdict":
                self._pending.popleft()
                authorization = self._authorizations[record["authorization_id"]]
                authorization.status = record["outcome"]
                authorization.decline_code = record["decline_code"]
                authorization.operations[0].outcome = record["outcome"]
                authorization.operations[0].decline_code = record["decline_code"]
            case _:
                authorization = self._fold_operation(record)
        callback = self._callback(authorization, record)
        if callback is None:
            return
        if untold is not None:
            untold[callback.id] = callback
        else:
            self.outbox.add_with_faults(callback, self.faults, self._callback_dice)

    def _fold_operation(self, record: journal.Record) -> books.Authorization:
        if record["operation"] == "authorize":
            self._open(record)
        authorization = self._authorizations[record["authorization_id"]]
        done = books.apply(authorization, record)
        key = done.idempotency_key
        self._by_key[key] = done
        self._lied_to.discard(key)
        self._answers.store(key, record["fingerprint"], rules.render(authorization, done, record))
        return authorization

    def _open(self, record: journal.Record) -> None:
        opened = books.Authorization(
            id=record["authorization_id"],
            reference=record["reference"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            token=record["token"],
            callback_url=record["callback_url"],
            expires_at=record["expires_at"],
            status=record["outcome"],
            decline_code=record["decline_code"],
        )
        self._authorizations[opened.id] = opened
        self._by_reference.setdefault(opened.reference, []).append(opened.id)
        if opened.status == "pending":
            due = clock.read(record["at"]) + timedelta(seconds=self._options.pending_s)
            self._pending.append((due, opened.id))

    def _callback(
        self, authorization: books.Authorization, record: journal.Record
    ) -> callbacks.Callback | None:
        outcome = record["outcome"]
        if not authorization.callback_url or outcome == "pending":
            return None
        message_id = replies.derived_id("gcb", record["idempotency_key"], outcome)
        body = {
            "id": message_id,
            "type": f"{books.NOUNS[record['operation']]}.{outcome}",
            "authorization_id": authorization.id,
            "reference": record["reference"],
            "idempotency_key": record["idempotency_key"],
            "occurred_at": record["at"],
        }
        due = clock.read(record["at"]) + timedelta(seconds=self._options.callback_delay_s)
        return callbacks.Callback(
            id=message_id,
            lane=authorization.id,
            url=authorization.callback_url,
            body=replies.dump(body),
            due_at=due,
        )

    def _entries(self, after: int, limit: int) -> Iterator[dict[str, Any]]:
        if after >= len(self._ledger_records):
            return
        for record in self._journal.records(self._ledger_records[max(after, 0)]):
            if "seq" in record:
                if limit <= 0:
                    return
                limit -= 1
                yield {name: value for name, value in record.items() if name not in NOT_IN_LEDGER}
