"""The audit after the storm, by the same command that anyone can run, in a process of its own.

What this run itself planted on the bus is in no store, and I10 says so, message by message. Such a
line is set aside when it names exactly a place where our poison stands; it is counted, and shown.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from waybill.audit.evidence import Finding
from waybill.chaos.faults import messages
from waybill.chaos.ground import Ground
from waybill.failure import FAILED, Failure

STRAY = "is on the bus and in no store"


@dataclass(slots=True)
class Audited:
    """One audit: what each oracle found, and what was set aside because we had planted it."""

    findings: list[Finding]
    notes: list[str] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        return [f"{f.guarantee}: {line}" for f in self.findings for line in f.violations]

    @property
    def unchecked(self) -> list[str]:
        """What could not be looked at, and which guarantee wanted it."""
        return [f"{f.guarantee}: {what}" for f in self.findings for what in f.unchecked]


async def audit(ground: Ground) -> Audited:
    """Every guarantee, with nothing flowing any more.

    Raises:
        Failure: the audit itself broke.
    """
    code, text = await ground.command("audit", "--settled", "--json")
    try:
        told = json.loads(text)
    except ValueError:
        raise Failure(f"The audit broke (exit code {code}): {text[-800:]}", code=FAILED) from None
    places = [
        f"message {partition.topic}/{partition.number} offset {offset} "
        for partition, offset in await messages.planted_places(ground)
    ]
    audited = Audited([], list(told["notes"]))
    for one in told["guarantees"]:
        kept, planted = apart(one["violations"], places)
        audited.planted += planted
        audited.findings.append(
            Finding(
                one["guarantee"],
                one["promise"],
                one["must_see"],
                looked_at=one["looked_at"],
                violations=kept,
                notes=one["notes"],
                missing=one["missing"],
            )
        )
    return audited


def apart(violations: Sequence[str], places: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stays a violation, and what names exactly a place where we planted something."""
    planted = [
        line for line in violations if line.endswith(STRAY) and line.startswith(tuple(places))
    ]
    return [line for line in violations if line not in planted], planted
