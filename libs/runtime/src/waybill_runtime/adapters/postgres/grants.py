"""Who may do what in a database of ours: its owner migrates, the application works, a reader looks.

Granted anew after every migration, so that a table never waits for its grants. Nobody but the
owner changes the schema, and nobody at all what happened: an event, or a message on the bus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STORE: Mapping[str, str] = {
    "events": "SELECT, INSERT",
    "streams": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT, DELETE",
    "consumer_position": "SELECT, INSERT, UPDATE",
    "inbox": "SELECT, INSERT, UPDATE, DELETE",
    "parked": "SELECT, INSERT, DELETE",
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "document": "SELECT, INSERT, UPDATE, DELETE",
    "document_attribute": "SELECT, INSERT, DELETE",
    "view_generation": "SELECT, INSERT, UPDATE",
    "answers": "SELECT, INSERT, UPDATE",
    "numbers": "SELECT, INSERT, UPDATE",
    "alembic_version": "SELECT",
}
"""What the application may do with each table of a service: what its statements do, and no more."""

UNSEEN = frozenset({"document", "document_attribute", "answers"})
"""Not for a reader: they hold the vault, the hashes of API keys and answers with tokens in them."""

BUS: Mapping[str, str] = {
    "bus_log": "SELECT, INSERT",
    "bus_partition": "SELECT, INSERT, UPDATE",
    "bus_member": "SELECT, INSERT, UPDATE, DELETE",
    "bus_assignment": "SELECT, INSERT, UPDATE, DELETE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The roles, known to the server already, that are to be let into one database.

    Without a name nobody is. The owner, who grants, needs no grant.
    """

    application: str = ""
    reader: str = ""


def statements(
    tables: Mapping[str, str], database: str, roles: Roles, *, unseen: frozenset[str] = frozenset()
) -> Sequence[str]:
    """What the owner says to the server; may be said again."""
    found = []
    if roles.application:
        role = name(roles.application)
        found += _entry(database, role)
        found += [f"REVOKE ALL ON {name(table)} FROM {role}" for table in tables]
        found += [f"GRANT {verbs} ON {name(table)} TO {role}" for table, verbs in tables.items()]
        found += [f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"]
    if roles.reader:
        role = name(roles.reader)
        found += _entry(database, role)
        seen = ", ".join(name(table) for table in tables if table not in unseen)
        found += [f"GRANT SELECT ON {seen} TO {role}"]
    return found


def name(text: str) -> str:
    """A name as SQL writes it."""
    return '"' + text.replace('"', '""') + '"'


def _entry(database: str, role: str) -> list[str]:
    return [
        f"GRANT CONNECT ON DATABASE {name(database)} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
    ]
