"""Everything that a bus promises, as cases. An adapter subclasses it and supplies `harness`.

No case may be skipped or expected to fail, and each must fail against a bus that does nothing
(`noop_bus`): an adapter that passes has shown something.
"""

from waybill_runtime.testing.bus_cases_consuming import ConsumingCases
from waybill_runtime.testing.bus_cases_groups import GroupCases
from waybill_runtime.testing.bus_cases_reading import ReadingCases
from waybill_runtime.testing.bus_cases_sending import SendingCases


class BusConformance(SendingCases, ReadingCases, ConsumingCases, GroupCases):
    """One suite for every adapter: `class TestMyBus(BusConformance)` with a fixture `harness`."""


CASES = tuple(sorted(name for name in dir(BusConformance) if name.startswith("test_")))
"""The names of all cases, found by looking, so that a new one is never forgotten."""
