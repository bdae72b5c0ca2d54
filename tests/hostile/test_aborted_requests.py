"""Aborted requests, in short: nothing is left of them, and no order is lost or doubled."""

import pytest

import aborting
from waybill.embedded.fixtures import TestPostgres

REQUESTS = 300


@pytest.mark.postgres
@pytest.mark.timeout(300)
async def test_requests_aborted_at_any_moment_leave_nothing_behind(postgres: TestPostgres) -> None:
    database = postgres.create_database("hostile_aborted")
    bus = postgres.create_database("hostile_aborted_bus")
    async with aborting.capture(database, bus) as url:
        outcome = await aborting.strike(url, database, REQUESTS, 1, drippers=0)
    postgres.drop_database("hostile_aborted")
    postgres.drop_database("hostile_aborted_bus")
    assert outcome.violations == []
    assert outcome.orders == REQUESTS
    assert outcome.acknowledged > 0
    assert outcome.moments.keys() == set(aborting.MOMENTS)
