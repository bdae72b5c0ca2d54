"""Documents by view, in generations, in memory."""

from collections.abc import Collection, Mapping, Sequence

from waybill_runtime.adapters import digests
from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.stored import Document


class MemoryDocuments:
    """`Documents` in memory. Sharing a view takes nothing: transactions are serialised."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._documents = session.tables.documents
        self._generations = session.tables.generations

    async def get(
        self, tenant: str, view: str, keys: Collection[str], *, generation: int | None = None
    ) -> Mapping[str, Document]:
        await self._session.reads("documents.get")
        at = self._live(view) if generation is None else generation
        found = {key: self._documents.get((view, at, tenant, key)) for key in keys}
        return {key: document for key, document in found.items() if document is not None}

    async def put(
        self,
        tenant: str,
        view: str,
        documents: Mapping[str, Document],
        *,
        generation: int | None = None,
    ) -> None:
        await self._session.writes("documents.put")
        at = self._live(view) if generation is None else generation
        for key, document in documents.items():
            before = self._documents.get((view, at, tenant, key))
            if before is None or document.version >= before.version:
                kept = Document(document.body, document.version, dict(document.attributes), at)
                self._documents.put((view, at, tenant, key), kept)

    async def drop(self, tenant: str, view: str, keys: Collection[str]) -> None:
        await self._session.writes("documents.drop")
        wanted = set(keys)
        for place in [place for place, _ in self._documents.items()]:
            if place[0] == view and place[2] == tenant and place[3] in wanted:
                self._documents.drop(place)

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
        await self._session.reads("documents.find")
        place = (view, self._live(view), tenant)
        wanted = attributes.items()
        found = [
            (key, document)
            for (*where, key), document in self._documents.items()
            if tuple(where) == place and wanted <= document.attributes.items()
        ]
        if after is not None:
            found = [each for each in found if (each[0] < after if descending else each[0] > after)]
        return sorted(found, key=lambda each: each[0], reverse=descending)[:limit]

    async def generation(self, view: str) -> int:
        await self._session.reads("documents.generation")
        return self._live(view)

    async def share_view(self, views: Collection[str]) -> None:
        await self._session.writes("documents.share_view")

    async def switch_generation(self, view: str, generation: int) -> None:
        await self._session.writes("documents.switch_generation")
        self._generations.put(view, generation)

    async def drop_generation(self, view: str, generation: int) -> None:
        await self._session.writes("documents.drop_generation")
        if generation == self._live(view):
            raise ValueError(f"generation {generation} of {view} is live")
        for place in [place for place, _ in self._documents.items()]:
            if place[:2] == (view, generation):
                self._documents.drop(place)

    async def digest(self, view: str, generation: int) -> tuple[str, int]:
        await self._session.reads("documents.digest")
        digest, number = digests.EMPTY, 0
        for (of_view, of_generation, tenant, key), document in self._documents.items():
            if (of_view, of_generation) == (view, generation):
                digest ^= digests.of_document(tenant, key, document.body, document.attributes)
                number += 1
        return digests.text(digest), number

    def _live(self, view: str) -> int:
        return self._generations.get(view) or 1
