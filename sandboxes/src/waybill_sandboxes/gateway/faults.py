"""The gateway's probabilistic lies, all drawn from one seed."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from waybill_sandboxes import callbacks
from waybill_sandboxes.gateway.tokens import Lie


class Faults(callbacks.CallbackFaults):
    """How often the gateway lies; each a probability in [0, 1]. The default never does."""

    timeout_before_charge: float = Field(0.0, ge=0, le=1)
    timeout_after_charge: float = Field(0.0, ge=0, le=1)
    error_before_charge: float = Field(0.0, ge=0, le=1)
    stored_error: float = Field(0.0, ge=0, le=1)

    def lies(self) -> Mapping[Lie, float]:
        """Of one request at most one."""
        return {
            Lie.TIMEOUT_BEFORE: self.timeout_before_charge,
            Lie.ERROR_BEFORE: self.error_before_charge,
            Lie.TIMEOUT_AFTER: self.timeout_after_charge,
            Lie.STORED_ERROR: self.stored_error,
        }

    def alternatives(self) -> Sequence[Mapping[str, float]]:
        return (*super().alternatives(), {str(lie): rate for lie, rate in self.lies().items()})
