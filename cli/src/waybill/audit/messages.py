"""Messages: each one that is due is attempted, once; replays never send (I12)."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Fact

DECIDED = "notification.notification_decided"
SENT = "notification.notification_sent"
SUPPRESSED = "notification.notification_suppressed"
_VERDICTS = (SENT, "notification.notification_failed", SUPPRESSED)
DUE = (
    "capture.order_confirmed",
    "capture.order_rejected",
    "capture.order_expired",
    "capture.order_cancelled",
    "capture.order_lines_cancelled",
    "fulfillment.shipment_dispatched",
    "fulfillment.shipment_delivered",
    "payment.payment_refunded",
)
_MESSAGE_ID = re.compile(r"<?([^@<>\s]+)(?:@[^<>\s]*)?>?")
"""A Message-ID is our id and our name (RFC 5322, section 3.6.4); other channels send the id."""


def i12_each_message_once(evidence: Evidence) -> Finding:
    finding = Finding(
        "I12",
        "each due notification is attempted; replays and imports never send",
        must_see=("decisions", "facts that customers are told", "messages in the sink"),
    )
    decided = evidence.of(DECIDED)
    finding.looked("decisions", len(decided))
    for name in ("dedupe_key", "message_id"):
        for value, n in Counter(fact.data[name] for fact in decided).items():
            if n > 1:
                finding.violations.append(
                    finding.says("decided-twice", f"{value} was decided {n} times", value)
                )
    _once_through_each_channel(evidence, finding)
    _to_whom_it_concerns(evidence, finding)
    _only_the_living_speak(evidence, finding)
    _everybody_is_told(evidence, finding)
    _against_the_sink(evidence, finding, {fact.data["message_id"]: fact for fact in decided})
    return finding


def _once_through_each_channel(evidence: Evidence, finding: Finding) -> None:
    """A fact is told once through each channel, whatever ids and keys its messages have."""
    told: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fact in evidence.of(DECIDED):
        told[fact.data["source_event_id"], fact.data["channel"]].append(fact.data["message_id"])
    for (source, channel), ids in told.items():
        if len(ids) > 1:
            finding.violations.append(
                finding.says(
                    "told-twice", f"{source} is told by {channel} as {', '.join(ids)}", source, *ids
                )
            )


def _to_whom_it_concerns(evidence: Evidence, finding: Finding) -> None:
    """A message is of the order that its fact is of, and goes to that order's recipient."""
    of_fact = {
        fact.recorded.event_id: fact.data.get("order_id")
        for kind in DUE
        for fact in evidence.of(kind)
    }
    recipients = {
        fact.data["order_id"]: fact.data.get("recipient_ref")
        for fact in evidence.of("capture.order_placed")
    }
    for fact in evidence.of(DECIDED):
        message_id, order_id = fact.data["message_id"], fact.data["order_id"]
        source = fact.data["source_event_id"]
        if of_fact.get(source, order_id) != order_id:
            finding.violations.append(
                finding.says(
                    "of-another-order",
                    f"{message_id} is for {order_id} and tells of {source}, of {of_fact[source]}",
                    message_id,
                    order_id,
                )
            )
        said, known = fact.data["recipient_ref"], recipients.get(order_id)
        if known is not None and said != known:
            finding.violations.append(
                finding.says(
                    "to-another",
                    f"{message_id} of {order_id} is for {said}, not {known}",
                    message_id,
                    order_id,
                )
            )


def _only_the_living_speak(evidence: Evidence, finding: Finding) -> None:
    """A message is decided because of a live fact: by its own word, and by that fact's."""
    for fact in evidence.of(DECIDED):
        source = evidence.stored.get(fact.data["source_event_id"])
        origin = fact.recorded.origin if source is None else source.origin
        for said in {fact.recorded.origin, origin} - {"live"}:
            finding.violations.append(
                finding.says(
                    "of-no-live-fact",
                    f"{fact.data['message_id']} came of a {said}",
                    fact.data["message_id"],
                )
            )
        if source is None:
            finding.violations.append(
                finding.says(
                    "of-no-fact",
                    f"{fact.data['message_id']} came of {fact.data['source_event_id']}, in no log",
                    fact.data["message_id"],
                    fact.data["source_event_id"],
                )
            )


def _everybody_is_told(evidence: Evidence, finding: Finding) -> None:
    """Once all is quiet: each fact has its message, and each message its attempt."""
    decided = evidence.of(DECIDED)
    verdicts = Counter(
        fact.data["message_id"] for type_ in _VERDICTS for fact in evidence.of(type_)
    )
    for message_id, n in verdicts.items():
        if n > 1:
            finding.violations.append(
                finding.says("ended-twice", f"{message_id} came to an end {n} times", message_id)
            )
    spoken = {fact.data["source_event_id"] for fact in decided}
    spoken |= {fact.recorded.causation_id for fact in evidence.of(SUPPRESSED)}
    due = [fact.recorded for type_ in DUE for fact in evidence.of(type_)]
    finding.looked("facts that customers are told", len(due))
    if not evidence.require_settled:
        return
    finding.violations += [
        finding.says(
            "never-attempted",
            f"{fact.data['message_id']} was decided and never attempted",
            fact.data["message_id"],
        )
        for fact in decided
        if fact.data["message_id"] not in verdicts
    ]
    finding.violations += [
        finding.says("untold", f"nobody was told of {event.type} {event.event_id}", event.event_id)
        for event in due
        if event.origin == "live" and event.event_id not in spoken
    ]


def _against_the_sink(evidence: Evidence, finding: Finding, decided: Mapping[str, Fact]) -> None:
    """What the log says was sent came to the sink, and what came there somebody decided."""
    if decided:
        finding.needs("the mail sink", evidence.mail, may_be_empty=True)
    if evidence.mail is None:
        return
    came: Counter[str] = Counter()
    for number, message in enumerate(evidence.mail, start=1):
        finding.looked("messages in the sink")
        seq = message.get("seq") or number
        named = _MESSAGE_ID.fullmatch(message.get("message_id") or "")
        if named is not None:
            came[named[1]] += 1
        if evidence.require_settled and (named is None or named[1] not in decided):
            finding.violations.append(
                finding.says(
                    "of-nobody",
                    f"message {seq} of the sink ({message.get('message_id')})"
                    " was decided by nobody",
                    str(seq),
                )
            )
    finding.violations += [
        finding.says(
            "not-in-the-sink",
            f"{fact.data['message_id']} was told as sent, and is not in the sink",
            fact.data["message_id"],
        )
        for fact in evidence.of(SENT)
        if fact.data["message_id"] not in came
    ]
    # SMTP knows no idempotency keys: a send whose answer was lost is sent again, under the same
    # message id, by which mail readers drop the second.
    finding.notes += [f"{m} reached the sink {n} times" for m, n in came.items() if n > 1]
