"""Programs killed, stopped and paused; Postgres and the broker among them.

Who was killed or told to stop has struck once that process has ended, and who was paused once it
stands still, by what the kernel says.
"""

import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psutil

from waybill.chaos.ground import ENDED, STOPPED, Ground
from waybill.chaos.plan import Fault
from waybill.programs import SERVICES

POSTGRES_SIGNALS: Mapping[str, signal.Signals] = {
    "postgres-kill": signal.SIGKILL,
    "postgres-fast": signal.SIGINT,
    "postgres-immediate": signal.SIGQUIT,
}


STANDS_WITHIN_S = 2.0


@asynccontextmanager
async def kill(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """SIGKILL; the supervisor starts the program again."""
    before = dict.fromkeys([fault.target] if fault.target in SERVICES else [])
    process = await ground.strike(fault.target, signal.SIGKILL)
    if before:
        ground.recovery.killed(f"service {fault.target}", before, fault.number, restarted=True)
    yield f"pid {process.pid}"
    await ground.see(process, {ENDED})


@asynccontextmanager
async def stop(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """SIGTERM: an orderly stop, after which the supervisor starts the program again."""
    process = await ground.strike(fault.target, signal.SIGTERM)
    yield f"pid {process.pid}"
    await ground.see(process, {ENDED})


@asynccontextmanager
async def pause(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """SIGSTOP, and SIGCONT later: a process that comes back and believes that nothing happened."""
    process = await ground.process(fault.target)
    try:
        _signal(process, signal.SIGSTOP)
        await ground.see(process, {STOPPED}, STANDS_WITHIN_S)
        yield f"pid {process.pid}"
    finally:
        _signal(process, signal.SIGCONT)


@asynccontextmanager
async def stop_postgres(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Postgres ended as the kind says; the supervisor starts it again, and it recovers."""
    before = await ground.recovery.work_of(SERVICES)
    process = await ground.strike("postgres", POSTGRES_SIGNALS[fault.kind])
    if fault.kind == "postgres-kill":
        ground.recovery.killed("postgres", before, fault.number, restarted=False)
    yield f"pid {process.pid}"
    await ground.see(process, {ENDED})


@asynccontextmanager
async def pause_postgres(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Every process of Postgres stands still: connections live, and nothing answers."""
    server = await ground.process("postgres")
    still = [server, *server.children(recursive=True)]
    try:
        for process in still:
            _signal(process, signal.SIGSTOP)
        for process in still:
            await ground.see(process, {STOPPED, ENDED}, STANDS_WITHIN_S)
        await ground.see(server, {STOPPED}, STANDS_WITHIN_S)
        yield f"{len(still)} processes"
    finally:
        for process in reversed(still):
            _signal(process, signal.SIGCONT)


@asynccontextmanager
async def restart_broker(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Kafka ended in order or by SIGKILL; the supervisor starts it again."""
    number = signal.SIGKILL if fault.kind == "broker-kill" else signal.SIGTERM
    process = await ground.strike("kafka", number)
    yield f"pid {process.pid}"
    await ground.see(process, {ENDED})


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
