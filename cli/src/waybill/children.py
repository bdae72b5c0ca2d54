"""One program kept running: started, watched until ready, started again when it dies."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from waybill import logfiles, state
from waybill.embedded.account import Account
from waybill.failure import UNAVAILABLE, Failure
from waybill.programs import Program
from waybill_runtime.clock import SystemClock
from waybill_runtime.lifecycle import alongside

READY_TIMEOUT_S = 120.0
FIRST_TRIES = 6
"""A program that dies this often before it was ready once is not going to come up."""
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 10.0
SETTLED_S = 20.0
"""Alive this long, a program has earned a quick restart again."""
PROBE_EVERY_S = 0.1
PROBE_TIMEOUT_S = 3.0
STOP_TIMEOUT_S = 25.0
TAIL_LINES = 15
CLOCK = SystemClock()


class Child:
    """A program and its process. `changed` is called after each change of `running`, `say` with a
    line about each death.
    """

    def __init__(
        self,
        program: Program,
        *,
        log: Path,
        cwd: Path,
        stage: int,
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.program = program
        self.log = log
        self._cwd = cwd
        self._changed = changed
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._was_ready = asyncio.Event()
        self._gave_up = asyncio.Event()
        self._settled = asyncio.Event()
        self.running = state.Running(
            port=program.port,
            ready_path=program.ready_path,
            stage=stage,
            stop_signal=int(program.stop_signal),
        )

    async def keep(self) -> None:
        """Run until stop() is called; a death is followed by a start, ever later, without end.

        Before it was ready once, FIRST_TRIES deaths are enough: then it gives up.
        """
        delay_s, tries = BACKOFF_MIN_S, 0
        while not self._stopping.is_set():
            started_s = CLOCK.monotonic_s()
            await self._live()
            tries += 1
            if self._stopping.is_set():
                return
            if not self._was_ready.is_set() and tries >= FIRST_TRIES:
                self._gave_up.set()
                self._settled.set()
                return
            if CLOCK.monotonic_s() - started_s > SETTLED_S:
                delay_s = BACKOFF_MIN_S
            self.running.restarts += 1
            self._changed()
            self._say(f"{self._death()}; it is started again in {delay_s:.1f} s")
            if await _within(self._stopping.wait(), delay_s):
                return
            delay_s = min(delay_s * 2, BACKOFF_MAX_S)

    def _death(self) -> str:
        process = self._process
        if process is None or process.returncode is None:
            return f"{self.program.name} could not be started"
        code = process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{self.program.name} (pid {process.pid}) ended by {how}"

    async def ready(self) -> None:
        """Wait until the program was ready once, or is being stopped.

        Raises:
            Failure: it keeps dying, or READY_TIMEOUT_S went by.
        """
        await _within(self._settled.wait(), READY_TIMEOUT_S)
        if self._was_ready.is_set() or self._stopping.is_set():
            return
        how = "keeps dying" if self._gave_up.is_set() else "is not ready"
        after = f"{FIRST_TRIES} starts" if self._gave_up.is_set() else f"{READY_TIMEOUT_S:.0f} s"
        raise Failure(
            f"{self.program.name} {how} after {after}.",
            f"Its log is {self.log}.",
            code=UNAVAILABLE,
            lines=tuple(logfiles.tail(self.log, TAIL_LINES)),
        )

    def no_longer(self) -> None:
        """Start it no more, and let go who waits for it; what runs goes on until stop()."""
        self._stopping.set()
        self._settled.set()

    async def stop(self) -> None:
        """Ask it to end, wait STOP_TIMEOUT_S, then end it; may be called twice."""
        self._stopping.set()
        self._settled.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(self.program.stop_signal)
        if not await _within(process.wait(), STOP_TIMEOUT_S):
            # Its session too: what it started must not outlive it.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _live(self) -> None:
        try:
            self._process = await self._spawn()
        except OSError as error:
            with self.log.open("a") as log:
                log.write(f"{self.program.command[0]} could not be started: {error}\n")
            return
        self.running.pid = self._process.pid
        self.running.created = state.born(self._process.pid)
        self._changed()
        try:
            async with alongside(self._probe()):
                await self._process.wait()
        finally:
            self.running.ready = False
            self.running.pid = None
            self._changed()

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self.program
        account = program.account or Account("")
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=program.cwd or self._cwd,
                env={**os.environ, **program.env},
                start_new_session=True,
                user=account.uid,
                group=account.gid,
                extra_groups=None if account.uid is None else [],
            )

    async def _probe(self) -> None:
        while not await self._answers():  # noqa: ASYNC110  another process cannot set an event
            await asyncio.sleep(PROBE_EVERY_S)
        self.running.ready = True
        self._was_ready.set()
        self._settled.set()
        self._changed()

    async def _answers(self) -> bool:
        if self.program.ready_check is not None:
            return self.program.ready_check()
        if self.running.port is None:
            return True
        return await answers(self.running.port, self.running.ready_path)


async def answers(port: int, path: str | None) -> bool:
    """Whether a loopback port takes connections and, with a path, answers it with 200."""
    return await refusal(port, path) is None


async def refusal(port: int, path: str | None) -> str | None:
    """Why it does not, in the words of the problem it answers with; None when it does."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                if path is None:
                    return None
                request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                await writer.drain()
                status = b"".join((await reader.readline()).split()[1:2]).decode(errors="replace")
                if status == "200":
                    return None
                return words(status, (await reader.read()).partition(b"\r\n\r\n")[2])
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    except OSError as error:
        return str(error)


def words(status: str, body: bytes) -> str:
    """What a problem document says; the status of what is none."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(said := told.get("detail"), str):
        return said
    return f"it answers {status or 'nothing'}"


async def _within(work: Awaitable[object], limit_s: float) -> bool:
    """Whether the awaitable ended in time."""
    try:
        await asyncio.wait_for(work, limit_s)
    except TimeoutError:
        return False
    return True
