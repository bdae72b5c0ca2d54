"""Documents by view, in generations, with an index row for each attribute.

Attribute rows are hints: `find` checks each document it reads, because a writer that waited for
another one cannot see, and so cannot drop, the rows which that one has just written.
"""

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from waybill_runtime.adapters import digests
from waybill_runtime.adapters.postgres import reads, schema
from waybill_runtime.adapters.postgres.keys import lock_key
from waybill_runtime.stored import Document

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row, Session

BATCH = 10_000

_LIVE = "coalesce({given}::int, (SELECT live FROM view_generation WHERE view = $1), 1)"

GET = f"""/* documents.get */
SELECT key, body, version, attributes, generation FROM document
 WHERE view = $1 AND generation = {_LIVE.format(given="$4")} AND tenant = $2
   AND key = ANY($3::text[])
"""  # noqa: S608 - constants only

# Old rows are locked in sorted order first; an older version than the one there is left out,
# and then its attributes are, too.
PUT = f"""/* documents.put */
WITH target AS (
  SELECT {_LIVE.format(given="$3")} AS generation
), given AS (
  SELECT * FROM unnest($4::text[], $5::json[], $6::bigint[], $7::jsonb[])
      AS g (key, body, version, attributes)
), old AS (
  SELECT key, attributes FROM document
   WHERE view = $1 AND generation = (SELECT generation FROM target) AND tenant = $2
     AND key = ANY($4::text[])
   ORDER BY key FOR NO KEY UPDATE
), written AS (
  INSERT INTO document AS d (view, generation, tenant, key, body, version, attributes)
  SELECT $1, t.generation, $2, g.key, g.body, g.version, g.attributes
    FROM given g, target t
   WHERE (SELECT count(*) FROM old) >= 0
   ORDER BY g.key COLLATE "C"
  ON CONFLICT (view, generation, tenant, key) DO UPDATE
     SET body = excluded.body, version = excluded.version, attributes = excluded.attributes
   WHERE excluded.version >= d.version
  RETURNING key
), gone AS (
  DELETE FROM document_attribute a
   USING old o JOIN written w USING (key) JOIN given g USING (key),
         jsonb_each_text(o.attributes) AS was (name, value), target t
   WHERE a.view = $1 AND a.generation = t.generation AND a.tenant = $2
     AND a.name = was.name AND a.value = was.value AND a.key = o.key
     AND (g.attributes ->> was.name) IS DISTINCT FROM was.value
)
INSERT INTO document_attribute (view, generation, tenant, name, value, key)
SELECT $1, t.generation, $2, now_is.name, now_is.value, g.key
  FROM given g JOIN written w USING (key), target t,
       jsonb_each_text(g.attributes) AS now_is (name, value)
 ORDER BY now_is.name COLLATE "C", now_is.value COLLATE "C", g.key COLLATE "C"
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only

DROP = """/* documents.drop */
WITH dropped AS (
  DELETE FROM document WHERE view = $1 AND tenant = $2 AND key = ANY($3::text[])
  RETURNING generation, key, attributes
)
DELETE FROM document_attribute a
 USING dropped d, jsonb_each_text(d.attributes) AS was (name, value)
 WHERE a.view = $1 AND a.generation = d.generation AND a.tenant = $2
   AND a.name = was.name AND a.value = was.value AND a.key = d.key
