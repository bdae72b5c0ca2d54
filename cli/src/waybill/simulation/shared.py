"""Each service put together once, for all its lives: what is composed keeps nothing of its own.

FastAPI takes longer to build an application than a day's orders take to go through it. So rules and
routes are built on an infrastructure that stands for the acting node's own: a life brings its
store, bus, clock, keys and caches, and the composition finds them where it runs.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast

from fastapi import FastAPI

from waybill_runtime.bus import Bus
from waybill_runtime.clock import Clock
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.ids import Ids
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.service import Blueprint, Service
from waybill_runtime.store import Store


class Life(Protocol):
    """What one life of a node has to itself."""

    infrastructure: Infrastructure

    @property
    def keys(self) -> KeyRing: ...


ACTING: ContextVar[Life | None] = ContextVar("ACTING", default=None)
"""The life that runs now, inherited by the tasks that it starts."""


@contextmanager
def acting(life: Life | None) -> Generator[None]:
    """What is composed acts as this life within; as none while it is composed."""
    token = ACTING.set(life)
    try:
        yield
    finally:
        ACTING.reset(token)


class Here:
    """Stands for something that each life has of its own.

    A method taken while nobody acts, as a composition takes it, is looked up when it is called.
    """

    def __init__(self, find: Callable[[Any], object]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        life = ACTING.get()
        if life is None:
            return self._later(name)
        return getattr(self._find(life), name)

    def _later(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            return getattr(self._find(ACTING.get()), name)(*given, **named)

        return call

    def __bool__(self) -> bool:
        return bool(self._find(ACTING.get()))


HERE = Infrastructure(
    store=cast(Store, Here(lambda life: life.infrastructure.store)),
    bus=cast(Bus, Here(lambda life: life.infrastructure.bus)),
    clock=cast(Clock, Here(lambda life: life.infrastructure.clock)),
    ids=cast(Ids, Here(lambda life: life.infrastructure.ids)),
    stopping=cast(Stopping, Here(lambda life: life.infrastructure.stopping)),
)


class Compositions:
    """Blueprints and applications by service, made when they are first asked for."""

    def __init__(self, compose: Callable[[str], Blueprint]) -> None:
        """`compose` puts a service together on HERE."""
        self._compose = compose
        self._blueprints: dict[str, Blueprint] = {}
        self._apps: dict[str, FastAPI] = {}

    def blueprint(self, name: str) -> Blueprint:
        if name not in self._blueprints:
            with acting(None):
                self._blueprints[name] = self._compose(name)
        return self._blueprints[name]

    def app(self, name: str) -> FastAPI:
        if name not in self._apps:
            keys = cast(KeyRing, Here(lambda life: life.keys))
            with acting(None):
                self._apps[name] = Service(self.blueprint(name), HERE).app(keys)
        return self._apps[name]
