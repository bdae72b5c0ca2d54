"""The tables of one service's database, the same for every service.

Written by hand twice, here and in `migrations`: a test holds the two equal. Keys, streams and
attributes are COLLATE "C", so that the database sorts text as Python does.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

HEAD = "0002_pre_jobs_have_a_tenant"
"""The revision that this code needs; a test holds it equal to the newest migration."""


def serves(revision: str) -> bool:
    """Whether this code can work on a database at `revision`: its own, or the `pre` right after it.

    A `pre` migration runs while older code is alive, so that a release can be rolled out; after a
    `post`, or further on, nobody promises older code anything.
    """
    number, kind, *_ = revision.split("_")
    ours = int(HEAD.partition("_")[0])
    return revision == HEAD or (int(number) == ours + 1 and kind == "pre")


metadata = sa.MetaData()


def _key(name: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), primary_key=primary_key, nullable=False)


def _tenant() -> sa.Column[str]:
    """As a release that knows of no tenants leaves it, it is the one that there was."""
    kind = sa.Text(collation="C")
    return sa.Column("tenant", kind, nullable=False, server_default=sa.text("'default'"))


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _number(name: str, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(
        name, sa.BigInteger, primary_key=primary_key, autoincrement=False, nullable=nullable
    )


def _json(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """Text that is checked to be JSON and kept byte for byte (`jsonb` would rewrite it)."""
    return sa.Column(name, postgresql.JSON, nullable=nullable)


def _moment(name: str, *, default: str | None = None) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=None if default is None else sa.text(default),
    )


def _position() -> sa.Column[int]:
    return sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True)


streams = sa.Table(
    "streams",
    metadata,
    _key("stream", primary_key=True),
    _key("tenant"),
    _key("category"),
    _key("id"),
    _number("version"),
    _json("snapshot", nullable=True),
    _number("snapshot_version"),
    sa.Index("streams_by_category", "category", "tenant", "stream"),
)

events = sa.Table(
    "events",
    metadata,
    _key("stream", primary_key=True),
    _number("version", primary_key=True),
    sa.Column("event_id", sa.Text(collation="C"), nullable=False),
    _text("tenant"),
    _text("type"),
    _text("topic"),
    _key("key"),
    _moment("occurred_at"),
    _moment("recorded_at", default="now()"),
    _text("causation_id"),
    _text("correlation_id"),
    _text("actor"),
    _text("origin"),
    _json("data"),
    sa.UniqueConstraint("event_id", name="events_event_id_key"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    _position(),
    _key("stream"),
    _number("version"),
    _moment("recorded_at", default="now()"),
)

consumer_position = sa.Table(
    "consumer_position",
    metadata,
    _key("consumer", primary_key=True),
    _key("topic", primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    _number("epoch"),
    _number("next_offset"),
)

inbox = sa.Table(
    "inbox",
    metadata,
    _key("consumer", primary_key=True),
    _key("source", primary_key=True),
    _number("version"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    _key("id", primary_key=True),
    _key("kind"),
    _moment("due_at"),
    _moment("ready_at"),
    _json("payload"),
    sa.Column("attempts", sa.Integer, nullable=False),
    _number("claim", nullable=True),
    _tenant(),
    sa.Index("jobs_ready", "ready_at", "kind"),
)

job_claims = sa.Sequence("job_claims", metadata=metadata)

document = sa.Table(
    "document",
    metadata,
    _key("view", primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    _key("tenant", primary_key=True),
    _key("key", primary_key=True),
    _json("body"),
    _number("version"),
    sa.Column("attributes", postgresql.JSONB, nullable=False),
)

document_attribute = sa.Table(
    "document_attribute",
    metadata,
    _key("view", primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    _key("tenant", primary_key=True),
    _key("name", primary_key=True),
    _key("value", primary_key=True),
    _key("key", primary_key=True),
)

view_generation = sa.Table(
    "view_generation",
    metadata,
    _key("view", primary_key=True),
    sa.Column("live", sa.Integer, nullable=False),
)

answers = sa.Table(
    "answers",
    metadata,
    _key("tenant", primary_key=True),
    _key("key", primary_key=True),
    _text("fingerprint"),
    sa.Column("status", sa.Integer),
    _json("headers", nullable=True),
    sa.Column("body", sa.LargeBinary),
    _moment("claimed_at", default="now()"),
)

parked = sa.Table(
    "parked",
    metadata,
    _position(),
    _key("consumer"),
    _key("key"),
    _text("reason"),
    _text("topic"),
    sa.Column("number", sa.Integer, nullable=False),
    _number("offset"),
    _json("headers"),
    sa.Column("value", sa.LargeBinary, nullable=False),
    _moment("parked_at"),
    _tenant(),
    sa.Index("parked_by_key", "consumer", "key", "position"),
)

numbers = sa.Table(
    "numbers",
    metadata,
    _key("series", primary_key=True),
    _number("next"),
)
