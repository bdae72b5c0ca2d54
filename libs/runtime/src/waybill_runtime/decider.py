"""What an aggregate's rules look like to the shells that run them.

`decide(command, state) -> events` and `evolve(state, event) -> state` are plain functions
(Chassaing, *Functional Event Sourcing Decider*); the rest is where and how they are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.stored import Job

C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Follow:
    """What a recorded event makes due, and what it makes needless (job ids)."""

    schedule: tuple[Job, ...] = ()
    cancel: tuple[str, ...] = ()


NOTHING = Follow()


def follow_nothing(_: Recorded, __: Event) -> Follow:
    """For aggregates whose events make nothing due."""
    return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider(Generic[C, S]):
    """One kind of stream: its rules, its topic, and what its events make due.

    `key` gives an event's partition key and correlation: the order id, or the SKU for stock.
    `snapshot`, where given, keeps the folded state beside the stream: for long streams only.
    """

    category: str
    topic: str
    initial: S
    decide: Callable[[C, S], Sequence[Event]]
    evolve: Callable[[S, Any], S]
    key: Callable[[Any], str]
    follow: Callable[[Recorded, Event], Follow] = follow_nothing
    snapshot: TypeAdapter[S] | None = None


AnyDecider = Decider[Any, Any]


@dataclass(frozen=True, slots=True)
class Intent:
    """A command, and the stream that is to decide it."""

    decider: AnyDecider
    id: str
    command: object
