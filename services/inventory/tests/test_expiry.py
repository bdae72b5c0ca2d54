"""Holds whose deadline has passed: let go at once, in their tenants, and none that lost its own."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from inventory import due, timers
from inventory.decider import commands, stock
from inventory.service import RESERVATION, STOCK, Request, Reservations
from waybill_events.envelope import StreamId
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.stored import ClaimedJob, Committed, Job
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import CAUSE, decide, hand, run_jobs, working
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate
from waybill_runtime.work import Work


async def hold(on: Infrastructure, books: Reservations, tenant: str, **of_orders: int) -> None:
    """Six on the shelf, and so many of them held for each order."""
    batch = [
        recorded(
            orders.placed(orders.line(1, quantity, 100), order_id=order_id, expires_at=EPOCH),
            stream="order",
            version=1,
            topic="orders",
            tenant=tenant,
        )
        for order_id, quantity in of_orders.items()
    ]
    shelf = stock.Receive(sku="A", location="main", quantity=6, reference="PO-1")
    await decide(on, STOCK, "A", shelf, tenant=tenant)
    await hand(on, books.on_events, *batch, tenant=tenant)


async def held(on: Infrastructure, tenant: str) -> tuple[int, int]:
    """What is on hand, and how much of it is held."""
    async with on.store.reading() as reading:
        work = Work(reading, now=on.store.now(), ids=on.ids, tenant=tenant)
        await work.load(STOCK, ["A"], lock=False)
    at = work.state(STOCK, "A").at("main")
    return at.on_hand, at.held


async def said(on: Infrastructure, category: str) -> list[tuple[str, str]]:
    """Stream and type of every event of a category."""
    async with on.store.reading() as reading:
        return [(event.stream, event.type) async for event in reading.streams.scan(category)]


async def expire(on: Infrastructure, books: Reservations, job: ClaimedJob) -> None:
    async with working(on, tenant=job.tenant) as work:
        await timers.expiring(books)(work, [job])


def as_before(order_id: str) -> Job:
    """As an earlier release wrote it: the payload named the tenant, the row did not."""
    return Job(
        id=f"{due.EXPIRE}:{StreamId('default', RESERVATION.category, order_id)}",
        tenant="default",
        kind=due.EXPIRE,
        due_at=EPOCH + timedelta(seconds=60),
        payload=f'{{"tenant": "default", "order_id": "{order_id}"}}',
    )


def test_holds_that_end_together_are_let_go_in_one_transaction_in_their_tenants() -> None:
    async def main() -> None:
        on, commits = World().infrastructure("inventory"), 0
        books = Reservations(on, priorities={"main": 1}, hold_grace_s=60)
        await hold(on, books, "default", ord_x=3, ord_y=2)
        await hold(on, books, "other", ord_z=4)
        async with on.store.transaction() as transaction:
            await transaction.jobs.schedule([as_before("ord_x")])
        assert (await held(on, "default"), await held(on, "other")) == ((6, 5), (6, 4))

        def noted(committed: Committed) -> None:
            nonlocal commits
            commits += committed.appended

        on.store.on_commit(noted)
        await run_jobs(on, 100, timers={due.EXPIRE: timers.expiring(books)})
        assert (await held(on, "default"), await held(on, "other")) == ((6, 0), (6, 0))
        assert commits == 1
        assert await said(on, RESERVATION.category) == [
            (f"{tenant}/reservation/{order_id}", type_)
            for tenant, order_id in (("default", "ord_x"), ("default", "ord_y"), ("other", "ord_z"))
            for type_ in ("inventory.stock_reserved.v1", "inventory.reservation_expired.v1")
        ]
        released = [name for name, type_ in await said(on, STOCK.category) if "released" in type_]
        assert released == ["default/stock/A", "other/stock/A"]
        async with on.store.reading() as reading:
            assert await reading.jobs.next_due_s([due.EXPIRE]) is None

    simulate(1, main())


def test_an_early_sweep_comes_back_and_a_late_one_changes_nothing() -> None:
    async def main() -> None:
        on = World().infrastructure("inventory")
        books = Reservations(on, priorities={"main": 1}, hold_grace_s=60)
        await hold(on, books, "default", ord_x=6)
        await asyncio.sleep(1_000)
        async with on.store.transaction() as transaction:
            (job,) = await transaction.jobs.claim([due.EXPIRE], limit=9, lease_s=30.0)
        await expire(on, books, replace(job, now=EPOCH))
        async with on.store.reading() as reading:
            assert await reading.jobs.next_due_s([due.EXPIRE]) == 60.0
        confirm = Request(order_id="ord_x", command=commands.Confirm(), cause=CAUSE)
        async with working(on) as work:
            await books.decide(work, [confirm], work.now)
        before = await said(on, RESERVATION.category)
        await expire(on, books, job)
        assert await said(on, RESERVATION.category) == before
        assert await held(on, "default") == (6, 0)

    simulate(1, main())
