"""Cases: documents, their attributes, their generations, their digest."""

import asyncio
from collections.abc import Mapping

from waybill_runtime.store import Store
from waybill_runtime.stored import Document
from waybill_runtime.testing.store_harness import StoreHarness, Undo, refused

VIEW = "orders"


async def _put(
    store: Store,
    documents: Mapping[str, Document],
    *,
    tenant: str = "default",
    into: int | None = 1,
) -> None:
    async with store.transaction() as transaction:
        await transaction.documents.put(tenant, VIEW, documents, generation=into)


async def _get(store: Store, key: str, *, tenant: str = "default", of: int | None = None) -> str:
    """The body, or what is missing instead of it."""
    async with store.reading() as reading:
        found = await reading.documents.get(tenant, VIEW, [key], generation=of)
    return found[key].body if key in found else "nothing"


async def _find(store: Store, *, after: str | None = None, **attributes: str) -> list[str]:
    async with store.reading() as reading:
        found = await reading.documents.find("default", VIEW, attributes, after=after)
    return [key for key, _ in found]


async def _digest(store: Store, generation: int) -> tuple[str, int]:
    async with store.reading() as reading:
        return await reading.documents.digest(VIEW, generation)


def _places(found: Mapping[str, Document]) -> list[tuple[str, int]]:
    return [(key, document.generation) for key, document in found.items()]


def _bodies(**bodies: str) -> dict[str, Document]:
    return {key: Document(body) for key, body in bodies.items()}


class DocumentCases:
    """What `Documents` promises."""

    async def test_a_document_comes_back_as_it_was_put(self, harness: StoreHarness) -> None:
        store = await harness.open()
        document = Document('{"b":  1.0, "a": "🧾\\u00e9"}', 7, {"status": "placed", "ref": "ü"})
        await _put(store, {"k1": document})
        async with store.reading() as reading:
            assert await reading.documents.get("default", VIEW, ["k1", "k2"]) == {"k1": document}

    async def test_a_newer_version_replaces_and_an_older_does_not(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        for version in (2, 3, 1):
            document = Document(f'{{"v": {version}}}', version, {"v": str(version)})
            await _put(store, {"k1": document})
        assert await _get(store, "k1") == '{"v": 3}'
        assert await _find(store, v="3") == ["k1"]
        assert await _find(store, v="1") == []

    async def test_the_same_version_may_be_put_again(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, _bodies(k1='{"n": 1}'))
        await _put(store, _bodies(k1='{"n": 2}'))
        assert await _get(store, "k1") == '{"n": 2}'

    async def test_tenants_are_apart(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, _bodies(k1="1"))
        await _put(store, _bodies(k1="2"), tenant="other")
        assert (await _get(store, "k1"), await _get(store, "k1", tenant="other")) == ("1", "2")
        assert await _find(store) == ["k1"]

    async def test_a_dropped_document_is_gone_from_every_generation(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"a": "x"}), "k2": Document("2", 1, {"a": "x"})})
        await _put(store, _bodies(k1="1"), into=2)
        async with store.transaction() as transaction:
            await transaction.documents.drop("default", VIEW, ["k1", "unknown"])
        assert await _find(store, a="x") == ["k2"]
        assert (await _get(store, "k1"), await _get(store, "k1", of=2)) == ("nothing", "nothing")

    async def test_documents_are_found_by_all_their_attributes(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(
            store,
            {
                "k1": Document("1", 1, {"status": "placed", "channel": "web"}),
                "k2": Document("2", 1, {"status": "placed", "channel": "shop"}),
                "k3": Document("3", 1, {"status": "closed", "channel": "web"}),
                "k4": Document("4", 1, {}),
            },
        )
        assert await _find(store, status="placed") == ["k1", "k2"]
        assert await _find(store, status="placed", channel="web") == ["k1"]
        assert await _find(store, status="web") == []
        assert await _find(store) == ["k1", "k2", "k3", "k4"]

    async def test_a_tenant_finds_its_own_documents_once(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"a": "x"})})
        theirs = {key: Document("2", 1, {"a": "x"}) for key in ("k1", "k2")}
        await _put(store, theirs, tenant="other")
        for tenant, body, keys in (("default", "1", ["k1"]), ("other", "2", ["k1", "k2"])):
            async with store.reading() as reading:
                found = await reading.documents.find(tenant, VIEW, {"a": "x"})
            assert [(key, document.body) for key, document in found] == [(k, body) for k in keys]

    async def test_a_document_is_found_only_by_what_it_is_now(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"status": "placed", "channel": "web"})})
        await _put(store, {"k1": Document("2", 2, {"status": "closed", "channel": "web"})})
        assert await _find(store, status="placed") == []
        assert await _find(store, status="closed", channel="web") == ["k1"]

    async def test_pages_go_on_after_a_key_in_both_directions(self, harness: StoreHarness) -> None:
        store = await harness.open()
        keys = ["A", "Z", "a", "b", "é", "🧾"]
        await _put(store, {key: Document("1", 1, {"all": "yes"}) for key in keys})

        async def pages(*, descending: bool) -> list[list[str]]:
            async with store.reading() as reading:
                found: list[list[str]] = []
                after: str | None = None
                for _ in range(3):
                    page = await reading.documents.find(
                        "default", VIEW, {"all": "yes"}, after=after, descending=descending, limit=2
                    )
                    found.append([key for key, _ in page])
                    after = found[-1][-1] if found[-1] else None
            return found

        assert await pages(descending=False) == [["A", "Z"], ["a", "b"], ["é", "🧾"]]
        assert await pages(descending=True) == [["🧾", "é"], ["b", "a"], ["Z", "A"]]

    async def test_many_documents_are_put_at_once(self, harness: StoreHarness) -> None:
        store = await harness.open()
        many = {
            f"k{n:04}": Document(f'{{"n": {n}}}', 1, {"last": str(n % 10)}) for n in range(1_000)
        }
        await _put(store, many)
        assert await _find(store, last="7", after="k0500") == [
            f"k{n:04}" for n in range(507, 700, 10)
        ]

    async def test_a_rolled_back_put_is_found_by_nobody(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"a": "x"})})

        async def undone() -> None:
            async with store.transaction() as transaction:
                documents = {"k1": Document("2", 2, {"a": "y"}), "k2": Document("2", 1, {"a": "x"})}
                await transaction.documents.put("default", VIEW, documents)
                found = await transaction.documents.find("default", VIEW, {"a": "y"})
                assert [key for key, _ in found] == ["k1"]
                raise Undo

        await refused(Undo, undone())
        assert (await _find(store, a="x"), await _find(store, a="y")) == (["k1"], [])

    async def test_writers_of_the_same_documents_leave_no_stale_attribute(
        self, harness: StoreHarness
    ) -> None:
        stores = [await harness.open(), await harness.open()]

        async def writer(number: int) -> None:
            for turn in range(8):
                state = str((number + turn) % 3)
                keys = ["k1", "k2"] if number % 2 else ["k2", "k1"]
                await _put(
                    stores[number % 2], {key: Document(state, 1, {"s": state}) for key in keys}
                )

        await asyncio.gather(*(writer(number) for number in range(4)))
        for key in ("k1", "k2"):
            state = await _get(stores[0], key)
            found = [s for s in ("0", "1", "2") if key in await _find(stores[0], s=s)]
            assert found == [state]


