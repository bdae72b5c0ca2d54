"""Recipients in memory, for tests and simulators."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from waybill_runtime.recipients import RecipientErased, RecipientsUnavailable

R = TypeVar("R")


class MemoryRecipients(Generic[R]):
    """`Recipients` in memory; `people` is the vault, which may be changed at any time."""

    def __init__(self, people: Mapping[str, R]) -> None:
        self.people = dict(people)
        self.is_down = False

    async def read(self, recipient_ref: str) -> R:
        if self.is_down:
            raise RecipientsUnavailable("the vault is down")
        if recipient_ref not in self.people:
            raise RecipientErased(recipient_ref)
        return self.people[recipient_ref]

    def forget(self, recipient_ref: str) -> None:
        """Nothing is remembered beside the vault itself."""

    async def close(self) -> None:
        """Nothing is kept open."""
