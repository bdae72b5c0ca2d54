"""What the oracles found, for people and for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from waybill.audit import told
from waybill.audit.evidence import Finding
from waybill.failure import FAILED, OK, UNCHECKED

SHOWN = 20
_STYLE = {"holds": "green", "violated": "red", "not checked": "yellow"}


EXIT_CODES = {"holds": OK, "violated": FAILED, "not checked": UNCHECKED}


def verdict(findings: Sequence[Finding]) -> str:
    """Of the whole: one violation violates it, and what was not looked at never holds."""
    found = {finding.verdict for finding in findings}
    return next((worst for worst in ("violated", "not checked") if worst in found), "holds")


def exit_code(findings: Sequence[Finding]) -> int:
    """OK when every guarantee holds, FAILED at a violation, UNCHECKED when one was not checked."""
    return EXIT_CODES[verdict(findings)]


def not_checked(findings: Sequence[Finding]) -> list[str]:
    """The guarantees that were not looked at, by name."""
    return [one.guarantee for one in findings if one.verdict == "not checked"]


def as_json(
    at: datetime, findings: Sequence[Finding], notes: Sequence[str], *, settled: bool
) -> Mapping[str, object]:
    """The whole of it, in the form of `told.Told`; violations are never cut short here."""
    return {
        "format": told.FORMAT,
        "at": at.isoformat(),
        "settled": settled,
        "verdict": verdict(findings),
        "passes": verdict(findings) == "holds",
        "not_checked": not_checked(findings),
        "guarantees": [
            {
                **asdict(finding),
                "verdict": finding.verdict,
                "refused": finding.is_refused,
                "unseen": list(finding.unseen),
            }
            for finding in findings
        ],
        "notes": list(notes),
    }


def as_table(findings: Sequence[Finding]) -> Group:
    """One row per guarantee, then violations and notes, the first SHOWN of each and a count."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("guarantee", overflow="fold")
    table.add_column("verdict")
    table.add_column("looked at", overflow="fold")
    for finding in findings:
        style = _STYLE[finding.verdict]
        table.add_row(
            finding.guarantee,
            escape(finding.promise),
            f"[{style}]{finding.verdict}[/]",
            _looked_at(finding),
        )
    return Group(table, *(Text(line, style=style) for line, style in _details(findings)))


def _looked_at(finding: Finding) -> str:
    if finding.missing:
        return f"could not be had: {', '.join(finding.missing)}"
    looked = ", ".join(f"{count:,} {what}" for what, count in finding.looked_at.items() if count)
    if finding.verdict == "not checked":
        return f"none yet: {', '.join(finding.unseen)}" + (looked and f"; {looked}")
    return looked


def _details(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for finding in findings:
        for what, style, texts in (
            ("violations", "red", finding.said),
            ("notes", "dim", finding.notes),
        ):
            if texts:
                lines.append((f"\n{finding.guarantee} {what}: {len(texts):,}", style))
                lines += [(f"  {one}", style) for one in texts[:SHOWN]]
            if len(texts) > SHOWN:
                lines.append((f"  … and {len(texts) - SHOWN:,} more", style))
    return lines
