"""Timers and effects, in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.adapters.memory.tables import JobRow
from waybill_runtime.stored import Backlog, ClaimedJob, Job


class MemoryJobs:
    """`Jobs` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs = session.tables.jobs

    async def schedule(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        await self._session.writes("jobs.schedule")
        for job in jobs:
            self._jobs.put(job.id, JobRow(job, job.due_at))
        self._session.scheduled = True

    async def cancel(self, ids: Collection[str]) -> None:
        await self._session.writes("jobs.cancel")
        for id in ids:
            self._jobs.drop(id)

    async def claim(
        self, kinds: Collection[str], *, limit: int, lease_s: float
    ) -> Sequence[ClaimedJob]:
        await self._session.writes("jobs.claim")
        now = self._session.now
        ready = [
            row for row in self._jobs.values() if row.ready_at <= now and row.job.kind in kinds
        ]
        ready.sort(key=lambda row: (row.ready_at, row.job.id))
        return [self._claim(row, lease_s) for row in ready[:limit]]

    async def finish(self, tokens: Collection[str]) -> int:
        await self._session.writes("jobs.finish")
        ours = [row for token in sorted(set(tokens)) if (row := self._held(token)) is not None]
        for row in ours:
            self._jobs.drop(row.job.id)
        return len(ours)

    async def retry(self, delays_s: Mapping[str, float]) -> None:
        if not delays_s:
            return
        await self._session.writes("jobs.retry")
        for token, delay_s in delays_s.items():
            row = self._held(token)
            if row is not None:
                ready_at = self._session.now + timedelta(seconds=delay_s)
                self._jobs.put(row.job.id, JobRow(row.job, ready_at, row.attempts))
        self._session.scheduled = True

    async def next_due_s(self, kinds: Collection[str]) -> float | None:
        await self._session.reads("jobs.next_due_s")
        ready = [row.ready_at for row in self._jobs.values() if row.job.kind in kinds]
        if not ready:
            return None
        return max(0.0, (min(ready) - self._session.now).total_seconds())

    async def job_backlog(self) -> Mapping[str, Backlog]:
        await self._session.reads("jobs.job_backlog")
        now = self._session.now
        waited: dict[str, list[float]] = {}
        for row in self._jobs.values():
            due_at = row.job.due_at
            if due_at <= now:
                waited.setdefault(row.job.kind, []).append((now - due_at).total_seconds())
        return {kind: Backlog(len(each), max(each)) for kind, each in waited.items()}

    def _claim(self, row: JobRow, lease_s: float) -> ClaimedJob:
        now, job = self._session.now, row.job
        number, attempt = next(self._session.database.sequence), row.attempts + 1
        self._jobs.put(job.id, JobRow(job, now + timedelta(seconds=lease_s), attempt, number))
        return ClaimedJob(
            id=job.id,
            tenant=job.tenant,
            kind=job.kind,
            due_at=job.due_at,
            payload=job.payload,
            attempt=attempt,
            token=f"{number}:{job.id}",
            now=now,
        )

    def _held(self, token: str) -> JobRow | None:
        number, _, id = token.partition(":")
        row = self._jobs.get(id)
        return row if row is not None and row.claim == int(number) else None
