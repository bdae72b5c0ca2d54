"""The carrier's probabilistic lies, all drawn from one seeded source."""

from pydantic import Field

from waybill_sandboxes import callbacks


class Faults(callbacks.CallbackFaults):
    """How often the carrier lies; each a probability in [0, 1]. The default never does."""

    timeout_before_label: float = Field(0.0, ge=0, le=1)
    timeout_after_label: float = Field(0.0, ge=0, le=1)
