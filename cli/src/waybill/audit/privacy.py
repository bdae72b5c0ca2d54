"""What must be nowhere: card numbers, and what the vault knows of who somebody is (I14)."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote_plus

from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Json
from waybill_events.envelope import Recorded

LENGTH_MIN = 6
"""Shorter values say nothing about a person by themselves, and occur by chance."""
ALWAYS = ("name", "email", "phone", "line1")
IN_SEVERAL_WORDS = ("company", "line2", "postal_code")
"""Fields of the vault, and those whose single words and numbers are also the world's."""

_WORD = re.compile(r"\w+")
_FOLDED = bytes(
    32 if at < 128 and not _WORD.match(chr(at)) else ord(chr(at).lower()) if at < 128 else at
    for at in range(256)
)
_LETTER = re.compile(r"[^\W\d_]")
_MAY_BE_CARD = re.compile(r"[2-6]\d{3}(?:[ -]?\d){8}")
"""What every card number begins with: most texts have none, and are done with at once."""
_DIGITS = re.compile(r"(?<![\w.-])\d{4}(?:[ -]?\d{2,6}){2,4}(?![\w-])")
_BRANDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d{2}|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|4[4-9]\d|5\d{2})\d{12,15}"
)
"""Lengths and first digits of the card brands: other long numbers, such as GTINs, are goods."""


def i14_no_personal_data(evidence: Evidence) -> Finding:
    finding = Finding(
        "I14",
        "no card number anywhere, no personal data in events, logs, topics",
        must_see=("events", "messages on the bus", "personal values looked for", "log lines"),
    )
    if evidence.events:
        finding.needs("the recipient vault", evidence.personal, may_be_empty=True)
        finding.needs("the bus", evidence.bus)
        finding.needs("the services' logs", evidence.logs)
    finding.looked("events", len(evidence.events))
    finding.looked("messages on the bus", len(evidence.bus or ()))
    canaries = {value for value in evidence.personal or () if len(value) >= LENGTH_MIN}
    finding.looked("personal values looked for", len(canaries))
    by_word = _by_longest_word(canaries)
    for where, text, event in _texts(evidence, finding):
        if held := _held(text, by_word):
            field = f" in {_field(event, held)}" if event is not None else ""
            finding.violations.append(
                finding.says("personal", f"{where} holds personal data{field}", where)
            )
        if _MAY_BE_CARD.search(text) and any(map(_is_card_number, _DIGITS.findall(text))):
            finding.violations.append(
                finding.says("card", f"{where} holds what looks like a card number", where)
            )
    _erased_is_gone(evidence, finding)
    return finding


def values_of(person: Json) -> Iterator[str]:
    """What of a row of the vault is looked for: what says who somebody is, or where he lives.

    Towns, regions and countries are many people's, and words of other things as well.
    """
    for name in (*ALWAYS, *IN_SEVERAL_WORDS):
        value = str(person.get(name) or "")
        is_telling = len(value.split()) > 1 and _LETTER.search(value)
        if value and (name in ALWAYS or is_telling):
            yield value


def _held(text: str, by_word: Mapping[bytes, Sequence[str]]) -> Sequence[str]:
    """Values that a text holds, as it stands or with its URL encoding undone."""
    for read in _readings(text):
        for word in _words(read) & by_word.keys():
            if held := _among(by_word[word], read):
                return held
    return ()


def _readings(text: str) -> Iterator[str]:
    yield text
    if "%" in text:
        yield unquote_plus(text)
    elif "+" in text:
        yield text.replace("+", " ")


def _among(values: Sequence[str], text: str) -> Sequence[str]:
    """Those that a text holds: a number by itself, all else anywhere, as spelled or in capitals."""
    folded = text.casefold()
    return [
        value
        for value in values
        if (value in folded or value in text) and (not value.isdigit() or _stands(value, text))
    ]


def _stands(number: str, text: str) -> bool:
    """Whether it is no part of another number or word."""
    return re.search(rf"(?<![\w.]){number}(?!\w|\.\d)", text) is not None


