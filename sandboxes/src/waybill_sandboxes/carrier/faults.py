"""The carrier's probabilistic lies, all drawn from one seed."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from waybill_sandboxes import callbacks


class Faults(callbacks.CallbackFaults):
    """How often the carrier lies; each a probability in [0, 1]. The default never does."""

    timeout_before_label: float = Field(0.0, ge=0, le=1)
    timeout_after_label: float = Field(0.0, ge=0, le=1)

    def lies(self) -> Mapping[str, float]:
        """Of one request at most one."""
        return {
            "timeout_before_label": self.timeout_before_label,
            "timeout_after_label": self.timeout_after_label,
        }

    def alternatives(self) -> Sequence[Mapping[str, float]]:
        return (*super().alternatives(), self.lies())
