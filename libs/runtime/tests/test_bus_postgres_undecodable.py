"""A row of the log whose bytes we never wrote: handed out bare, and come past."""

from typing import Any

import asyncpg
import pytest

from waybill_runtime import intake
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.bus_codec import Unreadable, pack, unpack
from waybill_runtime.bus import Message, Partition, partition_of
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds

GOOD = pack((("ce_id", b"e1"), ("ce_type", b"t")))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        GOOD[:-1],
        GOOD + b"\x00",
        b"\xff\xff\xff\xff\xff\xff",
        pack((("n", b"x"),)).replace(b"n", b"\xe9"),
    ],
)
def test_bytes_that_are_no_headers_are_refused_and_never_half_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        unpack(data)


@pytest.mark.postgres
async def test_a_row_with_broken_headers_is_bare_poison_and_the_rest_goes_on(postgres: Any) -> None:
    dsn = str(postgres.create_database("bus_undecodable"))
    clock = SystemClock()
    bus = PostgresBus(dsn, clock, RandomIds(clock))
    await bus.ensure_topics(["orders"])
    producer = await bus.producer()
    said = [Message("orders", "k", b"%d" % number, (("h", b"1"),)) for number in range(3)]
    await producer.send(said)
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        'UPDATE bus_log SET headers = $1, key = $2 WHERE "offset" = 1', b"\xff\xff", b"k\xff"
    )
    await connection.close()
    here = Partition("orders", partition_of("k"))
    found = await bus.read(here, 0, 10)
    assert [delivery.offset for delivery in found] == [0, 1, 2]
    assert [found[0].message, found[2].message] == [said[0], said[2]]
    bare = found[1].message
    assert (bare.key, bare.value, bare.headers) == ("k\N{REPLACEMENT CHARACTER}", b"1", ())
    with pytest.raises(intake.Poison):
        intake.said(bare)
    await producer.close()
    await bus.close()
    postgres.drop_database("bus_undecodable")
