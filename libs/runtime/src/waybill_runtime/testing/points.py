"""Labelled points around every durable action, on any adapters: where a test may crash a service.

A durable action is whatever passes a port: a transaction that wrote, a leadership taken, messages
sent, a position told to the bus, a call outside. Nothing of this stands in production code: the
ports themselves are wrapped, and the label is found by who calls them (decision 0017).
"""

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from types import CodeType
from typing import Any, Final, Literal, Protocol, TypeVar, cast

from waybill_runtime.bus import (
    Bus,
    BusUnavailable,
    Consumer,
    Delivery,
    Listener,
    Message,
    Partition,
    Producer,
)
from waybill_runtime.facets import Answers, Documents, Inbox, Jobs, Numbers, Parking, Streams
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Committed, CommitUnknown, StoreUnavailable

P = TypeVar("P")

Moment = Literal["before", "after"]

PASSED_OVER: Final = ("waybill_runtime.transact", "waybill_runtime.http.idempotency")
"""Modules that run a transaction for somebody else: the point is named after that somebody."""

DETAILED: Final = ("consumer.apply", "jobs.claim", "jobs.record", "jobs.put_off")
"""Sites that stand for many actions: the topics applied, or the kinds of the jobs, are added."""

_WRITES: Final[Mapping[str, frozenset[str]]] = {
    "streams": frozenset({"append", "published", "unpublish"}),
    "inbox": frozenset({"take", "advance", "mark", "restart", "forget"}),
    "jobs": frozenset({"schedule", "cancel", "finish", "retry"}),
    "documents": frozenset({"put", "drop", "switch_generation", "drop_generation"}),
    "answers": frozenset({"keep"}),
    "parking": frozenset({"park", "unpark"}),
    "numbers": frozenset({"take_numbers"}),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One moment beside one durable action.

    `label` is `<service>/<module>.<function>`, with a detail where one place does many things:
    `payment/jobs.record payment.capture`, `payment/gateway.capture`, `capture/api.place`. `error`
    is what the port itself would raise here.
    """

    label: str
    moment: Moment
    error: Callable[[str], Exception]


class Hook(Protocol):
    """Called at every point, in the task that acts. It may raise, wait, or never return."""

    async def __call__(self, point: Point) -> None: ...


def watch(on: Infrastructure, service: str, hook: Hook) -> Infrastructure:
    """The same infrastructure, with its store and its bus telling `hook` of each point."""
    return replace(
        on, store=WatchedStore(on.store, service, hook), bus=WatchedBus(on.bus, service, hook)
    )


def watched(
    port: P, label: str, hook: Hook, *, error: Callable[[str], Exception] = RuntimeError
) -> P:
    """A port of one service to the outside: each of its calls is an action, `<label>.<method>`.

    `error` is what the port says when it fails; the default is a surprise.
    """
    return cast(P, _WatchedPort(port, label, hook, error))


class WatchedStore:
    """A store whose transactions that wrote, and leaderships, have points around them.

    `before` stands inside the transaction, when all is written and nothing committed; of a mark,
    which is committed as it is made, both points stand behind it.
    """

    def __init__(self, inner: Store, service: str, hook: Hook) -> None:
        self.inner = inner
        self._service = service
        self._hook = hook
        self._kinds: dict[str, str] = {}

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction(_site(), self.inner.transaction)

    def marking(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction(_site(), self.inner.marking)

    @asynccontextmanager
    async def _transaction(
        self, site: str, begin: Callable[[], AbstractAsyncContextManager[Transaction]]
    ) -> AsyncIterator[Transaction]:
        labels: Sequence[str] = ()
        async with begin() as transaction:
            deeds = _Deeds(self._kinds)
            yield _WatchedTransaction(transaction, deeds)
            labels = deeds.labels(f"{self._service}/{site}", detailed=site in DETAILED)
            for label in labels:
                await self._hook(Point(label, "before", StoreUnavailable))
        for label in labels:
            await self._hook(Point(label, "after", CommitUnknown))

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self.inner.reading()

    def now(self) -> datetime:
        return self.inner.now()

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        self.inner.on_commit(listener)

    def leadership(self, name: str, *, insist_s: float = 0.0) -> AbstractAsyncContextManager[bool]:
        return self._leadership(f"{self._service}/{_site()} leadership", name, insist_s)

    @asynccontextmanager
    async def _leadership(self, label: str, name: str, insist_s: float) -> AsyncIterator[bool]:
        await self._hook(Point(label, "before", StoreUnavailable))
        async with self.inner.leadership(name, insist_s=insist_s) as leads:
            if leads:
                await self._hook(Point(label, "after", StoreUnavailable))
            yield leads

    async def still_leader(self, name: str) -> bool:
        return await self.inner.still_leader(name)

    async def ping(self) -> None:
        await self.inner.ping()

    async def close(self) -> None:
        await self.inner.close()


class _Deeds:
    """What one transaction has written, as far as its label needs it."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self._kinds = kinds
        self._wrote = False
        self._details: set[str] = set()

    def note(self, facet: str, method: str, arguments: Sequence[Any], answer: Any) -> None:
        self._wrote = self._wrote or method in _WRITES[facet]
        match facet, method:
            case "inbox", "advance":
                self._details.update(partition.topic for partition in answer)
            case "jobs", "claim":
                self._wrote = self._wrote or bool(answer)
                self._kinds.update({job.token: job.kind for job in answer})
                self._details.update(job.kind for job in answer)
            case "jobs", "finish" | "retry":
                known = [token for token in arguments[0] if token in self._kinds]
                self._details.update(self._kinds[token] for token in known)

    def labels(self, label: str, *, detailed: bool) -> Sequence[str]:
        """Each label of this transaction; none when nothing was written."""
        if not self._wrote:
            return ()
        if not detailed or not self._details:
            return (label,)
        return tuple(f"{label} {detail}" for detail in sorted(self._details))


class _WatchedTransaction:
    """All facets of one transaction, noting what they are asked."""

    def __init__(self, inner: Transaction, deeds: _Deeds) -> None:
        self.streams = cast(Streams, _Noted(inner.streams, "streams", deeds))
        self.inbox = cast(Inbox, _Noted(inner.inbox, "inbox", deeds))
        self.jobs = cast(Jobs, _Noted(inner.jobs, "jobs", deeds))
        self.documents = cast(Documents, _Noted(inner.documents, "documents", deeds))
        self.answers = cast(Answers, _Noted(inner.answers, "answers", deeds))
        self.parking = cast(Parking, _Noted(inner.parking, "parking", deeds))
        self.numbers = cast(Numbers, _Noted(inner.numbers, "numbers", deeds))


class _Noted:
    """A facet that tells what it was asked and what it answered."""

    def __init__(self, facet: object, name: str, deeds: _Deeds) -> None:
        self._facet = facet
        self._name = name
        self._deeds = deeds

    def __getattr__(self, method: str) -> Any:
        ask = getattr(self._facet, method)
        if not inspect.iscoroutinefunction(ask):
            return ask

        async def noted(*arguments: Any, **named: Any) -> Any:
            answer = await ask(*arguments, **named)
            self._deeds.note(self._name, method, arguments, answer)
            return answer

        return noted


class WatchedBus:
    """A bus with points around what is sent, and around positions told to it."""

    def __init__(self, inner: Bus, service: str, hook: Hook) -> None:
        self.inner = inner
        self._service = service
        self._hook = hook

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        await self.inner.ensure_topics(topics)

    async def producer(self) -> Producer:
        return _WatchedProducer(await self.inner.producer(), self._service, self._hook)

    async def consumer(self, group: str, topics: Sequence[str], listener: Listener) -> Consumer:
        inner = await self.inner.consumer(group, topics, listener)
        return _WatchedConsumer(inner, self._service, self._hook)

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        return await self.inner.read(partition, offset, limit)

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        return await self.inner.bounds(topics)

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        label = f"{self._service}/{_site()}"
        await self._hook(Point(label, "before", BusUnavailable))
        await self.inner.cut(firsts)
        await self._hook(Point(label, "after", BusUnavailable))

    async def ping(self) -> None:
        await self.inner.ping()

    async def close(self) -> None:
        await self.inner.close()


class _WatchedProducer:
    def __init__(self, inner: Producer, service: str, hook: Hook) -> None:
        self._inner = inner
        self._service = service
        self._hook = hook

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        label = f"{self._service}/{_site()}"
        await self._hook(Point(label, "before", BusUnavailable))
        await self._inner.send(messages, deadline_s=deadline_s)
        await self._hook(Point(label, "after", BusUnavailable))

    async def close(self) -> None:
        await self._inner.close()


class _WatchedConsumer:
    def __init__(self, inner: Consumer, service: str, hook: Hook) -> None:
        self._inner = inner
        self._service = service
        self._hook = hook

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        return await self._inner.poll(max_messages=max_messages, timeout_s=timeout_s)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        label = f"{self._service}/{_site()}"
        await self._hook(Point(label, "before", BusUnavailable))
        await self._inner.commit(offsets)
        await self._hook(Point(label, "after", BusUnavailable))

    async def close(self) -> None:
        await self._inner.close()


class _WatchedPort:
    """Any port to the outside. What is no coroutine function is passed on as it is."""

    def __init__(
        self, port: object, label: str, hook: Hook, error: Callable[[str], Exception]
    ) -> None:
        self._port = port
        self._label = label
        self._hook = hook
        self._error = error

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)
        if method == "close" or not inspect.iscoroutinefunction(call):
            return call
        label = f"{self._label}.{method}"

        async def acting(*arguments: Any, **named: Any) -> Any:
            await self._hook(Point(label, "before", self._error))
            answer = await call(*arguments, **named)
            await self._hook(Point(label, "after", self._error))
            return answer

        return acting


def _site() -> str:
    """Who uses the port, as `<module>.<function>`: an API's command is named by its endpoint.

    An awaiting coroutine stands in the stack of the one that it awaits, so the frames tell.
    """
    frame = sys._getframe(2)
    while frame.f_globals["__name__"] in PASSED_OVER and frame.f_back is not None:
        frame = frame.f_back
    module: str = frame.f_globals["__name__"]
    if module.endswith(".api"):
        while frame.f_back is not None and frame.f_back.f_globals["__name__"] == module:
            frame = frame.f_back
    return f"{module.rpartition('.')[2]}.{_name(frame.f_code)}"


def _name(code: CodeType) -> str:
    """A function's name without the mark of what is private."""
    return code.co_name.lstrip("_")
