"""What of a change to a JSON Schema breaks someone who goes by the old one. Pure.

Narrower breaks whoever still writes as the old schema allowed; wider breaks whoever still reads
as the old schema promised. An enum may grow: readers are told to expect values they do not know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Json = Mapping[str, Any]

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_ANYTHING: Json = {}
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


class Use(Enum):
    """Whose side a schema is on: what we read was written by others, or long ago."""

    EVENT = ("narrower", "wider")
    """Kept for ever and read by others: neither may break."""
    REQUEST = ("narrower",)
    RESPONSE = ("wider",)


@dataclass(frozen=True, slots=True)
class Side:
    """A schema and the document that its references point into."""

    document: Json
    schema: Json

    def at(self, schema: Json | bool) -> "Side":  # noqa: FBT001 - JSON Schema's true and false
        """A part of this schema, its `$ref` followed."""
        if isinstance(schema, bool):
            return Side(self.document, {} if schema else {"not": {}})
        seen = set()
        while (reference := schema.get("$ref")) is not None and reference not in seen:
            seen.add(reference)
            schema = resolve(self.document, reference)
        return Side(self.document, schema)


def resolve(document: Json, reference: str) -> Json:
    """The part of `document` that a reference `#/a/b` names.

    Raises:
        LookupError: there is no such part, or it is in another document.
    """
    if not reference.startswith("#/"):
        raise LookupError(f"{reference} is in another document")
    part: Any = document
    for step in reference[2:].split("/"):
        part = part[step.replace("~1", "/").replace("~0", "~")]
    found: Json = part
    return found


def changes(old: Json, new: Json, use: Use = Use.EVENT) -> list[str]:
    """Each breaking change from one whole schema document to another, with its place."""
    return list(compare(Side(old, old), Side(new, new), use))


def compare(old: Side, new: Side, use: Use, place: str = "") -> Iterator[str]:
    """Each breaking change between two schemas, with its place."""
    yield from _Comparison(use).compare(old.at(old.schema), new.at(new.schema), place)


class _Comparison:
    """One walk over two schemas; a pair that is already being compared is not entered again."""

    def __init__(self, use: Use) -> None:
        self._narrower = "narrower" in use.value
        self._wider = "wider" in use.value
        self._keeps = use is not Use.REQUEST
        # By identity; the schemas themselves are kept so that no identity is used twice.
        self._entered: dict[tuple[int, int], tuple[Json, Json]] = {}

    def compare(self, old: Side, new: Side, place: str) -> Iterator[str]:
        pair = (id(old.schema), id(new.schema))
        if pair in self._entered:
            return
        self._entered[pair] = (old.schema, new.schema)
        old_members, new_members = _members(old), _members(new)
        yield from self._types(old_members, new_members, place)
        for type_, before in old_members.items():
            if after := new_members.get(type_):
                yield from self._one_type(before, after, place)

    def _types(
        self, old: Mapping[str, list[Side]], new: Mapping[str, list[Side]], place: str
    ) -> Iterator[str]:
        before, after = _accepted(old), _accepted(new)
        gone, come = before - after, after - before
        if "number" in after:
            gone -= {"integer"}
        if "number" in before:
            come -= {"integer"}
        if self._narrower and gone:
            yield f"{place or '/'}: may no longer be {_words(gone)}"
        if self._wider and come:
            yield f"{place or '/'}: may now be {_words(come)}"

    def _one_type(self, old: list[Side], new: list[Side], place: str) -> Iterator[str]:
        """Compare what one type may be; alternatives of one type are compared in their order."""
        if self._narrower and len(new) < len(old):
            yield f"{place or '/'}: an alternative was removed"
        if self._wider and len(new) > len(old):
            yield f"{place or '/'}: an alternative was added"
        for before, after in zip(old, new, strict=False):
            yield from self._values(before.schema, after.schema, place)
            yield from self._fields(before, after, place)
            yield from self._items(before, after, place)

    def _values(self, old: Json, new: Json, place: str) -> Iterator[str]:
        here = place or "/"
        before, after = _enum(old), _enum(new)
        if self._narrower and after is not None:
            if before is None:
                yield f"{here}: is now limited to {_words(after)}"
            elif before - after:
                yield f"{here}: no longer allows {_words(before - after)}"
        if self._wider and before is not None and after is None:
            yield f"{here}: may now be anything, not only {_words(before)}"
        if old.get("format") != new.get("format"):
            yield f"{here}: format {old.get('format')} became {new.get('format')}"
        if not self._narrower:
            return
        if new.get("pattern") not in (None, old.get("pattern")):
            yield f"{here}: pattern {old.get('pattern')} became {new['pattern']}"
        for limit, sign in (*((n, 1) for n in _AT_LEAST), *((n, -1) for n in _AT_MOST)):
            if limit in new and (limit not in old or sign * (new[limit] - old[limit]) > 0):
                yield f"{here}: {limit} {old.get(limit, 'none')} became {new[limit]}"
        for word in ("uniqueItems", "multipleOf", "not"):
            if new.get(word) and new.get(word) != old.get(word):
                yield f"{here}: {word} {old.get(word, 'none')} became {new[word]}"

    def _fields(self, old: Side, new: Side, place: str) -> Iterator[str]:
        before, after = old.schema.get("properties", {}), new.schema.get("properties", {})
        needed, needs = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
        closed = new.schema.get("additionalProperties") is False
        for name in before:
            if name not in after:
                if self._keeps or closed:
                    yield f"{place}/{name}: field removed"
                continue
            if self._wider and name in needed - needs:
                yield f"{place}/{name}: field may now be absent"
            yield from self.compare(old.at(before[name]), new.at(after[name]), f"{place}/{name}")
        if self._narrower:
            for name in sorted(needs - needed):
                was = "field made required" if name in before else "new field is required"
                yield f"{place}/{name}: {was}"
            if closed and old.schema.get("additionalProperties") is not False:
                yield f"{place or '/'}: unknown fields are now refused"
        yield from self._part("additionalProperties", old, new, f"{place}/*")

    def _items(self, old: Side, new: Side, place: str) -> Iterator[str]:
        yield from self._part("items", old, new, f"{place}[]")
        before, after = old.schema.get("prefixItems", ()), new.schema.get("prefixItems", ())
        if len(before) != len(after):
            yield f"{place or '/'}: {len(before)} fixed items became {len(after)}"
        for number, (was, now) in enumerate(zip(before, after, strict=False)):
            yield from self.compare(old.at(was), new.at(now), f"{place}[{number}]")

    def _part(self, word: str, old: Side, new: Side, place: str) -> Iterator[str]:
        """Compare a schema that stands under a keyword; none there means that anything goes."""
        before, after = old.schema.get(word, _ANYTHING), new.schema.get(word, _ANYTHING)
        if before is not after and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from self.compare(old.at(before), new.at(after), place)


def _members(side: Side) -> dict[str, list[Side]]:
    """The alternatives of a schema by type, `""` for those that name none."""
    found: dict[str, list[Side]] = {}
    for word in ("anyOf", "oneOf"):
        for part in side.schema.get(word, ()):
            for type_, sides in _members(side.at(part)).items():
                found.setdefault(type_, []).extend(sides)
    if found:
        return found
    parts = [side.at(part).schema for part in side.schema.get("allOf", ())]
    merged = _merged([*parts, side.schema])
    types = merged.get("type", _implied(merged))
    for type_ in [types] if isinstance(types, str) else types:
        found[type_] = [Side(side.document, merged)]
    return found


def _merged(parts: list[Json]) -> Json:
    """One schema that says what all of `allOf` say together."""
    merged: dict[str, Any] = {}
    for part in parts:
        for word, value in part.items():
            if word == "properties":
                merged[word] = {**merged.get(word, {}), **value}
            elif word == "required":
                merged[word] = [*merged.get(word, ()), *value]
            else:
                merged[word] = value
    return merged


def _implied(schema: Json) -> str:
    return "object" if "properties" in schema else ""


def _accepted(members: Mapping[str, object]) -> frozenset[str]:
    return _TYPES if "" in members else frozenset(members)


def _enum(schema: Json) -> frozenset[str] | None:
    """The values allowed, as text; None where any value of the type is."""
    if "const" in schema:
        return frozenset({str(schema["const"])})
    return frozenset(map(str, schema["enum"])) if "enum" in schema else None


def _words(values: frozenset[str]) -> str:
    return ", ".join(sorted(values))
