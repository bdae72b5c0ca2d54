"""Old events told in today's words: one pure step per type change, chained until none is left.

A new meaning is a new major type (`….v2`) and a step here from the old one; the old schema and its
example stay in the repository for ever, and a test folds each through the chain.
"""

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]


class Step:
    """From one type string to the next, and how its fields translate."""

    __slots__ = ("becomes", "translate")

    def __init__(self, becomes: str, translate: Callable[[Json], Json]) -> None:
        self.becomes = becomes
        self.translate = translate


STEPS: Mapping[str, Step] = {}
"""By the old type. Empty while every type is still at v1."""


def newest(type_: str, steps: Mapping[str, Step] = STEPS) -> str:
    """The type that an old one has become; a type without a step is its own newest."""
    while step := steps.get(type_):
        type_ = step.becomes
    return type_


def upcast(type_: str, data: Json, steps: Mapping[str, Step] = STEPS) -> tuple[str, Json]:
    """The newest type for an old one, and its fields. A type without a step stays as it is."""
    while step := steps.get(type_):
        type_, data = step.becomes, step.translate(data)
    return type_, data
