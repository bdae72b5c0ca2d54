"""Lies told to the auditor: the clean story with one thing falsified, and who has to notice."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from waybill.audit.evidence import Evidence, OnBus
from waybill.testing import story
from waybill_events.envelope import Recorded

CLEAN = story.clean()
Telling = Callable[[], Evidence]


@dataclass(frozen=True, slots=True)
class Lie:
    """`guarantee` must be violated, by a text that `names` the thing; `also` see it as well."""

    tell: Telling
    guarantee: str
    names: str
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.tell.__name__


TOLD: list[Lie] = []
"""Every lie of the modules that were imported, in the order they are written down."""


def lie(guarantee: str, names: str, *also: str) -> Callable[[Telling], Telling]:
    """Enter a lie into the list."""

    def enter(tell: Telling) -> Telling:
        TOLD.append(Lie(tell, guarantee, names, also))
        return tell

    return enter


def without(*ids: str) -> Evidence:
    """The story without some events, as if they had never been."""
    return story.with_events(CLEAN, [e for e in CLEAN.events if e.event_id not in ids])


def stored(id_: str) -> Recorded:
    return next(event for event in CLEAN.events if event.event_id == id_)


def on_bus(id_: str) -> OnBus:
    return next(message for message in CLEAN.bus or () if message.event.event_id == id_)


def on_bus_otherwise(id_: str, **changes: Any) -> Evidence:
    """One message says something else than the stored event."""
    message = on_bus(id_)
    other = replace(message, event=replace(message.event, **changes))
    return replace(CLEAN, bus=[other if m is message else m for m in CLEAN.bus or ()])


def in_store_otherwise(id_: str, **changes: Any) -> Evidence:
    """One event was changed in the store; the bus has it as it was."""
    return replace(
        CLEAN,
        events=[replace(e, **changes) if e.event_id == id_ else e for e in CLEAN.events],
    )


def data_of(id_: str, **changes: Any) -> str:
    """An event's data, some of it otherwise; None takes a field away."""
    data = {**json.loads(stored(id_).data), **changes}
    return json.dumps({name: value for name, value in data.items() if value is not None})


def gateway(*more: dict[str, Any], less: str = "") -> Evidence:
    """More in the gateway's ledger, or all of one operation less; numbered anew."""
    kept = [one for one in CLEAN.gateway or () if one["operation"] != less]
    ledger = [{**one, "seq": seq} for seq, one in enumerate([*kept, *more], start=1)]
    return replace(CLEAN, gateway=ledger)
