"""The session's own Postgres and Kafka, as every other test gets them."""

import asyncio

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from waybill.embedded import server
from waybill.embedded.fixtures import TestPostgres


@pytest.mark.postgres
async def test_a_database_is_made_once_and_entered_by_its_owner_alone(
    postgres: TestPostgres,
) -> None:
    own = postgres.create_database("cli_own", owner="cli_own", password="p'w/@ ")
    assert postgres.create_database("cli_own", owner="cli_own", password="p'w/@ ") == own
    other = postgres.create_database("cli_other", owner="cli_other", password="x")
    connection = await asyncpg.connect(own)
    try:
        assert await connection.fetchval("SELECT current_user") == "cli_own"
        assert await connection.fetchval("SHOW lock_timeout") == "2s"
        assert await connection.fetchval("SHOW fsync") == "on"
    finally:
        await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(server.into(other, "cli_own"))


@pytest.mark.kafka
async def test_a_broker_takes_an_idempotent_producers_messages(kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("cli-orders", 3, 1)])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_bootstrap, enable_idempotence=True, acks="all"
    )
    await producer.start()
    try:
        async with asyncio.timeout(20):
            told = await producer.send_and_wait("cli-orders", b"value", key=b"key")
        assert told.offset == 0
    finally:
        await producer.stop()
