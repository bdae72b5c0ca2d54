"""What the how-to pages promise for bad nights, done as they say.

One store is set back here, under its service; with WAYBILL_FULL=1 each that can be given back from
the bus, and its service killed.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from application_under_test import Application
from shopper import Placed, Shopper, eventually
from waybill.embedded import binaries, server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ORDERS = 6
FULL = os.environ.get("WAYBILL_FULL") == "1"
KILLED = ("payment", "inventory", "fulfillment", "notification") if FULL else ()
SET_BACK = [("payment", False), *((service, True) for service in KILLED)]


async def waybill(application: Application, *arguments: str) -> tuple[int, str]:
    """A command's exit code, and all that it said."""
    answer = await asyncio.to_thread(application.waybill, *arguments)
    return answer.returncode, answer.stdout + answer.stderr


async def lose_the_bus(application: Application) -> None:
    """Nothing of the bus is left, while orders are under way."""
    if application.bus == "postgres":
        dsn = application.values["DATABASE_URL"]
        connection = await asyncpg.connect(server.into(dsn, "postgres"))
        await connection.execute("DROP DATABASE bus WITH (FORCE)")
        await connection.close()
    assert (await waybill(application, "down"))[0] == 0
    if application.bus == "kafka":
        shutil.rmtree(application.home.path / "kafka")
    assert (await waybill(application, "up"))[0] == 0


async def take_up_what_is_parked(application: Application) -> None:
    """Retry each key until nothing is parked: what it waits for may still be on its way."""

    async def is_taken_up() -> bool:
        code, said = await waybill(application, "parked", "list", "--json")
        assert code == 0, said
        keys = {(row["service"], row["key"]) for row in json.loads(said)}
        for service, key in sorted(keys):
            await waybill(application, "parked", "retry", key, "--service", service)
        return not keys

    await eventually(is_taken_up, "what was parked to be taken up", within_s=120.0)


async def test_a_lost_bus_is_given_its_events_again(
    shopper: Shopper, application: Application
) -> None:
    sku = await shopper.new_sku(3 * ORDERS)
    orders: list[Placed] = [await shopper.place({sku: 1}) for _ in range(ORDERS)]
    await shopper.wait_for_end(orders[0])
    orders += [await shopper.place({sku: 1}) for _ in range(ORDERS)]
    await lose_the_bus(application)
    orders += [await shopper.place_whatever_happens({sku: 1}) for _ in range(ORDERS)]
    code, said = await waybill(application, "republish")
    assert (code, "Say the same with --yes" in said) == (2, True), said
    code, said = await waybill(application, "republish", "--yes")
    assert code == 0, said
    await take_up_what_is_parked(application)
    for order in orders:
        assert (await shopper.wait_for_end(order))["status"] == "completed"
    code, said = await waybill(application, "republish", "--yes")
    assert (code, "has lost nothing" in said) == (4, True), said
    code, said = await waybill(application, "audit", "--settled")
    assert code in (0, 6), said


def backup(application: Application, service: str, file: Path) -> None:
    """One service's database, as its nightly copy has it."""
    dsn = server.into(application.values["DATABASE_URL"], service)
    programs = binaries.locate() / "bin"
    command = [str(programs / "pg_dump"), "--format=custom", f"--file={file}", dsn]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def restore(application: Application, service: str, file: Path) -> None:
    """Set the database back, whole, while nobody is in it."""
    dsn = server.into(application.values["DATABASE_URL"], service)
    programs = binaries.locate() / "bin"
    command = [str(programs / "pg_restore"), "--clean", "--if-exists", "--single-transaction"]
    subprocess.run(
        [*command, f"--dbname={dsn}", str(file)], check=True, capture_output=True, timeout=120
    )


def exchange(application: Application, service: str, file: Path) -> None:
    """Drop the database under its service, and make it anew from the copy."""
    superuser = application.values["DATABASE_URL"]
    server.drop_database(superuser, service)
    command = [str(binaries.locate() / "bin" / "pg_restore"), "--create", f"--dbname={superuser}"]
    subprocess.run([*command, str(file)], check=True, capture_output=True, timeout=120)


async def is_halted(shopper: Shopper, service: str) -> bool:
    try:
        answer = await shopper.http.get(f"{shopper.url(service)}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 503 and "store-set-back" in answer.text


async def is_ready(shopper: Shopper, service: str) -> bool:
    try:
        answer = await shopper.http.get(f"{shopper.url(service)}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


@pytest.mark.parametrize(("service", "is_killed"), SET_BACK)
async def test_a_store_that_was_set_back_halts_and_is_given_back_what_it_said(
    shopper: Shopper, application: Application, tmp_path: Path, service: str, *, is_killed: bool
) -> None:
    sku = await shopper.new_sku(3 * ORDERS)
    orders = [await shopper.place({sku: 1}) for _ in range(ORDERS)]
    file = tmp_path / f"{service}.dump"
    await asyncio.to_thread(backup, application, service, file)
    orders += [await shopper.place({sku: 1}) for _ in range(ORDERS)]
    for order in orders:
        await shopper.wait_for_end(order)
    if is_killed:
        await asyncio.to_thread(restore, application, service, file)
        os.kill(application.pid(service), signal.SIGKILL)
    else:
        await asyncio.to_thread(exchange, application, service, file)
    await eventually(partial(is_halted, shopper, service), f"{service} to halt", 60)
    orders += [await shopper.place({sku: 1}) for _ in range(ORDERS)]
    code, said = await waybill(application, "doctor")
    assert f"store of {service}" in said, said
    code, said = await waybill(application, "restore-from-bus", "--service", service, "--yes")
    assert code == 0, said
    await eventually(partial(is_ready, shopper, service), f"{service} to work", 60)
    for order in orders:
        assert (await shopper.wait_for_end(order))["status"] == "completed"
        paid = [("authorize", "approved"), ("capture", "approved")]
        assert [charge[:2] for charge in await shopper.charges(order)] == paid
    code, said = await waybill(application, "audit", "--settled")
    assert code in (0, 6), said
