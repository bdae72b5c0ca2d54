"""JSON text of an event, and back. Unknown types and broken data have names of their own."""

import json
from collections.abc import Mapping
from typing import cast

from pydantic import ValidationError

from waybill_events.catalogue import CATALOGUE, Entry
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.upcast import STEPS, Step, upcast


class UnknownType(ValueError):
    """A type that this release does not know: perhaps a newer writer's."""


class InvalidEvent(ValueError):
    """Data that no step or model can read; the text says where, printable and without values."""


def encode(event: Event) -> str:
    """The event's JSON text; what is stored, sent and hashed."""
    return event.model_dump_json()


def decode(
    recorded: Recorded,
    catalogue: Mapping[str, Entry] = CATALOGUE,
    steps: Mapping[str, Step] = STEPS,
) -> Event:
    """The event as today's model, upcast where it is older. Made once, and kept on it.

    Raises:
        UnknownType: neither the catalogue nor an upcaster knows the type.
        InvalidEvent: the data is not JSON, trips a step, or does not fit the model. Whatever the
            data of a known type is, nothing else is raised: readers park it, or pass it by.
    """
    is_todays = catalogue is CATALOGUE and steps is STEPS
    if is_todays and recorded.model is not None:
        return cast(Event, recorded.model)
    event = _made(recorded, catalogue, steps)
    if is_todays:
        object.__setattr__(recorded, "model", event)
    return event


def _made(recorded: Recorded, catalogue: Mapping[str, Entry], steps: Mapping[str, Step]) -> Event:
    type_ = recorded.type
    try:
        if type_ in steps:
            type_, data = upcast(type_, json.loads(recorded.data), steps)
            if type_ in catalogue:
                return catalogue[type_].model.model_validate(data)
        elif type_ in catalogue:
            return catalogue[type_].model.model_validate_json(recorded.data)
    except ValidationError as error:
        places = ", ".join(
            "/".join(_printable(part) for part in problem["loc"]) + f": {problem['type']}"
            for problem in error.errors(include_input=False, include_url=False)[:5]
        )
        raise InvalidEvent(f"{recorded.type}: {places}") from error
    except Exception as error:  # what broken data does to a step has many names
        raise InvalidEvent(f"{recorded.type}: {type(error).__name__}") from error
    raise UnknownType(f"type {recorded.type} is not in the catalogue of this release")


def _printable(part: int | str) -> str:
    """One part of a place. Keys of a mapping are the sender's own, and no store takes a NUL."""
    return str(part).encode("unicode_escape").decode("ascii")
