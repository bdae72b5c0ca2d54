"""Recipients in memory, for tests and simulators."""

from fulfillment.ports import Recipient, RecipientErased, RecipientsUnavailable


class MemoryRecipients:
    """`Recipients` in memory; `people` is the vault, which may be changed at any time."""

    def __init__(self) -> None:
        self.people: dict[str, Recipient] = {}
        self.is_down = False

    async def read(self, recipient_ref: str) -> Recipient:
        if self.is_down:
            raise RecipientsUnavailable("the vault is down")
        if recipient_ref not in self.people:
            raise RecipientErased(recipient_ref)
        return self.people[recipient_ref]

    def forget(self, recipient_ref: str) -> None:
        """Nothing is remembered beside the vault itself."""

    async def close(self) -> None:
        return None
