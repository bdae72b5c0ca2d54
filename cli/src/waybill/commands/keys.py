"""`waybill keys add | list | rotate | revoke`: who may call the services, and until when."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from waybill import record, registry, show, system
from waybill.commands.options import HomeOption, JsonFlag, ServiceOption
from waybill.failure import NOT_FOUND, USAGE, Failure

if TYPE_CHECKING:
    from waybill_runtime.http.auth import Entry, KeyRing
    from waybill_runtime.infrastructure import Infrastructure

app = typer.Typer(name="keys", help="API keys, in every service.", no_args_is_help=True)
IdArgument = Annotated[
    str, typer.Argument(help="A key's id: what stands between wb_ and the next _.")
]


@app.command()
def add(
    name: Annotated[str, typer.Option("--name", help="Whose it is; it stands in every list.")],
    role: Annotated[
        list[str], typer.Option("--role", help="storefront, warehouse, operator, or one scope.")
    ],
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Until when it opens; else for ever.")
    ] = None,
    service: ServiceOption = None,
    home: HomeOption = None,
) -> None:
    """Make a key and print it. It is shown once: only its hash is kept."""
    from waybill_runtime.http.auth import new_key
    from waybill_runtime.program import scopes_of

    record.who()
    key, scopes = new_key(), scopes_of(role)
    _known(scopes)
    until = None if days is None else timedelta(days=days)
    names = registry.services(service)
    system.run(_add(system.find(home), names, key, name, scopes, until))
    typer.echo(key)


@app.command("list")
def list_(
    service: ServiceOption = None,
    as_json: JsonFlag = False,  # noqa: FBT002  a flag of the command line
    home: HomeOption = None,
) -> None:
    """Show every key by id: where it opens what, and until when. Never the key itself."""
    rows = system.run(_rows(system.find(home), registry.services(service)))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        until = row["expires_at"] or "no end"
        show.out.print(f"{row['id']}  {row['service']:<13} {row['name']:<22} {until}", markup=False)


@app.command()
def rotate(
    key_id: IdArgument,
    overlap_h: Annotated[
        int, typer.Option("--overlap-h", min=0, help="Hours for which the old key still opens.")
    ] = 24,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Until when the new one opens.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Make another key that opens the same, print it, and let the old one end after the overlap.

    The new one ends when the old one would have, unless --days says otherwise.
    """
    from waybill_runtime.http.auth import new_key

    record.who()
    key = new_key()
    until = None if days is None else timedelta(days=days)
    ends = system.run(_rotate(system.find(home), key_id, key, timedelta(hours=overlap_h), until))
    typer.echo(key)
    if ends is None:
        show.note("The new key has no end, as the old one had none; --days gives it one.")
    elif days is None:
        show.note(f"The new key ends at {ends.isoformat()}, as the old one did; --days moves it.")


@app.command()
def revoke(key_id: IdArgument, home: HomeOption = None) -> None:
    """Let a key in nowhere any more, within five seconds. It stays in the list."""
    record.who()
    system.run(_end(system.find(home), key_id, timedelta()))


@asynccontextmanager
async def _ring(
    found: system.System, service: str
) -> "AsyncIterator[tuple[KeyRing, Infrastructure]]":
    """The keys of one service, under its own pepper."""
    from waybill_runtime.http.auth import KeyRing

    variable = f"{service.upper()}_KEY_PEPPER"
    pepper = found.values.get(variable) or registry.environment(service, found).get(variable)
    if not pepper:
        raise Failure(
            f"Nothing says under what {service} hashes its keys.", f"Set {variable}.", code=USAGE
        )
    async with found.connect(service) as on:
        yield KeyRing(on.store, on.clock, pepper), on


async def _add(
    found: system.System,
    services: Sequence[str],
    key: str,
    name: str,
    scopes: set[str],
    until: timedelta | None,
) -> None:
    for service in services:
        async with _ring(found, service) as (ring, on):
            ends = None if until is None else on.clock.now() + until
            key_id = await ring.add(key, name=name, scopes=scopes, expires_at=ends)
            record.note("key added", service=service, key_id=key_id, name=name)


async def _rows(found: system.System, services: Sequence[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for service in services:
        async with _ring(found, service) as (ring, _):
            rows += [
                {
                    "id": entry.key_id,
                    "service": service,
                    "name": entry.name,
                    "scopes": list(entry.scopes),
                    "expires_at": entry.expires_at and entry.expires_at.isoformat(),
                }
                for entry in await ring.entries()
            ]
    return sorted(rows, key=lambda row: (str(row["name"]), str(row["id"])))


async def _rotate(
    found: system.System, old_id: str, key: str, overlap: timedelta, until: timedelta | None
) -> datetime | None:
    """The new key opens everywhere before the old one is given an end anywhere; answers its end."""
    old: dict[str, Entry] = {}
    for service in registry.SERVICES:
        async with _ring(found, service) as (ring, on):
            known = {entry.key_id: entry for entry in await ring.entries()}
            entry = known.get(old_id)
            if entry is None or (entry.expires_at and entry.expires_at <= on.clock.now()):
                continue
            old[service] = entry
    if not old:
        raise _unknown(old_id)
    # A rotation that broke off has given the old key its end in some services alone.
    ends = [entry.expires_at for entry in old.values() if entry.expires_at is not None]
    last = max(ends) if len(ends) == len(old) else None
    for service, entry in old.items():
        async with _ring(found, service) as (ring, on):
            expires_at = last if until is None else on.clock.now() + until
            new_id = await ring.add(
                key, name=entry.name, scopes=entry.scopes, expires_at=expires_at
            )
            record.note(
                "key added", service=service, key_id=new_id, name=entry.name, instead_of=old_id
            )
    await _end(found, old_id, overlap)
    return expires_at


async def _end(found: system.System, key_id: str, after: timedelta) -> None:
    known = False
    for service in registry.SERVICES:
        async with _ring(found, service) as (ring, on):
            ends = on.clock.now() + after
            if await ring.expire(key_id, ends):
                known = True
                record.note("key ends", service=service, key_id=key_id, at=ends.isoformat())
    if not known:
        raise _unknown(key_id)


def _known(scopes: set[str]) -> None:
    from waybill_runtime.http.auth import ROLES

    there_are = {scope for role in ROLES.values() for scope in role}
    if wrong := sorted(scopes - there_are):
        remedy = f"There is: {', '.join([*ROLES, *sorted(there_are)])}."
        raise Failure(f"There is no scope {', '.join(wrong)}.", remedy, code=USAGE)


def _unknown(key_id: str) -> Failure:
    return Failure(
        f"No service lets in a key {key_id}.", "See `waybill keys list`.", code=NOT_FOUND
    )
