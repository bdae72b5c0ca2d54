"""One running system per bus and session, and a client of it."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from application_under_test import Application
from shopper import Shopper
from waybill.embedded import fixtures

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", params=["postgres", "kafka"])
def application(request: pytest.FixtureRequest) -> Iterator[Application]:
    """A whole system on each bus, one after the other."""
    if request.param == "kafka":
        with tempfile.TemporaryDirectory(prefix="waybill-e2e-kafka-") as folder:
            fixtures.need_kafka(request.config, Path(folder))
    running = Application.start(request.param)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def tell(application: Application, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a figure, to be shown at the session's end."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda text: figures.append(f"{application.bus}: {text}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for figure in config.stash.get(FIGURES, []):
        terminalreporter.write_line(figure)


@pytest_asyncio.fixture
async def shopper(application: Application) -> AsyncIterator[Shopper]:
    client = Shopper(application)
    yield client
    await client.close()