def _erased_is_gone(evidence: Evidence, finding: Finding) -> None:
    """Who was forgotten is in the vault no more."""
    if evidence.recipients is None:
        return
    for fact in evidence.of("capture.recipient_erased"):
        finding.looked("recipients erased")
        if fact.data["recipient_ref"] in evidence.recipients:
            finding.violations.append(
                finding.says(
                    "not-erased",
                    f"{fact.data['recipient_ref']} was erased and is in the vault",
                    fact.data["recipient_ref"],
                )
            )


def _texts(evidence: Evidence, finding: Finding) -> Iterator[tuple[str, str, Recorded | None]]:
    """Everything to be searched; a message that is the stored event is searched once."""
    for event in evidence.events:
        yield f"event {event.event_id}", _whole(event), event
    for message in evidence.bus or ():
        kept = evidence.stored.get(message.event.event_id)
        if kept is not message.event and kept != message.event:
            yield f"message {message.place}", _whole(message.event), message.event
    for line in evidence.logs or ():
        finding.looked("log lines")
        yield line.where, line.text, None


def _whole(event: Recorded) -> str:
    """What an event says: its data, and the words of its envelope that others may choose."""
    return f"{event.data} {event.key} {event.causation_id} {event.actor}"


def _field(event: Recorded, values: Sequence[str]) -> str:
    """Where in an event one of these values is: a JSON Pointer, or a word of its envelope."""
    envelope = {"key": event.key, "causationid": event.causation_id, "actor": event.actor}
    try:
        said = [*_strings(json.loads(event.data)), *envelope.items()]
    except (ValueError, RecursionError):
        said = list(envelope.items())
    for where, text in said:
        escaped = json.dumps(text, ensure_ascii=False)
        if any(_among(values, read) for read in (*_readings(text), escaped)):
            return where
    return "its data"


def _strings(said: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Each value, and each name that a value is found under."""
    match said:
        case dict():
            for name, value in said.items():
                yield f"{pointer}/{name}", name
                yield from _strings(value, f"{pointer}/{name}")
        case list():
            for at, value in enumerate(said):
                yield from _strings(value, f"{pointer}/{at}")
        case _:
            yield pointer, str(said)


def _words(text: str) -> set[bytes]:
    """The words of a text, in small letters. What is ASCII, as nearly all is, takes half the time
    this way.
    """
    if text.isascii():
        return set(text.encode().translate(_FOLDED).split())
    return {word.encode() for word in _WORD.findall(text.casefold())}


def _spelled(value: str) -> Iterable[str]:
    """How a value may be written: of a phone the digits, also with 00; all else as JSON does, too.

    E-mail addresses and several words are told in capitals as well; a single word alone, such as
    a name that is a common word, would be found everywhere.
    """
    if re.fullmatch(r"\+\d+", value, re.ASCII):
        return (value[1:], "00" + value[1:])
    if "@" in value or len(value.split()) > 1:
        value = value.casefold()
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _by_longest_word(canaries: Iterable[str]) -> Mapping[bytes, Sequence[str]]:
    """Each value, in every way that it may be written, under its longest word.

    A text is searched for a value only if it has that word: thousands of values against hundreds
    of thousands of texts stay a matter of seconds.
    """
    found: dict[bytes, list[str]] = defaultdict(list)
    for value in canaries:
        for written in _spelled(value):
            if words := _WORD.findall(written.casefold()):
                found[max(words, key=len).encode()].append(written)
    return found


def _is_card_number(text: str) -> bool:
    """A brand's length and first digits, and the check digit (ISO/IEC 7812-1, annex B)."""
    digits = re.sub(r"\D", "", text)
    if not _BRANDS.fullmatch(digits) or len(set(digits)) == 1:
        return False
    values = [int(digit) for digit in reversed(digits)]
    doubled = [d if at % 2 == 0 else sum(divmod(2 * d, 10)) for at, d in enumerate(values)]
    return sum(doubled) % 10 == 0
