"""What stands on the bus under our name, and a person says that we never said it.

Kept by the publisher, by event id, beside its own log: it is not given back, and halts nobody.
What readers of it do is theirs (`waybill_runtime.discarded`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from waybill_events.envelope import Recorded
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Document

DISOWNED = "disowned"
"""The view that keeps what was disowned, by whom and why."""
PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned:
    """Events that a person disowns."""

    events: Sequence[Recorded] = ()
    reason: str = ""
    actor: str = ""


NOTHING_DISOWNED = Disowned()


async def keep(transaction: Transaction, gone: Disowned, at: str) -> None:
    """These were never ours; may be told again."""
    for tenant, group in groupby(sorted(gone.events, key=_tenant), _tenant):
        documents = {}
        for event in group:
            names = ("event_id", "type", "stream", "version", "key")
            told = {each: getattr(event, each) for each in names} | {
                "disowned_because": gone.reason,
                "disowned_by": gone.actor,
                "disowned_at": at,
            }
            documents[_name(event)] = Document(json.dumps(told), attributes={"key": event.key})
        await transaction.documents.put(tenant, DISOWNED, documents)


async def known(transaction: Transaction, events: Sequence[Recorded]) -> frozenset[str]:
    """The ids of those that were disowned."""
    found: set[str] = set()
    for tenant, group in groupby(sorted(events, key=_tenant), _tenant):
        ids = {_name(event): event.event_id for event in group}
        names = sorted(ids)
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            kept = await transaction.documents.get(tenant, DISOWNED, page)
            found.update(ids[name] for name in kept)
    return frozenset(found)


def _tenant(event: Recorded) -> str:
    return event.tenant


def _name(event: Recorded) -> str:
    return hashlib.sha256(event.event_id.encode()).hexdigest()
