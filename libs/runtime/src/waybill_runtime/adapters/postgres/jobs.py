"""Timers and effects as rows, due by the database's clock.

`ready_at` is when a job may be claimed: its due time, the end of a lease, or the end of a delay.
The token of a claim is its number, drawn for this claim alone, and the job's id.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from waybill_runtime.stored import Backlog, ClaimedJob, Job

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Session

SCHEDULE = """/* jobs.schedule */
INSERT INTO jobs (id, tenant, kind, due_at, ready_at, payload, attempts, claim)
SELECT id, tenant, kind, due_at, due_at, payload, 0, NULL
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::json[])
    AS j (id, tenant, kind, due_at, payload)
 ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE
   SET tenant = excluded.tenant, kind = excluded.kind, due_at = excluded.due_at,
       ready_at = excluded.ready_at, payload = excluded.payload, attempts = 0, claim = NULL
"""

CANCEL = """/* jobs.cancel */
DELETE FROM jobs WHERE id IN (
  SELECT id FROM jobs WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
)
"""

CLAIM = """/* jobs.claim */
WITH ready AS (
  SELECT id, ready_at AS was_ready_at FROM jobs
   WHERE kind = ANY($1::text[]) AND ready_at <= statement_timestamp()
   ORDER BY ready_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
  UPDATE jobs j
     SET ready_at = statement_timestamp() + make_interval(secs => $3),
         attempts = j.attempts + 1, claim = nextval('job_claims')
    FROM ready r WHERE j.id = r.id
  RETURNING j.id, j.tenant, j.kind, j.due_at, j.payload, j.attempts, j.claim, r.was_ready_at
)
SELECT *, statement_timestamp() AS now FROM claimed ORDER BY was_ready_at, id
"""

FINISH = """/* jobs.finish */
WITH finished AS (
  DELETE FROM jobs j USING unnest($1::text[], $2::bigint[]) AS t (id, claim)
   WHERE j.id = t.id AND j.claim = t.claim RETURNING j.id
)
SELECT count(*) AS count FROM finished
"""

RETRY = """/* jobs.retry */
UPDATE jobs j
   SET ready_at = statement_timestamp() + make_interval(secs => t.delay_s), claim = NULL
  FROM unnest($1::text[], $2::bigint[], $3::float8[]) AS t (id, claim, delay_s)
 WHERE j.id = t.id AND j.claim = t.claim
"""

NEXT_DUE = """/* jobs.next_due_s */
SELECT extract(epoch FROM min(ready_at) - statement_timestamp())::float8 AS due_s
  FROM jobs WHERE kind = ANY($1::text[])
"""

BACKLOG = """/* jobs.job_backlog */
SELECT kind, count(*) AS count,
       extract(epoch FROM statement_timestamp() - min(due_at))::float8 AS oldest_s
  FROM jobs WHERE due_at <= statement_timestamp() GROUP BY kind
"""


class PostgresJobs:
    """`Jobs` in the table jobs."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def schedule(self, jobs: Sequence[Job]) -> None:
        last = list({job.id: job for job in jobs}.values())
        if not last:
            return
        await self._session.write(
            SCHEDULE,
            [job.id for job in last],
            [job.tenant for job in last],
            [job.kind for job in last],
            [job.due_at for job in last],
            [job.payload for job in last],
        )
        self._session.scheduled = True

    async def cancel(self, ids: Collection[str]) -> None:
        if ids:
            await self._session.write(CANCEL, list(ids))

    async def claim(
        self, kinds: Collection[str], *, limit: int, lease_s: float
    ) -> Sequence[ClaimedJob]:
        rows = await self._session.write(CLAIM, list(kinds), limit, lease_s)
        return [
            ClaimedJob(
                id=row["id"],
                tenant=row["tenant"],
                kind=row["kind"],
                due_at=row["due_at"],
                payload=row["payload"],
                attempt=row["attempts"],
                token=f"{row['claim']}:{row['id']}",
                now=row["now"],
            )
            for row in rows
        ]

    async def finish(self, tokens: Collection[str]) -> int:
        if not tokens:
            return 0
        claims = [_claim(token) for token in sorted(set(tokens))]
        ids, numbers = [id for _, id in claims], [number for number, _ in claims]
        (row,) = await self._session.write(FINISH, ids, numbers)
        return int(row["count"])

    async def retry(self, delays_s: Mapping[str, float]) -> None:
        if not delays_s:
            return
        claims = [(*_claim(token), float(delays_s[token])) for token in sorted(delays_s)]
        numbers, ids, delays = zip(*claims, strict=True)
        await self._session.write(RETRY, ids, numbers, delays)
        self._session.scheduled = True

    async def next_due_s(self, kinds: Collection[str]) -> float | None:
        (row,) = await self._session.read(NEXT_DUE, list(kinds))
        return None if row["due_s"] is None else max(0.0, row["due_s"])

    async def job_backlog(self) -> Mapping[str, Backlog]:
        rows = await self._session.read(BACKLOG)
        return {row["kind"]: Backlog(row["count"], max(0.0, row["oldest_s"])) for row in rows}


def _claim(token: str) -> tuple[int, str]:
    number, _, id = token.partition(":")
    return int(number), id
