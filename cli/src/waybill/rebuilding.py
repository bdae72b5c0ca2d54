"""One view built again or compared, by one operator at a time, telling how far it is."""

from collections.abc import Callable

from waybill.failure import CONFLICT, FAILED, Failure
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.projector import AnyView
from waybill_runtime.rebuild import Comparison, Incomplete, Progress, Rebuild

Tell = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """For whoever needs no progress."""


async def rebuild(
    on: Infrastructure, service: str, view: AnyView, *, switch: bool, tell: Tell = silent
) -> Comparison:
    """Build the view from offset 0 beside the live one and compare; `switch` makes it live.

    Interrupted, it goes on where it was when called again.

    Raises:
        Failure: somebody else is building the same view, or the log does not give all of it.
    """
    build = Rebuild(view, consumer=service, store=on.store, bus=on.bus, ids=on.ids, switch=switch)
    async with on.store.leadership(f"rebuild:{view.name}") as alone:
        if not alone:
            raise Failure(
                f"{view.name} of {service} is being rebuilt by somebody else.",
                "Try again when that has ended.",
                code=CONFLICT,
            )
        try:
            async for progress in build.run():
                tell(progress)
        except Incomplete as incomplete:
            raise Failure(
                f"{view.name} of {service} was not rebuilt: {incomplete}.",
                "The live view is as it was. See `waybill parked list`, and what the bus has lost.",
                code=FAILED,
            ) from incomplete
    if build.comparison is None:
        raise AssertionError("a rebuild that ended has compared")
    return build.comparison


async def lag(on: Infrastructure, service: str, view: AnyView) -> int:
    """Messages on the view's topics that its service has not taken yet."""
    bounds = await on.bus.bounds(sorted(view.topics))
    async with on.store.reading() as reading:
        positions = await reading.inbox.positions(service)
    return sum(max(0, end - positions.get(partition, 0)) for partition, (_, end) in bounds.items())
