"""People in memory, for tests and simulators."""

from notification.ports import Recipient, RecipientErased


class MemoryRecipients:
    """`people` by reference; somebody who is not there was erased."""

    def __init__(self, people: dict[str, Recipient] | None = None) -> None:
        self.people = people if people is not None else {}

    async def read(self, recipient_ref: str) -> Recipient:
        if recipient_ref not in self.people:
            raise RecipientErased(recipient_ref)
        return self.people[recipient_ref]

    def forget(self, recipient_ref: str) -> None:
        """Nothing is remembered."""

    async def close(self) -> None:
        """Nothing is kept open."""
