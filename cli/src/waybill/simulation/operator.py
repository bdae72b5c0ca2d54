"""Whoever acts on the nodes of a simulated day: kills, stops, adds and mends them."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any

import httpx

from waybill import programs
from waybill.simulation import faulty, shared
from waybill.simulation.faults import Fault
from waybill.simulation.partners import CARRIER
from waybill.simulation.system import CALLBACK_SECRET, Node, System
from waybill.simulation.weather import Strike, Weather
from waybill_runtime.bus import BusUnavailable, Message, Partition, partition_of
from waybill_runtime.http import signatures
from waybill_runtime.rebuild import Incomplete, Rebuild
from waybill_runtime.stored import TRANSIENT
from waybill_runtime.unpark import Busy, NotParked

AGAIN_S = 0.5
"""Between two tries of a fault that had no effect yet."""


class Operator:
    """Carries out what strikes at its time; afterwards brings everything back to one life each."""

    def __init__(self, running: System, weather: Weather, world: faulty.FaultyWorld, seed: int):
        self._running = running
        self._weather = weather
        self._world = world
        self._dice = random.Random(f"operator of {seed}")
        self._tasks: list[asyncio.Task[None]] = []
        self._paused: dict[str, Node] = {}
        self._has_given_up = False
        weather.kill = self._kill_label

    async def work(self) -> None:
        """Strike each fault at its time; they overlap."""
        for fault in self._weather.for_operator():
            await asyncio.sleep(max(0.0, fault.at_s - self._weather.at_s))
            self._go(self._strike(fault))

    async def rest(self) -> None:
        """Return when everything that was begun has ended; what had no effect is given up."""
        self._has_given_up = True
        while under_way := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(under_way)
        for task in self._tasks:
            task.result()

    def mend(self) -> None:
        """One life of each service, running, its clock right."""
        for node in list(self._paused.values()):
            self._resume(node)
        self.set_clocks()
        for name in programs.SERVICES:
            lives = self._lives(name)
            for node in lives[:-1]:
                self._running.end(node)
            if not lives:
                self._running.start(name)

    def set_clocks(self) -> None:
        """All clocks are right."""
        for clock in self._world.clocks.values():
            clock.skew_s = 0.0

    def restart_all(self) -> None:
        """Kill everything and start it again."""
        for node in list(self._running.lives.values()):
            self._running.end(node)
        for name in programs.SERVICES:
            self._running.start(name)

    async def take_up(self) -> None:
        """Retry every parked key in order, as `waybill parked` does; discard what is foreign."""
        for name in programs.SERVICES:
            database = self._world.database(name)
            keys = {row.parked.key for row in database.rows.parked.values() if row.consumer == name}
            if not keys or (node := self._running.nodes.get(name)) is None:
                continue
            unparking = node.service.unparking(self._world.infrastructure(name, "operator"))
            for key in sorted(keys):
                try:
                    with shared.acting(node):
                        retried = await unparking.retry(key)
                    if retried.failed is not None and not retried.failed.headers:
                        await unparking.discard(key, reason="not ours", actor="operator")
                except (NotParked, Busy, *TRANSIENT):
                    continue

    def tell(self, strike: Strike, service: str, what: str, after_s: Sequence[float]) -> None:
        """A partner calls a service back several times: of a payment's key, or of a shipment."""
        self._go(self._tell_all(strike, service, what, after_s))

    # --- one fault ------------------------------------------------------------------------

    async def _strike(self, fault: Fault) -> None:
        """Until it had its effect, or nobody waits for that any more."""
        while not self._has_given_up:
            with self._weather.seize(fault) as strike:
                await self._try(strike, fault.target)
            if strike.has_struck:
                return
            await asyncio.sleep(AGAIN_S)

    async def _try(self, strike: Strike, name: str) -> None:
        match strike.kind:
            case "bus away":
                await self._keep_away(strike, f"bus {name}")
            case "store away":
                await self._keep_away(strike, f"store {name}")
            case "carrier away":
                await self._keep_away(strike, CARRIER)
            case "kill":
                await self._kill(strike, await self._alive(name))
            case "pause":
                await self._pause(strike, await self._alive(name))
            case "replica":
                await self._add(strike, name)
            case "clock jump":
                self._set_clock(strike, await self._alive(name))
            case "rebuild":
                before = dict(live := self._world.database(name).rows.generations)
                await self._rebuild(name)
                strike.did(live != before, "switched")
            case "foreign message":
                self._write_foreign(strike, name)
            case _:
                raise AssertionError(f"no operator does {strike.kind}")

    async def _keep_away(self, strike: Strike, what: str) -> None:
        self._weather.close(what, strike)
        await asyncio.sleep(strike.amount)
        self._weather.open(what, strike)

    def _set_clock(self, strike: Strike, node: Node) -> None:
        clock = self._world.clocks[node.name]
        clock.skew_s = strike.amount
        strike.did((clock.now() - self._world.clock.now()).total_seconds(), "s off")

    def _write_foreign(self, strike: Strike, topic: str) -> None:
        """Somebody else's message, under the key of an order: it parks that key everywhere."""
        events = self._world.database("capture").rows.events.values()
        keys = sorted({event.key for event in events if event.topic == "orders"})
        key = self._dice.choice(keys or ["nobody's"])
        partition, broker = Partition(topic, partition_of(key)), self._world.broker
        end = broker.end(partition)
        self._weather.foreign.add((partition, end))
        broker.append(Message(topic, key, b"\xff not ours"))
        broker.wake()
        strike.did(broker.end(partition) - end, "written")

    async def _alive(self, name: str) -> Node:
        """The life that HTTP goes to; waits while there is none."""
        while (node := self._running.nodes.get(name)) is None:  # noqa: ASYNC110 - no one tells
            await asyncio.sleep(0.05)
        return node

    async def _kill(self, strike: Strike, node: Node) -> None:
        self._running.end(node)
        strike.did(self._running.loop.is_dead(node.name), "dead")
        await self._back(node.of, strike.amount)

    def _kill_label(self, label: str, down_s: float) -> None:
        """A node dies by its own next step."""
        node = self._running.born[label]
        self._paused.pop(label, None)
        self._running.end(node)
        self._go(self._back(node.of, down_s))

    async def _back(self, name: str, after_s: float) -> None:
        """Start a service again, unless another life of it is up."""
        await asyncio.sleep(after_s)
        if name not in self._running.nodes:
            self._running.start(name)

    async def _pause(self, strike: Strike, node: Node) -> None:
        """Stop a process for longer than its lease while another one works; then let it go on."""
        self._paused[node.name] = node
        self._running.loop.pause(node.name)
        other = self._running.start(node.of)
        await asyncio.sleep(strike.amount)
        strike.did(self._running.loop.held_back(node.name), "steps held back")
        self._resume(node)
        await asyncio.sleep(self._dice.uniform(0.2, 2.0))
        self._let_go(self._dice.choice([node, other]))

    def _resume(self, node: Node) -> None:
        if self._paused.pop(node.name, None) is not None:
            self._running.loop.resume(node.name)

    async def _add(self, strike: Strike, name: str) -> None:
        """A second replica comes, and one of the two goes."""
        before = self._lives(name)
        self._running.start(name)
        strike.did(len(self._lives(name)) - len(before) if before else 0, "more lives")
        await asyncio.sleep(strike.amount)
        if len(lives := self._lives(name)) > 1:
            self._let_go(self._dice.choice(lives))

    def _lives(self, name: str) -> Sequence[Node]:
        return [node for node in self._running.lives.values() if node.of == name]

    def _let_go(self, node: Node) -> None:
        """End a life, by SIGTERM or by SIGKILL, if it is not the last of its service."""
        others = [n for n in self._running.lives.values() if n.of == node.of and n is not node]
        if node.name not in self._running.lives or not others:
            return
        if node.name in self._paused or self._dice.random() < 0.5:
            self._paused.pop(node.name, None)
            self._running.end(node)
        else:
            self._running.forget(node)
            node.infrastructure.stopping.set()

    async def _rebuild(self, name: str) -> None:
        """Build a view again and make it live, while orders flow."""
        views = (await self._alive(name)).service.blueprint.views
        on = self._world.infrastructure(name, "operator")
        rebuild = Rebuild(
            self._dice.choice(views),
            consumer=name,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            switch=True,
        )
        try:
            async for _ in rebuild.run():
                pass
        except (Incomplete, BusUnavailable, *TRANSIENT):
            return  # an operator comes again; the live view is as it was

    async def _tell_all(
        self, strike: Strike, service: str, what: str, after_s: Sequence[float]
    ) -> None:
        with strike:
            calls = [self._tell(service, what, seconds) for seconds in after_s]
            strike.did(sum(await asyncio.gather(*calls)), "heard")

    async def _tell(self, service: str, what: str, after_s: float) -> bool:
        """A signed callback, told once; nobody repeats it. Whether it was heard."""
        await asyncio.sleep(after_s)
        field = "idempotency_key" if service == "payment" else "reference"
        path = "gateway" if service == "payment" else "carrier"
        body = f'{{"{field}": "{what}"}}'.encode()
        sent = str(int(self._running.world.clock.now().timestamp()))
        headers = {
            "webhook-id": f"told {what}",
            "webhook-timestamp": sent,
            "webhook-signature": signatures.sign(CALLBACK_SECRET, f"told {what}", sent, body),
        }
        async with self._running.client(service, **headers) as http:
            try:
                answer = await http.post(f"/v1/callbacks/{path}", content=body)
            except httpx.TransportError:
                return False
        return answer.is_success

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        """Whoever asks for it, a node that dies of it included: it is the operator's task."""
        with self._running.loop.on("operator"):
            self._tasks.append(asyncio.ensure_future(work))
