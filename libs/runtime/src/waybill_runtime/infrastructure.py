"""What a service stands on, handed in by whoever composes it: a process, a test, a simulator."""

from dataclasses import dataclass, field

from waybill_runtime.bus import Bus
from waybill_runtime.clock import Clock
from waybill_runtime.ids import Ids
from waybill_runtime.lifecycle import Failing, Stopping
from waybill_runtime.store import Store


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Store, bus, clock, chance, the request to stop, and which parts fail."""

    store: Store
    bus: Bus
    clock: Clock
    ids: Ids
    stopping: Stopping
    failing: Failing = field(default_factory=Failing)
