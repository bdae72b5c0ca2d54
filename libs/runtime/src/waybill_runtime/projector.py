"""Read models: pure `project(view, event) -> view`, kept by a consumer, rebuilt beside the live.

View and consumer position commit together, so each event is projected once. A rebuild fills the
next generation from offset 0 while the live one is read and written, catches up to the live
position, compares hashes there, and switches. The generation before stays until the next rebuild,
to be looked at; nothing goes back to it: the way back is a rebuild by the release before.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.stored import Document
from waybill_runtime.work import Work

V = TypeVar("V")


def no_attributes(_: object) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Generic[V]):
    """One read model. All functions are pure: the same events give the same bytes, always.

    `key` None leaves the event out; `project` None leaves the view as it is. `attributes` are what
    the view may be found by.
    """

    name: str
    model: TypeAdapter[V]
    handles: Collection[str]
    topics: Collection[str]
    key: Callable[[Recorded, Event], str | None]
    project: Callable[[V | None, Recorded, Event], V | None]
    attributes: Callable[[V], Mapping[str, str]] = no_attributes


AnyView = View[Any]


async def project(
    work: Work, view: AnyView, batch: Sequence[Incoming], generation: int | None = None
) -> int:
    """Fold a batch into a view: one read, one write, however many events; answers how many keys."""
    keyed = [
        (key, incoming)
        for incoming in batch
        if incoming.event.TYPE in view.handles
        and (key := view.key(incoming.recorded, incoming.event)) is not None
    ]
    if not keyed:
        return 0
    documents = work.transaction.documents
    stored = await documents.get(
        work.tenant, view.name, {key for key, _ in keyed}, generation=generation
    )
    bodies: dict[str, Any] = {
        key: view.model.validate_json(document.body) for key, document in stored.items()
    }
    versions = {key: document.version for key, document in stored.items()}
    for key, incoming in keyed:
        after = view.project(bodies.get(key), incoming.recorded, incoming.event)
        if after is not None:
            bodies[key] = after
            versions[key] = versions.get(key, 0) + 1
    changed = {
        key: Document(
            view.model.dump_json(bodies[key]).decode(),
            versions[key],
            view.attributes(bodies[key]),
        )
        for key, _ in keyed
        if key in bodies
    }
    if changed:
        await documents.put(work.tenant, view.name, changed, generation=generation)
    return len(changed)


def projecting(
    views: Sequence[AnyView], then: Handler | None = None, handles: Collection[str] = ()
) -> Handler:
    """A handler that keeps these views and hands `then` what it handles, in one transaction."""
    names = [view.name for view in views]

    async def handle(work: Work, batch: Sequence[Incoming]) -> None:
        if then is not None and (
            concerned := [incoming for incoming in batch if incoming.event.TYPE in handles]
        ):
            await then(work, concerned)
        if names:
            await work.transaction.documents.share_view(names)
        for view in views:
            await project(work, view, batch)

    return handle
