"""Stored answers to idempotent requests."""

import json
from typing import TYPE_CHECKING

from waybill_runtime.stored import Answer

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row, Session

# Waits for a request with this key that is still in flight. A claim that was committed without
# an answer is taken over; a row that has its answer is left alone and nothing is returned.
CLAIM = """/* answers.claim */
INSERT INTO answers AS a (tenant, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (tenant, key) DO UPDATE SET fingerprint = excluded.fingerprint
 WHERE a.status IS NULL
RETURNING 1 AS ours
"""

# A claim that was committed without an answer has none.
KEPT = """/* answers.kept */
SELECT fingerprint, status, headers, body FROM answers
 WHERE tenant = $1 AND key = $2 AND status IS NOT NULL
"""

KEEP = """/* answers.keep */
UPDATE answers SET fingerprint = $3, status = $4, headers = $5, body = $6
 WHERE tenant = $1 AND key = $2
"""


class PostgresAnswers:
    """`Answers` in the table answers."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._ours: set[tuple[str, str]] = set()

    async def claim(self, tenant: str, key: str, fingerprint: str) -> Answer | None:
        if await self._session.write(CLAIM, tenant, key, fingerprint):
            self._ours.add((tenant, key))
            return None
        # A statement of its own, so that it sees what the one before waited for.
        return await self.kept(tenant, key)

    async def kept(self, tenant: str, key: str) -> Answer | None:
        rows = await self._session.read(KEPT, tenant, key)
        return None if not rows else _answer(rows[0])

    async def keep(self, tenant: str, key: str, answer: Answer) -> None:
        if (tenant, key) not in self._ours:
            raise ValueError(f"the key {key!r} was not claimed in this transaction")
        headers = json.dumps(dict(answer.headers))
        await self._session.write(
            KEEP, tenant, key, answer.fingerprint, answer.status, headers, answer.body
        )


def _answer(row: "Row") -> Answer:
    return Answer(row["fingerprint"], row["status"], json.loads(row["headers"]), row["body"])
