"""How a bug is planted: a few names of the real code replaced by a wrong variant, and put back.

A bug lives in a function whose docstring says what is wrong. It gives the edits that make it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal
from unittest import mock

Proof = Literal["simulator", "scenario", "postgres", "kafka"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One name, of a module or a class, that means something else for as long as a bug stands."""

    owner: object
    name: str
    wrong: object


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug: what is wrong, what it breaks, and which proof must find it."""

    id: str
    says: str
    breaks: tuple[str, ...]
    by: Proof
    nearest: str
    situation: str
    edits: Callable[[], Iterator[Edit]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The real code with this bug in it. Nothing else in the process may run meanwhile."""
        with ExitStack() as stack:
            for edit in self.edits():
                stack.enter_context(
                    mock.patch.object(
                        edit.owner, edit.name, edit.wrong, create=edit.name.startswith("_")
                    )
                )
            yield


BUGS: dict[str, Bug] = {}
"""Every bug by its id, in the order that its modules were read."""


def bug(
    *breaks: str, by: Proof = "simulator", situation: str = "day", nearest: str = ""
) -> Callable[[Callable[[], Iterator[Edit]]], Bug]:
    """Make a bug of a function.

    `breaks`: the guarantees it must break. `situation`: the day in which the simulator meets it.
    `nearest`: why it stands elsewhere than its name says.
    """

    def made(edits: Callable[[], Iterator[Edit]]) -> Bug:
        id_ = edits.__name__.replace("_", "-")
        says = " ".join((edits.__doc__ or "").split())
        BUGS[id_] = Bug(id_, says, breaks, by, nearest, situation, edits)
        return BUGS[id_]

    return made
