"""Given these events, when this is asked, then those follow: how rules are told in tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from waybill_events.event import Event

C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Spec(Generic[C, S]):
    """One kind of decider, with a history. Every step answers a new Spec; nothing is shared."""

    decide: Callable[[C, S], Sequence[Event]]
    evolve: Callable[[S, Any], S]
    initial: S
    history: tuple[Event, ...] = field(default=())

    def given(self, *events: Event) -> "Spec[C, S]":
        return replace(self, history=(*self.history, *events))

    @property
    def state(self) -> S:
        state = self.initial
        for event in self.history:
            state = self.evolve(state, event)
        return state

    def when(self, command: C) -> "When[C, S]":
        return When(self, command)

    def after(self, *commands: C) -> "Spec[C, S]":
        """The history with what these commands add to it, one after another."""
        spec = self
        for command in commands:
            spec = spec.given(*spec.decide(command, spec.state))
        return spec


@dataclass(frozen=True, slots=True)
class When(Generic[C, S]):
    """A command on a history, to be judged by what follows."""

    spec: Spec[C, S]
    command: C

    @property
    def events(self) -> Sequence[Event]:
        return self.spec.decide(self.command, self.spec.state)

    def then(self, *expected: Event) -> None:
        """Exactly these follow, and the same command again adds nothing."""
        events = tuple(self.events)
        assert events == expected
        assert self.spec.given(*events).when(self.command).events == []

    def then_each_time(self, *expected: Event) -> None:
        """Exactly these follow, each time anew: the command is a fact that may happen again."""
        assert tuple(self.events) == expected

    def then_nothing(self) -> None:
        assert list(self.events) == []

    def then_raises(self, error: type[Exception]) -> str:
        """It is refused by this name; answers what it says."""
        try:
            events = self.events
        except error as refusal:
            return str(refusal)
        raise AssertionError(f"{error.__name__} was expected, and {events} followed")
