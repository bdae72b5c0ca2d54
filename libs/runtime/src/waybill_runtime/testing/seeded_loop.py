"""An event loop with virtual time and a seeded scheduler: no clock and no chance of its own.

Whichever callback is ready is run next by the draw of one seeded source; when none is, time jumps
to the next timer. So a whole system runs in one process, the same way each time, and a node can be
killed between any two steps. After FoundationDB's simulation (Zhou et al., SIGMOD 2021, section 4).
"""

import asyncio
import contextvars
import hashlib
import heapq
import random
from array import array
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

NODE: contextvars.ContextVar[str] = contextvars.ContextVar("NODE", default="")
"""The simulated process that a task belongs to, inherited by the tasks it starts."""

_BURIAL_STEPS = 100_000
_TRAIL_MAX = 12_288


class _Handle(asyncio.Handle):
    """A callback that knows its node."""

    __slots__ = ("node",)
    node: str
    _context: contextvars.Context
    _callback: Callable[..., Any]


class _Timer(asyncio.TimerHandle):
    """A callback for later that knows its node."""

    __slots__ = ("node",)
    node: str
    _context: contextvars.Context
    _callback: Callable[..., Any]


class Stuck(Exception):
    """Nothing is ready and no timer is set, yet the main coroutine has not ended."""


class SeededLoop(asyncio.AbstractEventLoop):
    """Runs one coroutine to its end. `trace` hashes every scheduling decision."""

    def __init__(self, seed: int, *, steps_max: int = 50_000_000) -> None:
        self._random = random.Random(seed)
        self._now_s = 0.0
        self._ready: list[_Handle | _Timer] = []
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = 0
        self._dead: set[str] = set()
        self._lost: list[_Handle | _Timer] = []
        self._paused: dict[str, list[_Handle | _Timer]] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._digest = hashlib.sha256()
        self._trail = array("d")
        self._steps_max = steps_max
        self._running = False
        self._closed = False
        self._task_factory: Any = None
        self.steps = 0

    @classmethod
    def of(cls, seed: int) -> "SeededLoop":
        """A loop with this seed. What it leaves out of asyncio's interface has no place here."""
        return cls(seed)

    # --- what a simulator does with it

    @property
    def trace(self) -> str:
        """A hash over all decisions and notes so far: equal seeds give equal traces."""
        self._digest_trail()
        return self._digest.hexdigest()

    def note(self, text: str) -> None:
        """Make a fact part of the trace."""
        self._digest_trail()
        self._digest.update(text.encode() + b"\n")

    def kill(self, node: str) -> None:
        """Stop every task of a node where it stands; nothing of it runs again, not even cleanup."""
        self.note(f"kill {node}")
        self._dead.add(node)
        self._lost.extend(self._paused.pop(node, ()))

    def pause(self, node: str) -> None:
        """SIGSTOP: nothing of the node runs until it is resumed, while time goes on."""
        self.note(f"pause {node}")
        self._paused.setdefault(node, [])

    def resume(self, node: str) -> None:
        """SIGCONT: what became due meanwhile is due now. Nothing happens to one that was killed."""
        self.note(f"resume {node}")
        self._ready.extend(self._paused.pop(node, ()))

    def is_dead(self, node: str) -> bool:
        """Whether it was killed."""
        return node in self._dead

    def held_back(self, node: str) -> int:
        """How many steps a paused node would have made by now."""
        return len(self._paused.get(node, ()))

    @contextmanager
    def on(self, node: str) -> Generator[None]:
        """Tasks started within belong to this node."""
        token = NODE.set(node)
        try:
            yield
        finally:
            NODE.reset(token)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to the end of `main`.

        Raises:
            Stuck: it waits for something that nobody will do.
        """
        asyncio.events._set_running_loop(self)
        self._running = True
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            return task.result()
        finally:
            self._bury()
            self._running = False
            asyncio.events._set_running_loop(None)

    def _step(self) -> None:
        timers, ready = self._timers, self._ready
        if timers and timers[0][0] <= self._now_s:
            self._due()
        count = len(ready)
        if not count:
            if not timers:
                raise Stuck(f"at {self._now_s:.3f} s, after {self.steps} steps")
            self._now_s = max(self._now_s, timers[0][0])
            return  # what became due is drawn in the next step; it may have been cancelled
        at = int(self._random.random() * count) if count > 1 else 0
        handle, ready[at] = ready[at], ready[-1]
        ready.pop()
        node = handle.node
        if node and (node in self._dead or node in self._paused):
            (self._lost if node in self._dead else self._paused[node]).append(handle)
            return
        if handle._cancelled:
            return
        self.steps += 1
        if self.steps > self._steps_max:
            raise Stuck(f"more than {self._steps_max} steps")
        trail = self._trail
        trail.extend((self._now_s, at, count))
        if len(trail) > _TRAIL_MAX:
            self._digest_trail()
        try:  # as `handle._run()` does, without a frame of its own for each step
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio's loops do
            self.call_exception_handler({"message": "in a callback", "exception": error})

    def _digest_trail(self) -> None:
        self._digest.update(self._trail.tobytes())
        del self._trail[:]

    def _due(self) -> None:
        while self._timers and self._timers[0][0] <= self._now_s:
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._ready.append(timer)

    def _bury(self) -> None:
        """Unwind what is left, dead nodes included, so that nothing outlives the loop."""
        self._dead.clear()
        for node in list(self._paused):
            self._ready.extend(self._paused.pop(node))
        self._ready.extend(self._lost)
        for task in self._tasks:
            if not task.done():
                task.cancel()
        for _ in range(_BURIAL_STEPS):
            self._due()
            if not self._ready:
                if not self._timers or all(task.done() for task in self._tasks):
                    break
                self._now_s = max(self._now_s, self._timers[0][0])
                continue
            handle = self._ready.pop()
            if not handle.cancelled():
                handle._run()
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self._now_s

    def call_soon(  # type: ignore[override]  # typeshed spells the callback with TypeVarTuple
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        handle.node = NODE.get() if context is None else context.get(NODE, "")
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        timer.node = NODE.get() if context is None else context.get(NODE, "")
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name or type(coro).__name__, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 10_000:
            self._tasks = [task for task in self._tasks if not task.done()]
        return task

    def get_task_factory(self) -> Any:
        return self._task_factory

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001 - asyncio's signature
        """Debugging would read the wall clock; it stays off."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An exception that nobody awaited: part of the trace, and seen by whoever reads it."""
        self.note(f"unhandled: {context.get('message')} {context.get('exception')!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    async def shutdown_asyncgens(self) -> None:
        """Asynchronous generators end with the tasks that iterate them."""
