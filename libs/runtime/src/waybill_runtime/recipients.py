"""The people behind `recipient_ref`: who they are is asked of capture's vault, and soon forgotten.

Each service says in a type of its own what of a recipient it takes; no more is kept.
"""

from typing import Protocol, TypeVar

R_co = TypeVar("R_co", covariant=True)


class RecipientsUnavailable(Exception):
    """Nobody could say who the recipient is; ask again later."""


class RecipientErased(Exception):
    """The recipient was forgotten; there is nobody to tell, or to send anything to."""


class Recipients(Protocol[R_co]):
    """The people behind references. What is remembered is remembered briefly."""

    async def read(self, recipient_ref: str) -> R_co:
        """Whom the reference stands for. Personal: never logged, never in an event.

        Raises:
            RecipientErased: nobody any more, or nobody ever.
            RecipientsUnavailable: ask again later.
        """
        ...

    def forget(self, recipient_ref: str) -> None:
        """Drop what is remembered of this one. Unknown ones are fine."""
        ...

    async def close(self) -> None: ...
