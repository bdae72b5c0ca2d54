"""The six services as operators meet them: their views, and each put together by its own root."""

import importlib
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

from pydantic import ValidationError

from waybill import home as homes
from waybill import programs
from waybill.failure import NOT_FOUND, USAGE, Failure
from waybill.system import System

if TYPE_CHECKING:
    from waybill_runtime.infrastructure import Infrastructure
    from waybill_runtime.projector import AnyView
    from waybill_runtime.service import Blueprint

SERVICES = programs.SERVICES


def services(only: str | None) -> Sequence[str]:
    """All services, or the one that was named.

    Raises:
        Failure: there is no such service.
    """
    if only is None:
        return SERVICES
    if only not in SERVICES:
        raise Failure(
            f"There is no service {only}.", f"There is: {', '.join(SERVICES)}.", code=USAGE
        )
    return (only,)


def views(service: str) -> "Sequence[AnyView]":
    """Every view that a service keeps, by name.

    Raises:
        Failure: the service is not installed.
    """
    from waybill_runtime.projector import View

    found = vars(_room(service, "views")).values()
    return sorted((value for value in found if isinstance(value, View)), key=lambda view: view.name)


def find_view(name: str, only: str | None = None) -> "tuple[str, AnyView]":
    """The service that keeps a view, and the view.

    Raises:
        Failure: no service has it, or several have and none was named.
    """
    found = [(s, view) for s in services(only) for view in views(s) if view.name == name]
    if not found:
        known = ", ".join(view.name for s in services(only) for view in views(s))
        raise Failure(f"There is no view {name}.", f"There is: {known}.", code=NOT_FOUND)
    if len(found) > 1:
        owners = ", ".join(service for service, _ in found)
        raise Failure(f"{name} is a view of {owners}.", "Name one with --service.", code=USAGE)
    return found[0]


def compose(service: str, system: System, on: "Infrastructure") -> "Blueprint":
    """A service as its own composition root puts it together; owed the blueprint's `close`.

    Its settings come from the environment, else from what the home knows.

    Raises:
        Failure: the service is not installed, or settings are missing.
    """
    settings_type = _room(service, "settings").Settings
    prefix = f"{service.upper()}_"
    known = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment(service, system).items()
        if name.startswith(prefix) and name not in os.environ
    }
    try:
        settings = settings_type(**known)
    except ValidationError as error:
        named = ", ".join(prefix + str(one["loc"][0]).upper() for one in error.errors())
        raise Failure(
            f"Settings of {service} are missing or wrong: {named}.",
            f"Set its {prefix}… variables, or mount them as files, as the service itself has them.",
            code=USAGE,
        ) from error
    return cast("Blueprint", _room(service, "bootstrap").compose(settings, on))


def environment(service: str, system: System) -> Mapping[str, str]:
    """The variables that `waybill up` gives a service; none without a home of ours."""
    ports = homes.read_json(system.home.path / "ports.json")
    known = {name: port for name, port in ports.items() if isinstance(port, int)}
    if not system.home.exists() or not known.keys() >= set(programs.port_names("none")):
        return {}
    chosen = programs.Chosen(
        bus=cast("Literal['postgres', 'kafka']", system.bus),
        warehouse="none",
        databases={name: system.dsn(name) for name in (*SERVICES, "bus")},
        bootstrap=system.values.get("KAFKA_BOOTSTRAP", ""),
    )
    shop = programs.Shop(chosen, programs.Secrets(system.home), known, str(system.home.path))
    return next(program.env for program in shop.programs() if program.name == service)


def _room(service: str, room: str) -> ModuleType:
    try:
        return importlib.import_module(f"{service}.{room}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(service):
            raise
        raise Failure(
            f"{error.name} is missing: {service} is not installed here, or not whole.",
            "Run `make install`.",
        ) from error