class GenerationCases:
    """What `Documents` promises of generations."""

    async def test_generations_are_isolated(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 5, {"a": "x"})})
        await _put(store, {"k1": Document("2", 3, {"a": "y"})}, into=2)
        assert (await _get(store, "k1"), await _get(store, "k1", of=2)) == ("1", "2")
        assert (await _find(store, a="x"), await _find(store, a="y")) == (["k1"], [])

    async def test_a_switch_makes_another_generation_live(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        await _put(one, {"k1": Document("1", 5, {"a": "x"})}, into=None)
        await _put(one, {"k1": Document("2", 3, {"a": "y"})}, into=2)
        async with one.transaction() as transaction:
            assert await transaction.documents.generation(VIEW) == 1
            await transaction.documents.switch_generation(VIEW, 2)
        async with other.reading() as reading:
            assert await reading.documents.generation(VIEW) == 2
            assert await reading.documents.generation("another") == 1
        assert (await _get(other, "k1"), await _find(other, a="y")) == ("2", ["k1"])
        assert await _get(other, "k1", of=1) == "1"

    async def test_a_document_tells_the_generation_it_is_of(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 7, {"a": "x"})})
        await _put(store, {"k1": Document("2", 3, {"a": "x"})}, into=2)
        for live in (1, 2):
            async with store.transaction() as transaction:
                documents = transaction.documents
                await documents.switch_generation(VIEW, live)
                read = await documents.get("default", VIEW, ["k1"])
                assert _places(read) == [("k1", live)]
                found = dict(await documents.find("default", VIEW, {"a": "x"}))
                assert _places(found) == [("k1", live)]
                before = await documents.get("default", VIEW, ["k1"], generation=1)
                assert _places(before) == [("k1", 1)]

    async def test_a_switch_waits_for_those_who_share(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        shared = asyncio.Event()
        seen: list[object] = []

        async def sharer() -> None:
            async with one.transaction() as transaction:
                await transaction.documents.share_view([VIEW, "another"])
                shared.set()
                for _ in range(3):
                    seen.append(await transaction.documents.generation(VIEW))
                    await asyncio.sleep(0.05)
            seen.append("shared no longer")

        async def switcher() -> None:
            await shared.wait()
            async with other.transaction() as transaction:
                await transaction.documents.switch_generation(VIEW, 2)
                seen.append(await transaction.documents.generation(VIEW))

        await asyncio.gather(sharer(), switcher())
        assert seen[:3] == [1, 1, 1]
        assert 2 in seen[3:]

    async def test_those_who_share_after_a_switch_see_the_new_generation(
        self, harness: StoreHarness
    ) -> None:
        one, other = await harness.open(), await harness.open()
        switched = asyncio.Event()

        async def switcher() -> None:
            async with one.transaction() as transaction:
                await transaction.documents.switch_generation(VIEW, 2)
                switched.set()
                await asyncio.sleep(0.1)

        async def sharer() -> int:
            await switched.wait()
            async with other.transaction() as transaction:
                await transaction.documents.share_view([VIEW])
                await transaction.documents.put("default", VIEW, _bodies(k1="1"))
                return await transaction.documents.generation(VIEW)

        _, seen = await asyncio.gather(switcher(), sharer())
        assert seen == 2
        assert (await _get(one, "k1", of=2), await _get(one, "k1", of=1)) == ("1", "nothing")

    async def test_sharers_do_not_wait_for_each_other(self, harness: StoreHarness) -> None:
        store = await harness.open()

        async def sharer() -> int:
            async with store.transaction() as transaction:
                await transaction.documents.share_view([VIEW, "another"])
                return await transaction.documents.generation(VIEW)

        await _put(store, _bodies(k1="1"))
        assert await asyncio.gather(*(sharer() for _ in range(4))) == [1, 1, 1, 1]
        assert await _get(store, "k1") == "1"

    async def test_a_dropped_generation_is_gone_and_the_others_stay(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"a": "x"})})
        await _put(store, {"k1": Document("2", 1, {"a": "x"})}, into=2)
        await _put(store, _bodies(k1="3"), into=2, tenant="other")
        async with store.transaction() as transaction:
            await transaction.documents.drop_generation(VIEW, 2)
        assert (await _get(store, "k1", of=2), await _find(store, a="x")) == ("nothing", ["k1"])
        assert (await _digest(store, 2))[1] == 0

    async def test_the_live_generation_is_never_dropped(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, _bodies(k1="1"))

        async def drop() -> None:
            async with store.transaction() as transaction:
                await transaction.documents.drop_generation(VIEW, 1)

        await refused(ValueError, drop())
        assert await _get(store, "k1") == "1"

    async def test_a_digest_does_not_depend_on_the_order(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, _bodies(k1="1", k2="2", k3="3"))
        for key, body in (("k3", "3"), ("k1", "0"), ("k2", "2"), ("k1", "1")):
            await _put(store, _bodies(**{key: body}), into=2)
        assert await _digest(store, 1) == await _digest(store, 2)
        assert (await _digest(store, 1))[1] == 3

    async def test_a_digest_tells_other_bodies_keys_and_numbers(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        variants: tuple[dict[str, Document], ...] = (
            _bodies(k1="1", k2="2"),
            _bodies(k1="1", k2="3"),
            _bodies(k1="2", k2="1"),
            _bodies(k1="1", k3="2"),
            _bodies(k1="1"),
            {},
        )
        for generation, documents in enumerate(variants, 1):
            await _put(store, documents, into=generation)
        digests = [await _digest(store, generation) for generation in range(1, 7)]
        assert len({digest for digest, _ in digests}) == 6
        assert [number for _, number in digests] == [2, 2, 2, 2, 1, 0]

    async def test_a_digest_tells_other_attributes(self, harness: StoreHarness) -> None:
        """What a document is found by is as much of a view as what it says."""
        store = await harness.open()
        variants: tuple[dict[str, str], ...] = (
            {"status": "placed", "ref": "ü"},
            {"status": "ended", "ref": "ü"},
            {"status": "ü", "ref": "placed"},
            {"status": "placed"},
            {},
        )
        for generation, attributes in enumerate(variants, 1):
            await _put(store, {"k1": Document("1", 1, attributes)}, into=generation)
        digests = [await _digest(store, generation) for generation in range(1, 6)]
        assert len({digest for digest, _ in digests}) == 5

    async def test_a_digest_does_not_tell_how_attributes_came_to_be(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await _put(store, {"k1": Document("1", 1, {"status": "placed", "old": "1"})})
        await _put(store, {"k1": Document("2", 2, {"status": "ended", "ref": "1"})})
        await _put(store, {"k1": Document("2", 2, {"ref": "1", "status": "ended"})}, into=2)
        assert await _digest(store, 1) == await _digest(store, 2)
        assert (await _digest(store, 1))[1] == 1

    async def test_the_digest_is_the_one_that_is_written_down(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _put(store, _bodies(k1='{"a":  "é"}'))
        await _put(store, _bodies(k1="[]"), tenant="other")
        assert await _digest(store, 1) == (DIGEST, 2)
        await _put(store, {"k1": Document("1", 1, {"b": "ü", "a": "2"})}, into=2)
        assert await _digest(store, 2) == (DIGEST_OF_FOUND, 1)


DIGEST = "217e349ea82b6b15f25131735131c40947ce4a5260e1a8a05a8fec41433e4d43"
DIGEST_OF_FOUND = "936529ed956f3a6d7ab22c2971bebc7c6e8a6bcc1d5e982b756c5e5889a184a8"
"""sha256(tenant, 0, key, 0, body) of the two documents, XORed."""
