"""Hostile requests, in short: every service answers every one of them as it says it does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
import requests

import asking
import planting
import serving
from waybill import programs
from waybill.embedded.fixtures import TestPostgres

pytestmark = pytest.mark.timeout(300)

EXAMPLES = 15
EXAMPLES_ON_POSTGRES = 6
ORDERS = 10


@dataclass
class Shop:
    """A running system with a past."""

    running: serving.Serving
    known: Mapping[str, Sequence[str]]

    def ask(self, service: str, examples: int) -> asking.Tally:
        url, document = self.running.urls[service], self.running.document(service)
        return asking.ask(service, document, url, self.known, seed=1, examples=examples)


@pytest.fixture(scope="module")
def on_memory() -> Iterator[Shop]:
    with serving.serving(serving.on_memory()) as running:
        yield Shop(running, planting.plant(running, ORDERS))


@pytest.fixture(scope="module")
def on_postgres(postgres: TestPostgres) -> Iterator[Shop]:
    names = [*programs.SERVICES, "bus"]
    databases = {name: postgres.create_database(f"hostile_{name}") for name in names}
    with serving.serving(serving.on_postgres(databases, databases["bus"])) as running:
        yield Shop(running, planting.plant(running, ORDERS))
    for name in names:
        postgres.drop_database(f"hostile_{name}")


def check(tally: asking.Tally) -> None:
    assert tally.failures == {}
    assert tally.server_errors == 0
    assert tally.classes["2xx"] > 10  # it got past the door
    assert tally.classes["4xx"] > 10
    assert {"coverage", "fuzzing", "stateful"} <= tally.phases.keys()


@pytest.mark.parametrize("service", programs.SERVICES)
def test_every_hostile_request_is_answered_as_the_document_says(
    on_memory: Shop, service: str
) -> None:
    check(on_memory.ask(service, EXAMPLES))


@pytest.mark.postgres
@pytest.mark.parametrize("service", programs.SERVICES)
def test_no_hostile_request_trips_postgres(on_postgres: Shop, service: str) -> None:
    check(on_postgres.ask(service, EXAMPLES_ON_POSTGRES))


def test_a_word_of_ours_in_a_refusal_is_a_leak_unless_the_request_said_it() -> None:
    detail = "There is no order PostgresStore."
    here = requests.Request("GET", "http://127.0.0.1:80/v1/orders", {"Host": "127.0.0.1"}).prepare()
    assert asking.told_of_the_inside("No answer from 127.0.0.1.", here) == ["127.0.0.1"]
    said = requests.Request("GET", "http://host/v1/orders/Postgres%53tore").prepare()
    assert asking.told_of_the_inside(detail, said) == []
    other = requests.Request("GET", "http://host/v1/orders/ord_1").prepare()
    assert asking.told_of_the_inside(detail, other) == ["Postgres"]
