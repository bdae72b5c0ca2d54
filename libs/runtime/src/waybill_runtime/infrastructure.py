"""What a service stands on, handed in by whoever composes it: a process, a test, a simulator."""

from dataclasses import dataclass

from waybill_runtime.bus import Bus
from waybill_runtime.clock import Clock
from waybill_runtime.ids import Ids
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.store import Store


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Store, bus, clock, chance, and the request to stop."""

    store: Store
    bus: Bus
    clock: Clock
    ids: Ids
    stopping: Stopping
