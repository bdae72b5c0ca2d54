"""Messages: each one that is due is attempted, once; replays never send (I12)."""

from collections import Counter

from waybill.audit.evidence import Evidence, Finding

_VERDICTS = (
    "notification.notification_sent",
    "notification.notification_failed",
    "notification.notification_suppressed",
)
_DUE = (
    "capture.order_confirmed",
    "capture.order_rejected",
    "capture.order_expired",
    "capture.order_cancelled",
    "fulfillment.shipment_dispatched",
    "fulfillment.shipment_delivered",
)


def i12_each_message_once(evidence: Evidence) -> Finding:
    finding = Finding("I12", "each due notification is attempted; replays and imports never send")
    decided = evidence.of("notification.notification_decided")
    keys = Counter(fact.data["dedupe_key"] for fact in decided)
    finding.looked("decisions", len(decided))
    finding.violations += [f"{key} was decided {n} times" for key, n in keys.items() if n > 1]
    answered = {fact.data["message_id"] for type_ in _VERDICTS for fact in evidence.of(type_)}
    for fact in decided:
        if fact.data["message_id"] not in answered and evidence.require_settled:
            finding.violations.append(f"{fact.data['message_id']} was decided and never attempted")
        if fact.recorded.origin != "live":
            finding.violations.append(f"{fact.data['message_id']} came of a {fact.recorded.origin}")
    spoken = {fact.data["source_event_id"] for fact in decided}
    suppressed = {fact.recorded.causation_id for fact in evidence.of(_VERDICTS[2])}
    for type_ in _DUE:
        for fact in evidence.of(type_):
            finding.looked("facts that customers are told")
            event_id = fact.recorded.event_id
            told = event_id in spoken or event_id in suppressed
            if evidence.require_settled and fact.recorded.origin == "live" and not told:
                finding.violations.append(f"nobody was told of {fact.recorded.type} {event_id}")
    if decided:
        finding.needs("the mail sink", evidence.mail)
    mails = Counter(m["message_id"] for m in evidence.mail or () if m.get("message_id"))
    finding.looked("messages in the sink", sum(mails.values()))
    # SMTP knows no idempotency keys: a send whose answer was lost is sent again, under the same
    # message id, by which mail readers drop the second.
    finding.notes += [f"{m} reached the sink {n} times" for m, n in mails.items() if n > 1]
    return finding
