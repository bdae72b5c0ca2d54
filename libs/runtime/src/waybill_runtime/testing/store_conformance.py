"""Everything that a store promises, as cases. An adapter subclasses it and supplies `harness`.

No case may be skipped or expected to fail, and each must fail against a store that does nothing
(`noop_store`): an adapter that passes has shown something.
"""

from waybill_runtime.testing.store_cases_consuming import InboxCases, NumberCases, ParkingCases
from waybill_runtime.testing.store_cases_documents import DocumentCases, GenerationCases
from waybill_runtime.testing.store_cases_jobs import JobCases
from waybill_runtime.testing.store_cases_outbox import OutboxCases
from waybill_runtime.testing.store_cases_streams import StreamCases
from waybill_runtime.testing.store_cases_transactions import (
    AnswerCases,
    LeadershipCases,
    MarkingCases,
    TransactionCases,
)


class StoreConformance(
    StreamCases,
    OutboxCases,
    InboxCases,
    ParkingCases,
    NumberCases,
    JobCases,
    DocumentCases,
    GenerationCases,
    AnswerCases,
    TransactionCases,
    MarkingCases,
    LeadershipCases,
):
    """One suite for every adapter: `class TestMyStore(StoreConformance)` with a `harness`."""


CASES = tuple(sorted(name for name in dir(StoreConformance) if name.startswith("test_")))
"""The names of all cases, found by looking, so that a new one is never forgotten."""
