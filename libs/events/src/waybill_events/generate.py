"""`python -m waybill_events.generate`: writes all that is told from the catalogue.

With `--check` it writes nothing and exits 1 when a file is not what the catalogue says.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from waybill_events import asyncapi, reference, schemas
from waybill_events.catalogue import CATALOGUE
from waybill_events.upcast import STEPS


def documents() -> dict[str, str]:
    """Every generated file's text by its path in the repository."""
    return {
        **schemas.documents(),
        asyncapi.PATH: schemas.text(asyncapi.document()),
        reference.PATH: reference.page(),
    }


def differences(root: Path) -> list[str]:
    """What in the repository at `root` is not as generated, one line each.

    The schema of a type that only upcasters know stays for ever; one that nothing knows is an
    orphan.
    """
    found = []
    for name, text in documents().items():
        path = root / name
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} differs from what the catalogue says")
    known = CATALOGUE.keys() | STEPS.keys()
    orphans = [path for path in (root / schemas.FOLDER).glob("*.json") if path.stem not in known]
    found.extend(f"{path.relative_to(root)} is the schema of no known type" for path in orphans)
    return sorted(found)


def write(root: Path) -> list[str]:
    """Write what differs under `root`; the paths written. Nothing is ever deleted."""
    written = []
    for name, text in documents().items():
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(name)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m waybill_events.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository's root")
    options = parser.parse_args(arguments)
    if options.check:
        found = differences(options.root)
        sys.stdout.writelines(f"{line}\n" for line in found)
        if found:
            sys.stdout.write("run `make schemas` and commit what it writes\n")
        return 1 if found else 0
    sys.stdout.writelines(f"wrote {name}\n" for name in write(options.root))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
