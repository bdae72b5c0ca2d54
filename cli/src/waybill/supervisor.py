"""The daemon that owns every process of one system, from the stores to the services.

Started: stores, then schemas and keys, then everything else together. Stopped: in reverse. What
it does stands in `run/state.json`; that it lives is told by a lock that dies with it.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import psutil

from waybill import home as homes
from waybill import logfiles, plan, ports, programs, single, state, stores
from waybill.children import CLOCK, Child
from waybill.failure import CONFLICT, UNAVAILABLE, Failure
from waybill.programs import Program
from waybill_runtime.lifecycle import alongside

PREPARE_TIMEOUT_S = 120.0
ROTATE_EVERY_S = 5.0
ORPHAN_TIMEOUT_S = 25.0
LOCK_TRIES = 20
LOCK_EVERY_S = 0.05


class Supervisor:
    """Brings up one system and keeps it up until told to stop."""

    def __init__(
        self,
        home: homes.Home,
        bus: programs.BusName,
        warehouse: programs.WarehouseName,
        say: Callable[[str], None] = lambda _: None,
        *,
        through: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`through`: relays between services and what they ask, as `programs.Chosen` has them."""
        self._home = home
        self._bus: programs.BusName = bus
        self._warehouse: programs.WarehouseName = warehouse
        self._say_more = say
        self._through = through
        self._stages: list[list[Child]] = []
        self._stopping = asyncio.Event()
        self._asked = asyncio.Event()
        me = os.getpid()
        self._state = state.State(
            phase="starting",
            supervisor=state.Running(pid=me, created=state.born(me)),
            bus=bus,
            warehouse=warehouse,
        )

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; answers the exit code.

        Raises:
            Failure: another supervisor owns this home.
        """
        with ExitStack() as stack:
            await self._lock(stack)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
            asyncio.get_running_loop().add_signal_handler(single.SIGNAL, self._asked.set)
            single.forget(self._home)
            end_orphans(state.read(self._home))
            self._tell()
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._rotate()), group.create_task(self._obey(group))]
                try:
                    await self._bring_up(group)
                    await self._stopping.wait()
                except Failure as failure:
                    self._note_failure(failure)
                finally:
                    for task in beside:
                        task.cancel()
                    await self._bring_down()
            return self._state.code

    async def _bring_up(self, group: asyncio.TaskGroup) -> None:
        found = await asyncio.to_thread(stores.prepare, self._home, self._bus, self._say)
        for program in found.programs:
            await self._start(group, [program])
        if self._stopping.is_set():
            return
        needed, started, dev_env = await asyncio.to_thread(self._shop, found)
        await self._prepare(needed)
        await self._start(group, started)
        if self._stopping.is_set():
            return
        write_dev_env(self._home, dev_env)
        self._state.phase = "ready"
        self._tell()

    def _shop(self, found: stores.Stores) -> tuple[plan.Plan, list[Program], dict[str, str]]:
        """The system's own programs, now that the stores run."""
        secrets = programs.Secrets(self._home)
        chosen = programs.Chosen(
            bus=self._bus,
            warehouse=self._warehouse,
            databases=stores.create_databases(found, secrets),
            bootstrap=found.bootstrap,
            through=self._through,
        )
        taken = ports.Ports(self._home.path / "ports.json")
        port_of = {
            name: taken.take_named(name, os.environ.get(ports.variable(name), ""))
            for name in programs.port_names(self._warehouse)
        }
        data = self._home.path / "sandboxes"
        shop = programs.Shop(chosen, secrets, port_of, str(data))
        started = shop.programs()
        for program in started:
            if program.name not in programs.SERVICES:
                (data / program.name).mkdir(parents=True, exist_ok=True)
        return shop.needs(), started, shop.dev_env(self._home)

    async def _start(self, group: asyncio.TaskGroup, started: Sequence[Program]) -> None:
        """Start programs together and wait until each was ready once."""
        if self._stopping.is_set():
            return
        stage = len(self._stages)
        children = [self._child(program, stage) for program in started]
        self._stages.append(children)
        for child in children:
            group.create_task(child.keep())
        async with alongside(self._stop_waiting(children)):
            await asyncio.gather(*(child.ready() for child in children))

    def _child(self, program: Program, stage: int) -> Child:
        child = Child(
            program,
            log=self._home.log(program.name),
            cwd=self._home.path,
            stage=stage,
            changed=self._tell,
            say=self._say_more,
        )
        self._state.programs[program.name] = child.running
        return child

    async def _obey(self, group: asyncio.TaskGroup) -> None:
        """Stop and start single services as asked, while all else goes on."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            stopped = single.stopped(self._home)
            for stage, children in enumerate(self._stages):
                for place, child in enumerate(children):
                    name = child.program.name
                    if name in stopped and not child.running.stopped:
                        self._say_more(f"{name} is stopped, as was asked")
                        child.running.stopped = True
                        await child.stop()
                    elif name not in stopped and child.running.stopped:
                        self._say_more(f"{name} is started, as was asked")
                        children[place] = self._child(child.program, stage)
                        group.create_task(children[place].keep())
                    self._tell()

    async def _stop_waiting(self, children: Sequence[Child]) -> None:
        """Told to stop while programs start: nobody waits for them any longer."""
        await self._stopping.wait()
        for child in children:
            child.no_longer()

    async def _prepare(self, needed: plan.Plan) -> None:
        """Schemas, keys and topics, by a process of its own: it may be ended at any time."""
        if self._stopping.is_set():
            return
        log = self._home.log("prepare")
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *programs.python("waybill.preparing"),
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._home.path,
                start_new_session=True,
            )
        async with alongside(self._end_when_stopping(process)):
            try:
                async with asyncio.timeout(PREPARE_TIMEOUT_S):
                    await process.communicate(needed.model_dump_json().encode())
            except TimeoutError:
                process.kill()
                await process.wait()
        if process.returncode != 0 and not self._stopping.is_set():
            raise Failure(
                f"The databases could not be prepared (exit code {process.returncode}).",
                f"The log is {log}.",
                code=UNAVAILABLE,
                lines=tuple(logfiles.tail(log, 15)),
            )

    async def _end_when_stopping(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        process.kill()

    async def _bring_down(self) -> None:
        if self._state.phase != "failed":
            self._state.phase = "stopping"
            self._tell()
        for children in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in children))
        if self._state.phase != "failed":
            self._state.phase = "stopped"
        self._tell()

    async def _lock(self, stack: ExitStack) -> None:
        """Own the home. Another command may hold the lock for a moment, to look."""
        for _ in range(LOCK_TRIES):
            with ExitStack() as attempt:
                if attempt.enter_context(state.held(self._home)):
                    stack.enter_context(attempt.pop_all())
                    return
            await asyncio.sleep(LOCK_EVERY_S)
        raise Failure(
            f"Another Waybill runs in {self._home.path}.",
            "Run `waybill down` first.",
            code=CONFLICT,
        )

    async def _rotate(self) -> None:
        while True:
            for log in self._home.logs.glob("*.log"):
                logfiles.rotate(log)
            await asyncio.sleep(ROTATE_EVERY_S)

    def _note_failure(self, failure: Failure) -> None:
        self._state.phase = "failed"
        self._state.what = failure.what
        self._state.remedy = failure.remedy
        self._state.lines = list(failure.lines)
        self._state.code = failure.code
        self._say_more(f"{failure.what} {failure.remedy}")
        self._tell()

    def _say(self, note: str) -> None:
        self._state.notes.append(note)
        self._say_more(note)
        self._tell()

    def _tell(self) -> None:
        state.write(self._home, self._state)


def write_dev_env(home: homes.Home, values: dict[str, str]) -> None:
    """Names and working keys of the running system, for shells and tools; mode 600."""
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    homes.write_whole(home.dev_env, text, mode=0o600)


def end_orphans(last: state.State) -> list[str]:
    """End what a killed supervisor left, in reverse of its order; answers the names ended."""
    living = last.orphans()
    for stage in sorted({last.programs[name].stage for name in living}, reverse=True):
        ended = {n: p for n, p in living.items() if last.programs[n].stage == stage}
        for name, process in ended.items():
            _signal(process, last.programs[name].stop_signal)
        _, stubborn = psutil.wait_procs(list(ended.values()), timeout=ORPHAN_TIMEOUT_S)
        for process in stubborn:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=ORPHAN_TIMEOUT_S)
    return list(living)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def command(
    home: homes.Home,
    bus: str,
    warehouse: str,
    through: Mapping[str, int] = MappingProxyType({}),
) -> tuple[list[str], dict[str, str], Path]:
    """How the daemon itself is started: command, environment, log."""
    # A module of its own: it stays, and what the other commands import would stay with it.
    arguments = [*programs.python("waybill.supervisor"), "--bus", bus, "--warehouse", warehouse]
    arguments += [f"--through={link}={port}" for link, port in through.items()]
    return arguments, {**os.environ, "WAYBILL_HOME": str(home.path)}, home.log("supervisor")


def main() -> int:
    """The daemon itself; its log is its stderr."""
    parser = argparse.ArgumentParser(prog="python -m waybill.supervisor")
    parser.add_argument("--bus", choices=("postgres", "kafka"), required=True)
    parser.add_argument("--warehouse", choices=("sandbox", "none"), required=True)
    parser.add_argument("--through", action="append", default=[], type=_link, metavar="LINK=PORT")
    given = parser.parse_args()
    home = homes.Home.from_environment()
    try:
        home.prepare()
        through = dict(given.through)
        return asyncio.run(
            Supervisor(home, given.bus, given.warehouse, _log, through=through).run()
        )
    except Failure as failure:
        _log(f"{failure.what} {failure.remedy}")
        return failure.code


def _link(text: str) -> tuple[str, int]:
    link, _, port = text.rpartition("=")
    return link, int(port)


def _log(text: str) -> None:
    sys.stderr.write(f"{CLOCK.now():%Y-%m-%dT%H:%M:%SZ} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