"""

GENERATION = """/* documents.generation */
SELECT live FROM view_generation WHERE view = $1
"""

# A statement of its own: those that follow see the generation that the wait was for.
SHARE = """/* documents.share_view */
SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key
"""

LOCK = """/* documents.switch_generation: wait for all who share the view */
SELECT pg_advisory_xact_lock($1)
"""

SWITCH = """/* documents.switch_generation */
INSERT INTO view_generation (view, live) VALUES ($1, $2)
ON CONFLICT (view) DO UPDATE SET live = excluded.live
"""

DROP_DOCUMENTS = """/* documents.drop_generation */
DELETE FROM document WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM document WHERE view = $1 AND generation = $2 LIMIT $3
)) RETURNING 1 AS dropped
"""

DROP_ATTRIBUTES = """/* documents.drop_generation: attributes */
DELETE FROM document_attribute WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM document_attribute WHERE view = $1 AND generation = $2 LIMIT $3
)) RETURNING 1 AS dropped
"""

DIGEST = """/* documents.digest */
WITH part AS (
  SELECT tenant, key,
         ('x' || encode(sha256(convert_to(tenant, 'UTF8') || '\\x00'::bytea
                               || convert_to(key, 'UTF8') || '\\x00'::bytea
                               || convert_to(body::text, 'UTF8') || COALESCE(named, '')),
                        'hex'))::bit(256) AS hash
    FROM document,
         LATERAL (SELECT string_agg('\\x00'::bytea || convert_to(a.name, 'UTF8') || '\\x00'::bytea
                                    || convert_to(a.value, 'UTF8'), ''::bytea
                                    ORDER BY a.name COLLATE "C") AS named
                    FROM jsonb_each_text(attributes) AS a (name, value)) AS told
   WHERE view = $1 AND generation = $2 AND (tenant, key) > ($3::text, $4::text)
   ORDER BY tenant, key LIMIT $5
), last AS (
  SELECT tenant, key FROM part ORDER BY tenant DESC, key DESC LIMIT 1
)
SELECT (SELECT count(*) FROM part) AS count,
       (SELECT bit_xor(hash)::text FROM part) AS hash,
       (SELECT tenant FROM last) AS tenant, (SELECT key FROM last) AS key
"""

DIGEST_INDEX = """/* documents.digest: index rows */
WITH part AS (
  SELECT tenant, name, value, key,
         ('x' || encode(sha256(convert_to(tenant, 'UTF8') || '\\x00'::bytea
                               || convert_to(name, 'UTF8') || '\\x00'::bytea
                               || convert_to(value, 'UTF8') || '\\x00'::bytea
                               || convert_to(key, 'UTF8')), 'hex'))::bit(256) AS hash
    FROM document_attribute
   WHERE view = $1 AND generation = $2
     AND (tenant, name, value, key) > ($3::text, $4::text, $5::text, $6::text)
   ORDER BY tenant, name, value, key LIMIT $7
), last AS (
  SELECT tenant, name, value, key FROM part
   ORDER BY tenant DESC, name DESC, value DESC, key DESC LIMIT 1
)
SELECT (SELECT count(*) FROM part) AS count,
       (SELECT bit_xor(hash)::text FROM part) AS hash,
       (SELECT tenant FROM last) AS tenant, (SELECT name FROM last) AS name,
       (SELECT value FROM last) AS value, (SELECT key FROM last) AS key
