"""`python -m waybill_events.compatibility`: does a change break a consumer, and which?

Compares the event schemas, examples and OpenAPI documents of a base (a folder or a git ref) with
those of the working tree. Exits 1 and names the consumers when something breaks.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from waybill_events import openapi_changes, schema_changes, schemas
from waybill_events.schemas import Json

APIS = "docs/reference/openapi"
EXAMPLES = "libs/events/examples"
FOLDERS = (schemas.FOLDER, EXAMPLES, APIS)

Files = Mapping[str, Json]
"""Documents by their path in the repository."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """One change that breaks someone: of which document, what, and whom by name."""

    subject: str
    change: str
    consumers: tuple[str, ...]

    def __str__(self) -> str:
        whom = ", ".join(self.consumers) or "no consumer that we know of"
        return f"{self.subject}: {self.change}\n    breaks {whom}"


def breakages(old: Files, new: Files) -> list[Breakage]:
    """Every breaking change between two states of the repository."""
    found: list[Breakage] = []
    for path, before in sorted(old.items()):
        after = new.get(path)
        if path.startswith(APIS):
            whom = openapi_changes.consumers(before)
            told = openapi_changes.changes(before, after) if after else ["the API was removed"]
        elif path.startswith(EXAMPLES):
            whom = _consumers(old.get(f"{schemas.FOLDER}/{Path(path).parent.name}.json", {}))
            told = _example_changes(before, after)
        else:
            whom = _consumers(before)
            told = _event_changes(before, after)
        found.extend(Breakage(_subject(path), change, whom) for change in told)
    return found


def _subject(path: str) -> str:
    if path.startswith(EXAMPLES):
        return f"{Path(path).parent.name}, example {Path(path).stem}"
    return Path(path).stem


def _consumers(schema: Json) -> tuple[str, ...]:
    return tuple(schema.get("x-waybill", {}).get("consumers", ()))


def _example_changes(old: Json, new: Json | None) -> list[str]:
    """A released example is an event that was once sent: logs hold its like for ever."""
    if new is None:
        return ["the example was removed; what was sent once is read for ever"]
    return [] if new == old else ["the example was changed; add another one beside it"]


def _event_changes(old: Json, new: Json | None) -> list[str]:
    if new is None:
        return ["the type was removed; a type's schema stays for ever"]
    before, after = old.get("x-waybill", {}), new.get("x-waybill", {})
    moved = [
        f"{fact} {before[fact]} became {after.get(fact)}"
        for fact in ("topic", "key")
        if fact in before and before[fact] != after.get(fact)
    ]
    return moved + schema_changes.changes(old, new)


def from_folder(root: Path) -> dict[str, Json]:
    """The documents of a work tree."""
    return {
        path.relative_to(root).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.json"))
    }


def from_git(root: Path, ref: str) -> dict[str, Json]:
    """The documents as they were at a git ref.

    Raises:
        subprocess.CalledProcessError: git does not know the ref.
    """
    names = _git(root, "ls-tree", "-r", "--name-only", "--full-tree", ref, "--", *FOLDERS)
    return {
        name: json.loads(_git(root, "show", f"{ref}:{name}"))
        for name in names.splitlines()
        if name.endswith(".json")
    }


def default_ref(root: Path) -> str | None:
    """Where this branch left origin/main; on main itself the commit before; None if neither is."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        fork = _git(root, "merge-base", "HEAD", "origin/main")
    except (subprocess.CalledProcessError, FileNotFoundError):
        fork = head = ""
    if fork != head:
        return fork
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "HEAD~1")
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed program; the ref comes from whoever runs this
        ["git", "-C", str(root), *arguments],  # noqa: S607 - git is wherever it is installed
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when something breaks, 2 when the base cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m waybill_events.compatibility", description=__doc__
    )
    parser.add_argument("--base", help="a folder or git ref; else where this branch left main")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository's root")
    options = parser.parse_args(arguments)
    base = options.base or default_ref(options.root)
    if base is None:
        sys.stdout.write("nothing to compare with: no origin/main and no earlier commit\n")
        return 0
    try:
        old = from_folder(Path(base)) if Path(base).is_dir() else from_git(options.root, base)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"cannot read the base {base}: {error.stderr.strip()}\n")
        return 2
    found = breakages(old, from_folder(options.root))
    sys.stdout.writelines(f"{breakage}\n" for breakage in found)
    sys.stdout.write(f"{len(old)} documents of {base} compared: {len(found)} breaking changes\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
