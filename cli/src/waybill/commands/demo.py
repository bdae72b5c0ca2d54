"""`waybill demo`: some dozen orders with mixed fortunes, live, and the audit of it all."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.live import Live

from waybill import home as homes
from waybill import shop, show, state, system
from waybill.commands.audit import audit
from waybill.demo import script
from waybill.demo.stage import ENDED, Board
from waybill.failure import FAILED, UNAVAILABLE, Failure
from waybill.ledger import FOLDER, Ledger
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds

CLOCK = SystemClock()
LOOK_EVERY_S = 0.25
LOOKS_AT_ONCE = 12


def demo(
    seconds: Annotated[
        int, typer.Option(min=10, max=600, help="Longest wait for the orders.")
    ] = 45,
    pause_s: Annotated[float, typer.Option(min=0.0, max=10.0, help="Between buyers.")] = 0.4,
) -> None:
    """Show orders flowing through a running system, and end with the audit's table."""
    home = homes.Home.from_environment()
    values = system.find(None).values
    if not state.is_supervised(home) and "CAPTURE_URL" not in values:
        raise Failure(f"No Waybill runs in {home.path}.", "Run `make up` first.", code=UNAVAILABLE)
    board = system.run(_play(home, values, seconds, pause_s))
    is_over = board.ended == script.ORDERS
    if not is_over:
        show.note(f"{script.ORDERS - board.ended} orders are still on their way after {seconds} s")
    audit()
    if not is_over:
        raise typer.Exit(FAILED)


async def _play(home: homes.Home, values: Mapping[str, str], seconds: int, pause_s: float) -> Board:
    run = RandomIds(CLOCK).new("demo")
    ledger = Ledger(home.path / FOLDER / f"{run}.jsonl")
    board = Board(script.ORDERS)
    live = (
        Live(console=show.out, refresh_per_second=8, transient=False)
        if show.out.is_terminal
        else None
    )
    try:
        with live or nullcontext():
            async with shop.opened(values, ledger, CLOCK) as client:
                performance = _Performance(client, board, live)
                for key, body in script.receipts(run):
                    await client.receive(key, body)
                async with asyncio.TaskGroup() as group:
                    group.create_task(performance.buy(run, pause_s))
                    group.create_task(performance.watch(seconds))
    finally:
        ledger.close()
    return board


class _Performance:
    """Buyers come while somebody watches their orders."""

    def __init__(self, client: shop.Shop, board: Board, live: Live | None) -> None:
        self._shop = client
        self._board = board
        self._live = live
        self._orders: dict[int, tuple[str, str]] = {}
        self._begun_s = CLOCK.monotonic_s()

    async def buy(self, run: str, pause_s: float) -> None:
        for scene in script.scenes(run):
            response = await self._shop.place(scene.key, scene.body)
            if not response.is_success:
                raise Failure(f"An order was refused: {response.text[:300]}")
            answer = response.json()
            self._orders[scene.number] = (answer["id"], answer["tracking"]["token"])
            self._tell(self._board.placed(scene.number, scene.story))
            if scene.number == script.ORDERS:  # who presses the button twice has ordered once
                await self._shop.place(scene.key, scene.body)
            if scene.cancels:
                await self._shop.cancel(f"{scene.key}-cancel", answer["id"])
            await asyncio.sleep(pause_s)

    async def watch(self, seconds: int) -> None:
        """Look at every open order, a few at a time, until all have ended or time is up."""
        while (elapsed_s := CLOCK.monotonic_s() - self._begun_s) < seconds:
            open_ones = [n for n in self._orders if self._board.states.get(n) not in ENDED]
            for start in range(0, len(open_ones), LOOKS_AT_ONCE):
                async with asyncio.TaskGroup() as group:
                    for number in open_ones[start : start + LOOKS_AT_ONCE]:
                        group.create_task(self._look(number))
            if self._live is not None:
                self._live.update(self._board.render(elapsed_s))
            if self._board.ended == script.ORDERS:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, number: int) -> None:
        view = await self._shop.track(*self._orders[number])
        if view is not None:
            self._tell(self._board.seen(number, view))

    def _tell(self, words: str | None) -> None:
        if words is not None and self._live is None:
            show.out.print(words, markup=False)
