"""One more process of a service, for a while: whoever reads with it has to share."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from waybill import programs
from waybill.chaos.ground import POLL_S, Ground, NotStruck, dice
from waybill.chaos.plan import Fault
from waybill.children import answers

READY_S = 40.0
STOP_S = 30.0
ROLES = ("all", "worker", "worker", "api")


@asynccontextmanager
async def add(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """A replica in one role joins; it leaves in order, or by SIGKILL."""
    drawn = dice(fault)
    role, dies = drawn.choice(ROLES), drawn.random() < 0.5
    process = await ground.process(fault.target)
    port = ground.house.take_port(f"{fault.target}-replica-{fault.number}")
    try:
        variables = process.environ() | {f"{fault.target.upper()}_PORT": str(port)}
    except psutil.NoSuchProcess as gone:
        raise NotStruck(f"{fault.target} died by itself") from gone
    with ground.house.home.log(f"{fault.target}-replica").open("ab") as log:
        replica = subprocess.Popen(  # noqa: S603, ASYNC220  our own command; returns at once
            [*programs.python(fault.target), "--role", role],
            env=variables,
            cwd=ground.house.home.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await _ready(ground, replica, port)
        yield f"{role} at port {port}, pid {replica.pid}"
    finally:
        await _end(replica, dies=dies)


async def _ready(ground: Ground, replica: "subprocess.Popen[bytes]", port: int) -> None:
    """Return once it is ready.

    Raises:
        NotStruck: it ended, as the other faults would have it, or did not come up.
    """
    deadline_s = ground.clock.monotonic_s() + READY_S
    while ground.clock.monotonic_s() < deadline_s and replica.poll() is None:
        if await answers(port, "/readyz"):
            return
        await asyncio.sleep(POLL_S)
    raise NotStruck(f"the replica was not ready (exit code {replica.poll()})")


async def _end(replica: "subprocess.Popen[bytes]", *, dies: bool) -> None:
    if dies:
        replica.kill()
    else:
        replica.terminate()
    try:
        await asyncio.to_thread(replica.wait, STOP_S)
    except subprocess.TimeoutExpired:
        replica.kill()
        await asyncio.to_thread(replica.wait, STOP_S)
