"""Every kind of fault: its name, what it can strike, how long it lasts, and what does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from waybill.chaos.faults import disks, links, messages, partners, processes, replicas, views
from waybill.chaos.ground import Strike
from waybill.chaos.plan import Kind
from waybill.failure import USAGE, Failure
from waybill.programs import SANDBOXES, SERVICES, BusName
from waybill_events.catalogue import TOPICS
from waybill_runtime.jobs import LEASE_S

DATABASES = tuple(f"{name}.database" for name in SERVICES)
BUS_LINKS = tuple(f"{name}.bus" for name in SERVICES)
PARTNER_LINKS = ("payment.gateway", "fulfillment.carrier")
PARTNERS = ("gateway", "carrier")
PAUSE_S = (2.0, LEASE_S + 15.0)
"""Now and then longer than a job's lease: what wakes then finds its job in other hands."""
ORDER_TOPICS = ("orders", "inventory", "payments", "fulfillment")


@dataclass(frozen=True, slots=True)
class Striking:
    """A kind, and how it strikes and heals. `bus`: only on that bus; empty: on both. `disk`: only
    where Postgres has a small file system of its own.
    """

    kind: Kind
    strike: Strike
    bus: str = ""
    disk: bool = False


def _kind(
    name: str,
    strike: Strike,
    targets: Sequence[str],
    lasts_s: tuple[float, float] = (0.0, 0.0),
    weight: float = 1.0,
    bus: str = "",
    *,
    disk: bool = False,
) -> Striking:
    kind = Kind(name=name, targets=targets, lasts_s=lasts_s, weight=weight)
    return Striking(kind, strike, bus, disk)


_ALL = (
    _kind("service-kill", processes.kill, SERVICES, weight=4),
    _kind("service-stop", processes.stop, SERVICES),
    _kind("service-pause", processes.pause, SERVICES, PAUSE_S, weight=2),
    _kind("postgres-kill", processes.stop_postgres, ("postgres",), weight=2),
    _kind("postgres-fast", processes.stop_postgres, ("postgres",)),
    _kind("postgres-immediate", processes.stop_postgres, ("postgres",)),
    _kind("postgres-pause", processes.pause_postgres, ("postgres",), (1.0, 5.0)),
    _kind("disk-full", disks.fill, ("postgres",), (1.0, 6.0), disk=True),
    _kind("database-cut", links.cut, DATABASES, (0.0, 4.0)),
    _kind("database-slow", links.slow, DATABASES, (2.0, 10.0)),
    _kind("database-black-hole", links.black_hole, DATABASES, (2.0, 15.0)),
    _kind("bus-cut", links.cut, BUS_LINKS, (0.0, 4.0), bus="postgres"),
    _kind("bus-slow", links.slow, BUS_LINKS, (2.0, 10.0), bus="postgres"),
    _kind("bus-black-hole", links.black_hole, BUS_LINKS, (2.0, 15.0), bus="postgres"),
    _kind("bus-sessions-ended", messages.cut_bus, ("bus",), bus="postgres"),
    _kind("broker-stop", processes.restart_broker, ("kafka",), weight=2, bus="kafka"),
    _kind("broker-kill", processes.restart_broker, ("kafka",), weight=2, bus="kafka"),
    _kind("partner-cut", links.cut, PARTNER_LINKS, (0.0, 4.0)),
    _kind("partner-slow", links.slow, PARTNER_LINKS, (2.0, 10.0)),
    _kind("partner-black-hole", links.black_hole, PARTNER_LINKS, (2.0, 10.0)),
    _kind("partner-kill", processes.kill, (*SANDBOXES, "warehouse")),
    _kind("partner-lies", partners.lie, PARTNERS, (3.0, 20.0), weight=2),
    _kind("callbacks-lie", partners.callbacks, PARTNERS, (3.0, 20.0)),
    _kind("duplicates", messages.republish, sorted(TOPICS), weight=2),
    _kind("rewind", messages.rewind, SERVICES),
    _kind("poison", messages.poison, ORDER_TOPICS, (0.5, 3.0)),
    _kind("replica", replicas.add, SERVICES, (3.0, 15.0), weight=2),
    _kind("rebuild", views.rebuild, ("tracking", "capture", "fulfillment", "notification")),
)


def on(bus: BusName, *, disk: bool = False) -> Mapping[str, Striking]:
    """Every kind that this bus allows, by name; `disk`: Postgres has a small one of its own."""
    return {one.kind.name: one for one in _ALL if one.bus in ("", bus) and (disk or not one.disk)}


def chosen(bus: BusName, names: Sequence[str], *, disk: bool = False) -> Mapping[str, Striking]:
    """Those that are named, or all.

    Raises:
        Failure: one is named that there is not.
    """
    known = on(bus, disk=disk)
    if unknown := sorted(set(names) - known.keys()):
        raise Failure(
            f"There is no kind {', '.join(unknown)} here.",
            f"There is: {', '.join(sorted(known))}.",
            code=USAGE,
        )
    return {name: one for name, one in known.items() if not names or name in names}
