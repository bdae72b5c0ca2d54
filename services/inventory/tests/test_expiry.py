"""Holds whose deadline has passed: let go at once, in their tenants, and none that lost its own."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from inventory import due, timers
from inventory.decider import commands, stock
from inventory.service import RESERVATION, STOCK, Request, Reservations
from waybill_events import capture
from waybill_events.envelope import StreamId
from waybill_runtime.consumer import Incoming
from waybill_runtime.decider import Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import JobRunner
from waybill_runtime.stored import ClaimedJob, Committed, Job
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate
from waybill_runtime.work import Cause, Work

WHY = Cause(causation_id="test", actor="system:test")


def placed(order_id: str, quantity: int) -> capture.OrderPlaced:
    line = capture.OrderLine(
        line_id="ln_1", sku="A", name="A", quantity=quantity, unit_price_minor=100
    )
    return capture.OrderPlaced(
        order_id=order_id,
        external_ref=None,
        channel="web",
        currency="GBP",
        customer_ref=None,
        recipient_ref="rcp_x",
        country_code="GB",
        locale="en",
        lines=(line,),
        shipping=capture.ShippingChoice(option="standard", price_minor=0),
        payment=capture.PaymentChoice(method="card", token="tok_approve"),
        total_minor=100 * quantity,
        allow_partial=False,
        tracking_token_hash="h",
        expires_at=EPOCH,
    )


async def hold(on: Infrastructure, books: Reservations, tenant: str, **orders: int) -> None:
    """Six on the shelf, and so many of them held for each order."""
    told = [placed(order_id, quantity) for order_id, quantity in orders.items()]
    batch = [
        Incoming(recorded(event, stream="order", version=1, topic="orders", tenant=tenant), event)
        for event in told
    ]
    shelf = stock.Receive(sku="A", location="main", quantity=6, reference="PO-1")
    async with on.store.transaction() as transaction:
        work = Work(transaction, now=on.store.now(), ids=on.ids, tenant=tenant)
        await work.run([(Intent(STOCK, "A", shelf), WHY)])
        await books.on_events(work, batch)
        await work.flush()


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
    async with on.store.transaction() as transaction:
        work = Work(transaction, now=on.store.now(), ids=on.ids, tenant=job.tenant)
        await timers.expiring(books)(work, [job])
        await work.flush()


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
        runner = JobRunner(
            service="inventory",
            timers={due.EXPIRE: timers.expiring(books)},
            effects={},
            store=on.store,
            ids=on.ids,
            stopping=on.stopping,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(runner.run())
            await asyncio.sleep(100)
            on.stopping.set()
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
        async with on.store.transaction() as transaction:
            work = Work(transaction, now=on.store.now(), ids=on.ids)
            confirm = Request(order_id="ord_x", command=commands.Confirm(), cause=WHY)
            await books.decide(work, [confirm], work.now)
            await work.flush()
        before = await said(on, RESERVATION.category)
        await expire(on, books, job)
        assert await said(on, RESERVATION.category) == before
        assert await held(on, "default") == (6, 0)

    simulate(1, main())