"""


class PostgresDocuments:
    """`Documents` in the tables document, document_attribute and view_generation."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def get(
        self, tenant: str, view: str, keys: Collection[str], *, generation: int | None = None
    ) -> Mapping[str, Document]:
        if not keys:
            return {}
        rows = await self._session.read(GET, view, tenant, list(keys), generation)
        return {row["key"]: _document(row) for row in rows}

    async def put(
        self,
        tenant: str,
        view: str,
        documents: Mapping[str, Document],
        *,
        generation: int | None = None,
    ) -> None:
        if not documents:
            return
        await self._session.write(
            PUT,
            view,
            tenant,
            generation,
            list(documents),
            [document.body for document in documents.values()],
            [document.version for document in documents.values()],
            [json.dumps(dict(document.attributes)) for document in documents.values()],
        )

    async def drop(self, tenant: str, view: str, keys: Collection[str]) -> None:
        if keys:
            await self._session.write(DROP, view, tenant, list(keys))

    async def find(
        self,
        tenant: str,
        view: str,
        attributes: Mapping[str, str],
        *,
        after: str | None = None,
        descending: bool = False,
        limit: int = 20,
    ) -> Sequence[tuple[str, Document]]:
        statement = _find(len(attributes), after is not None, descending)
        values: dict[str, object] = {"tenant": tenant, "view": view, "after": after}
        for place, (name, value) in enumerate(attributes.items()):
            values |= {f"name_{place}": name, f"value_{place}": value}
        values |= {"attributes": json.dumps(dict(attributes)), "count": limit}
        rows = await statement.read(self._session, **values)
        return [(row["key"], _document(row)) for row in rows]

    async def generation(self, view: str) -> int:
        rows = await self._session.read(GENERATION, view)
        return int(rows[0]["live"]) if rows else 1

    async def share_view(self, views: Collection[str]) -> None:
        if views:
            locks = sorted({lock_key("view", view) for view in views})
            await self._session.write(SHARE, locks)

    async def switch_generation(self, view: str, generation: int) -> None:
        await self._session.write(LOCK, lock_key("view", view))
        await self._session.write(SWITCH, view, generation)

    async def drop_generation(self, view: str, generation: int) -> None:
        if generation == await self.generation(view):
            raise ValueError(f"generation {generation} of {view} is live")
        for statement in (DROP_DOCUMENTS, DROP_ATTRIBUTES):
            while len(await self._session.write(statement, view, generation, BATCH)) == BATCH:
                continue

    async def digest(self, view: str, generation: int) -> tuple[str, int]:
        documents, number = await self._digest(DIGEST, ("tenant", "key"), view, generation)
        index, _ = await self._digest(
            DIGEST_INDEX, ("tenant", "name", "value", "key"), view, generation
        )
        return digests.text(documents ^ index), number

    async def _digest(
        self, statement: str, order: Sequence[str], view: str, generation: int
    ) -> tuple[int, int]:
        """The digest over all rows, a batch at a time in this order, and how many they are."""
        after, number, digest = [""] * len(order), 0, digests.EMPTY
        while True:
            (row,) = await self._session.read(statement, view, generation, *after, BATCH)
            if row["count"]:
                digest ^= int(row["hash"], 2)
                number += row["count"]
            if row["count"] < BATCH:
                return digest, number
            after = [row[name] for name in order]


def _document(row: "Row") -> Document:
    attributes = json.loads(row["attributes"])
    return Document(row["body"], row["version"], attributes, row["generation"])


@functools.cache
def _find(attributes: int, has_after: bool, descending: bool) -> reads.Read:  # noqa: FBT001
    """`find` for so many attributes: an index row for each, and the document to check them."""
    documents, generations = schema.document, schema.view_generation
    view = sa.bindparam("view", type_=sa.Text)
    tenant = sa.bindparam("tenant", type_=sa.Text)
    live = sa.select(generations.c.live).where(generations.c.view == view).scalar_subquery()
    generation = sa.func.coalesce(live, sa.literal_column("1"))
    statement = sa.select(
        documents.c.key,
        documents.c.body,
        documents.c.version,
        documents.c.attributes,
        documents.c.generation,
    ).where(
        documents.c.view == view,
        documents.c.generation == generation,
        documents.c.tenant == tenant,
    )
    key = documents.c.key
    for place in range(attributes):
        index = schema.document_attribute.alias()
        # Pages begin within the first attribute's rows, which lie in the order of their keys.
        key = index.c.key if place == 0 else key
        statement = statement.where(
            index.c.view == view,
            index.c.generation == generation,
            index.c.tenant == tenant,
            index.c.name == sa.bindparam(f"name_{place}", type_=sa.Text),
            index.c.value == sa.bindparam(f"value_{place}", type_=sa.Text),
            index.c.key == documents.c.key,
        )
    if attributes:
        wanted = sa.bindparam("attributes", type_=sa.Text).cast(postgresql.JSONB)
        statement = statement.where(documents.c.attributes.contains(wanted))
    if has_after:
        after = sa.bindparam("after", type_=sa.Text)
        beyond = key < after if descending else key > after
        statement = statement.where(beyond)
    order = key.desc() if descending else key.asc()
    statement = statement.order_by(order).limit(sa.bindparam("count", type_=sa.BigInteger))
    return reads.compiled("documents.find", statement)
