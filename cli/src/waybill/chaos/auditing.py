"""The audit after the storm, by the same command that anyone can run, in a process of its own.

What this run itself planted on the bus is in no store, and I10 says so, message by message. Such a
violation is set aside when its place is one where our poison stands; it is counted, and shown.
"""

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from waybill.audit.evidence import Finding, Violation, place
from waybill.chaos.faults import messages
from waybill.chaos.ground import COMMAND_TIMEOUT_S, Ground
from waybill.failure import FAILED, Failure

STRAY = ("I10", "stray")
AUDIT_S_PER_ORDER = 0.05
"""More than any command has: an audit reads all that ever was, some 0.02 s for an order."""


@dataclass(slots=True)
class Audited:
    """One audit: what each oracle found, and what was set aside because we had planted it."""

    findings: list[Finding]
    notes: list[str] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        return [f"{f.guarantee}: {text}" for f in self.findings for text in f.said]

    @property
    def unchecked(self) -> list[str]:
        """What could not be looked at, and which guarantee wanted it."""
        return [f"{f.guarantee}: {what}" for f in self.findings for what in f.unchecked]


async def audit(ground: Ground) -> Audited:
    """Every guarantee, with nothing flowing any more.

    Raises:
        Failure: the audit itself broke.
    """
    within_s = COMMAND_TIMEOUT_S + AUDIT_S_PER_ORDER * ground.load.next_number
    code, text = await ground.command("audit", "--settled", "--json", within_s=within_s)
    try:
        told = json.loads(text)
    except ValueError:
        raise Failure(f"The audit broke (exit code {code}): {text[-800:]}", code=FAILED) from None
    places = {
        place(partition, offset) for partition, offset in await messages.planted_places(ground)
    }
    audited = Audited([], list(told["notes"]))
    for one in told["guarantees"]:
        finding = Finding.read(one)
        finding.violations, planted = apart(finding.violations, places)
        audited.planted += [one.text for one in planted]
        audited.findings.append(finding)
    return audited


def apart(
    violations: Sequence[Violation], places: Set[str]
) -> tuple[list[Violation], list[Violation]]:
    """What stays a violation, and what stands exactly where we planted something."""
    kept: list[Violation] = []
    planted: list[Violation] = []
    for one in violations:
        is_ours = (one.guarantee, one.what) == STRAY and not places.isdisjoint(one.ids)
        (planted if is_ours else kept).append(one)
    return kept, planted
