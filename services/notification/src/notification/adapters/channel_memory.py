"""A channel in memory: keeps each message once by its id; refuses or fails where told to."""

from collections.abc import Collection

from notification.ports import ChannelRefused, ChannelUnavailable, Outgoing


class MemoryChannel:
    """`refuses` are addresses; `failures` is how many sends get no answer, though they arrive."""

    def __init__(self, *, refuses: Collection[str] = (), failures: int = 0) -> None:
        self.messages: dict[str, Outgoing] = {}
        self._refuses = refuses
        self._failures = failures

    async def send(self, message: Outgoing) -> str:
        if message.to in self._refuses:
            raise ChannelRefused("no such address")
        self.messages[message.message_id] = message
        if self._failures:
            self._failures -= 1
            raise ChannelUnavailable("no answer")
        return "memory"

    async def close(self) -> None:
        """Nothing is kept open."""
