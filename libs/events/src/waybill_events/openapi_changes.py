"""What of a change to an OpenAPI 3.1 document breaks someone who calls by the old one. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from waybill_events import schema_changes
from waybill_events.schema_changes import Json, Side, Use

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_NO_SCHEMA: Json = {}


def changes(old: Json, new: Json) -> list[str]:
    """Each breaking change from one whole document to another, with its operation and place."""
    return [
        f"{method.upper()} {path}{change}"
        for path, method, before in _operations(old)
        for change in _operation(before, _at(new, path, method))
    ]


def consumers(document: Json) -> tuple[str, ...]:
    """Who calls this API, as the document itself says in `x-waybill-consumers`."""
    return tuple(document.get("x-waybill-consumers", ()))


def _operations(document: Json) -> Iterator[tuple[str, str, Side]]:
    for path in document.get("paths", {}):
        for method in _METHODS:
            if operation := _at(document, path, method):
                yield path, method, operation


def _at(document: Json, path: str, method: str) -> Side | None:
    item = document.get("paths", {}).get(path, {})
    if method not in item:
        return None
    parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
    return Side(document, {**item[method], "parameters": parameters})


def _operation(old: Side, new: Side | None) -> Iterator[str]:
    if new is None:
        yield ": removed"
        return
    yield from _parameters(old, new)
    yield from _body(old, new)
    yield from _responses(old, new)
    if _guarded(new) and not _guarded(old):
        yield ": now needs credentials"


def _parameters(old: Side, new: Side) -> Iterator[str]:
    before = {name: _as_meant(was) for name, was in _named_parameters(old).items()}
    after = _named_parameters(new)
    for name, was in before.items():
        if (now := after.get(name)) is None:
            yield f" {name}: parameter removed"
            continue
        if now.schema.get("required") and not was.schema.get("required"):
            yield f" {name}: parameter made required"
        yield from _schemas(was, now, Use.REQUEST, f" {name}")
    for name, now in after.items():
        if name not in before and now.schema.get("required"):
            yield f" {name}: new parameter is required"


def _named_parameters(operation: Side) -> dict[str, Side]:
    found = [operation.at(parameter) for parameter in operation.schema["parameters"]]
    return {f"{side.schema['in']} parameter {side.schema['name']}": side for side in found}


def _as_meant(parameter: Side) -> Side:
    """What an earlier document called required in words alone was required: calls without it were
    refused, so that marking it breaks nobody.
    """
    schema = parameter.schema
    if not str(schema.get("description", "")).startswith("Required"):
        return parameter
    kinds = [one for one in schema["schema"].get("anyOf", ()) if one != {"type": "null"}]
    meant = {**schema["schema"], "anyOf": kinds} if kinds else schema["schema"]
    return Side(parameter.document, {**schema, "required": True, "schema": meant})


def _body(old: Side, new: Side) -> Iterator[str]:
    before, after = _part(old, "requestBody"), _part(new, "requestBody")
    if after.schema.get("required") and not before.schema.get("required"):
        yield " request: a body is now required"
    yield from _content(before, after, Use.REQUEST, " request")


def _responses(old: Side, new: Side) -> Iterator[str]:
    """Compare the answers that a caller goes by; a refusal's status may come and go."""
    before, after = old.schema.get("responses", {}), new.schema.get("responses", {})
    for status, response in before.items():
        place = f" response {status}"
        if status not in after:
            if status[0] in "23":
                yield f"{place}: removed"
            continue
        was, now = old.at(response), new.at(after[status])
        lower = {name.lower() for name in now.schema.get("headers", {})}
        for name in was.schema.get("headers", {}):
            if name.lower() not in lower:
                yield f"{place}: header {name} removed"
        yield from _content(was, now, Use.RESPONSE, place)


def _content(old: Side, new: Side, use: Use, place: str) -> Iterator[str]:
    before, after = old.schema.get("content", {}), new.schema.get("content", {})
    for media_type, was in before.items():
        if media_type not in after:
            yield f"{place}: {media_type} removed"
            continue
        here = place if media_type == "application/json" else f"{place} {media_type}"
        yield from _schemas(old.at(was), new.at(after[media_type]), use, here)


def _schemas(old: Side, new: Side, use: Use, place: str) -> Iterator[str]:
    before, after = _part(old, "schema"), _part(new, "schema")
    for change in schema_changes.compare(before, after, use):
        yield f"{place} {change}"


def _part(side: Side, word: str) -> Side:
    return side.at(side.schema.get(word, _NO_SCHEMA))


def _guarded(operation: Side) -> bool:
    demanded: list[Mapping[str, Any]] = operation.schema.get(
        "security", operation.document.get("security", [])
    )
    return bool(demanded) and {} not in demanded
