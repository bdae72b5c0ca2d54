"""`python -m waybill.openapi`: writes each service's OpenAPI document, told by its application.

With `--check` it writes nothing and exits 1 when a file is not what the application says.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from waybill import programs
from waybill.simulation import system
from waybill_events import schemas
from waybill_events.compatibility import APIS
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

CONSUMERS: Mapping[str, Sequence[str]] = {
    "capture": ("storefront", "operator", "services"),
    "inventory": ("storefront", "warehouse", "operator"),
    "payment": ("operator", "gateway"),
    "fulfillment": ("warehouse", "operator", "carrier"),
    "notification": ("operator",),
    "tracking": ("customer", "operator"),
}
"""Who calls each API: roles of keys, and those who come with a token or a signature."""


def documents() -> dict[str, str]:
    """Every document's text by its path in the repository; the same ones each time."""
    loop = SeededLoop.of(1)

    async def told() -> dict[str, str]:
        world = World()
        whole = system.make(world, loop)
        found = {}
        for name in programs.SERVICES:
            on = world.infrastructure(name)
            service = Service(system.COMPOSE[name](whole, on, whole.outside), on)
            document = service.app(KeyRing(on.store, on.clock, system.PEPPER)).openapi()
            document["x-waybill-consumers"] = list(CONSUMERS[name])
            found[f"{APIS}/{name}.json"] = schemas.text(document)
            await service.blueprint.close()
        return found

    return loop.run(told())


def differences(root: Path) -> list[str]:
    """What in the repository at `root` is not as the applications say, one line each."""
    told = documents()
    found = []
    for name, text in told.items():
        path = root / name
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} differs from what the application says")
    known = {root / name for name in told}
    orphans = [path for path in (root / APIS).glob("*.json") if path not in known]
    found.extend(f"{path.relative_to(root)} is the document of no service" for path in orphans)
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
    parser = argparse.ArgumentParser(prog="python -m waybill.openapi", description=__doc__)
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
