"""What the readers of a service did with events that its store lacks: for who judges them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from waybill import show, system
from waybill.failure import Failure
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_events.envelope import Recorded
from waybill_runtime import discarded
from waybill_runtime.stored import StoreUnavailable


@dataclass(slots=True)
class Readers:
    """By event id: the services that read it, those that took it, those where it was given up."""

    reading: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    given_up: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def is_taken_by_none(self, event: Recorded) -> bool:
        """Somebody reads it, and nobody took it or gave it up."""
        known = self.taken.keys() | self.given_up.keys()
        return event.event_id in self.reading and event.event_id not in known

    def line(self, event: Recorded) -> str:
        """The event, and what became of it."""
        if names := self.given_up.get(event.event_id):
            told = f"given up in {', '.join(names)}"
        elif names := self.taken.get(event.event_id):
            told = f"taken by {', '.join(names)}"
        elif names := self.reading.get(event.event_id):
            told = f"taken by none of {', '.join(names)}"
        else:
            told = "read by nobody"
        when = event.occurred_at.strftime("%Y-%m-%d %H:%M:%SZ")
        return f"{event.event_id}  {event.stream}@{event.version}  {event.type}  {when}  {told}"


async def readers(found: system.System, name: str, events: Sequence[Recorded]) -> Readers:
    """Ask the stores of the services that read them; one that does not answer is told and missed.

    Taken is a version, whoever said it: a forgery that was applied is taken too.
    """
    answers = Readers()
    for reader, topics in SUBSCRIPTIONS.items():
        theirs = [event for event in events if event.topic in topics]
        if reader == name or not theirs:
            continue
        try:
            async with found.connect(reader) as on, on.store.reading() as reading:
                seen, gone = await discarded.look(reading, reader, theirs)
        except (StoreUnavailable, Failure) as away:
            show.note(f"{reader} was not asked what it took: {away}")
            continue
        for event in theirs:
            answers.reading[event.event_id].append(reader)
            of = gone.get(event.stream)
            if of is not None and event.event_id in of.events.get(event.version, ()):
                answers.given_up[event.event_id].append(reader)
            elif seen.get(event.stream, 0) >= event.version:
                answers.taken[event.event_id].append(reader)
    return answers
