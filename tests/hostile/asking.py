"""Hostile requests: every operation of one service's OpenAPI document, by schemathesis.

All of its phases: examples, coverage of each boundary, fuzzing, and walks along links. Half of
what it makes is sent with ids, versions and keys that exist, so that it gets past the door.
"""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import schemathesis
from schemathesis.config import (
    ChecksConfig,
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.engine import events, from_schema
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

from waybill.simulation import system

PHASES = ("examples", "coverage", "fuzzing", "stateful")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "problem_document",
)
LEAKS = re.compile(
    r"Traceback|File \"|asyncpg|sqlalchemy|aiokafka|postgres|pydantic|SELECT .* FROM|INSERT INTO"
    r"|127\.0\.0\.1|localhost|/usr/|site-packages",
    re.IGNORECASE,
)


@schemathesis.check
def problem_document(_: Any, response: Any, case: Any) -> None:
    """A refusal is a problem document (RFC 9457) that tells nothing of the inside (S23)."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    text = response.text
    kind = response.headers["content-type"][0]
    assert kind == "application/problem+json", f"refused as {kind}"
    problem = json.loads(text)
    assert problem["type"].startswith("urn:waybill:problem:"), "no type of ours"
    assert problem["status"] == response.status_code, "another status than the answer's"
    assert problem["title"], "no title"
    assert problem["detail"], "no detail"
    leaks = told_of_the_inside(problem["detail"], response.request)
    assert not leaks, f"tells of the inside: {leaks}"


def told_of_the_inside(detail: str, request: Any) -> list[str]:
    """Words of ours in a refusal; not those that the request said itself, which may be named."""
    body = request.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    sent = [str(value) for name, value in request.headers.items() if name.lower() != "host"]
    said = " ".join([unquote(request.path_url), text, *sent])  # where we listen, nobody said
    found = [leak.group() for leak in LEAKS.finditer(detail)]
    return [word for word in found if word.lower() not in said.lower()]


@dataclass(slots=True)
class Tally:
    """What was sent to one service, and what came back."""

    service: str
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """One of each kind, by what it is: how to ask for it again."""

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def classes(self) -> Mapping[str, int]:
        """Answers by the class of their status."""
        found: Counter[str] = Counter()
        for status, count in self.statuses.items():
            found[f"{status // 100}xx"] += count
        return dict(sorted(found.items()))

    @property
    def server_errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 500)


def ask(
    service: str,
    document: Mapping[str, Any],
    url: str,
    known: Mapping[str, Sequence[str]],
    *,
    seed: int,
    examples: int,
    phases: Sequence[str] = PHASES,
) -> Tally:
    """Ask a running service everything; `known` are values that exist, by parameter.

    `examples` bounds what is drawn for each operation in fuzzing, and the walks along links.
    """
    schema = schemathesis.openapi.from_dict(
        dict(document), config=_config(url, seed, examples, phases)
    )
    tally = Tally(service)
    using = _using(known, random.Random(seed))
    schemathesis.hook(using)
    try:
        for event in from_schema(schema).execute():
            _note(tally, event)
    finally:
        schemathesis.hooks.unregister(using)
    return tally


def _config(url: str, seed: int, examples: int, phases: Sequence[str]) -> SchemathesisConfig:
    checks = ChecksConfig()
    checks.update(included_check_names=list(CHECKS))
    # The version is looked at before the body's meaning, the size before either.
    refused = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "428"]
    checks.negative_data_rejection.expected_statuses = refused
    project = ProjectConfig(
        base_url=url,
        headers=dict(system.HEADERS),
        continue_on_failure=True,
        request_timeout=20,
        max_stream_events=1,
        checks=checks,
        generation=GenerationConfig(max_examples=examples, no_shrink=True, database="none"),
        phases=PhasesConfig(coverage=CoveragePhaseConfig(unexpected_methods={"DELETE", "PATCH"})),
    )
    for name in PHASES:
        project.phases.get_by_name(name=name).enabled = name in phases
    return SchemathesisConfig(seed=seed, projects=ProjectsConfig(default=project))


def _using(known: Mapping[str, Sequence[str]], dice: random.Random) -> Callable[..., None]:
    """A hook that puts what exists in half of what is drawn, and a key of its own in most commands.

    What was broken on purpose stays so.
    """
    keys = (f"key-{number}" for number in itertools.count())

    def real(values: Any) -> Any:
        if isinstance(values, list):
            return [real(one) for one in values]
        if not isinstance(values, dict):
            return values
        return {
            name: dice.choice(known[name]) if name in known and dice.random() < 0.5 else real(value)
            for name, value in values.items()
        }

    def before_call(_: Any, case: Any, __: Any) -> None:
        if case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE:
            return
        if case.meta is None or case.meta.phase.name is not TestPhase.STATEFUL:  # that has its own
            there = {
                name: dice.choice(known[name])
                for name in case.path_parameters or ()
                if name in known
            }
            if there and dice.random() < 0.5:
                case.path_parameters = {**case.path_parameters, **there}
            if case.query:
                case.query = real(case.query)
            if isinstance(case.body, dict):
                case.body = real(case.body)
        names = {parameter.name for parameter in case.operation.headers}
        if "If-Match" in names and dice.random() < 0.7:
            case.headers["If-Match"] = dice.choice(known["If-Match"])
        if "Idempotency-Key" in names and dice.random() < 0.8:
            case.headers["Idempotency-Key"] = next(keys)

    return before_call


def _note(tally: Tally, event: events.EngineEvent) -> None:
    if isinstance(event, events.NonFatalError | events.FatalError):
        tally.failures[f"schemathesis itself: {event!r}"[:2000]] = ""
        return
    if not isinstance(event, events.ScenarioFinished):
        return
    recorder = event.recorder
    for case_id, interaction in recorder.interactions.items():
        if interaction.response is None:
            tally.failures[f"no answer: {interaction.request}"[:2000]] = ""
            continue
        tally.statuses[interaction.response.status_code] += 1
        tally.operations[recorder.cases[case_id].value.operation.label] += 1
        tally.phases[event.phase.value] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            label = recorder.cases[case_id].value.operation.label
            failure = check.failure_info.failure
            name = f"{label}: {check.name}: {failure.title}: {failure.message}"[:500]
            tally.failures.setdefault(name, check.failure_info.code_sample[:3000])
