"""Stored answers to idempotent requests, in memory."""

from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.stored import Answer


class MemoryAnswers:
    """`Answers` in memory. A key in flight is waited for on entering the transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answers = session.tables.answers
        self._ours: set[tuple[str, str]] = set()

    async def claim(self, tenant: str, key: str, fingerprint: str) -> Answer | None:
        await self._session.writes("answers.claim")
        kept = self._answers.get((tenant, key))
        if kept is None:
            self._ours.add((tenant, key))
        return kept

    async def kept(self, tenant: str, key: str) -> Answer | None:
        await self._session.reads("answers.kept")
        return self._answers.get((tenant, key))

    async def keep(self, tenant: str, key: str, answer: Answer) -> None:
        if (tenant, key) not in self._ours:
            raise ValueError(f"the key {key!r} was not claimed in this transaction")
        await self._session.writes("answers.keep")
        kept = Answer(answer.fingerprint, answer.status, dict(answer.headers), answer.body)
        self._answers.put((tenant, key), kept)
