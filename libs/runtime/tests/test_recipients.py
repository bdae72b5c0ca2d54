"""Capture's vault over HTTP and its stand-in in memory: one suite, and what only HTTP can do."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import httpx
import pytest
from pydantic import TypeAdapter

from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.adapters.recipients_memory import MemoryRecipients
from waybill_runtime.recipients import RecipientErased, Recipients, RecipientsUnavailable

REF = "rcp_x"
START = datetime(2030, 1, 1, tzinfo=UTC)
KEY = "a-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What a service takes of a recipient: two fields of the vault's many."""

    name: str
    locale: str
    email: str | None = None


BUYER = Reader(name="A. Buyer", locale="en-GB")
ANSWER = {"name": "A. Buyer", "city": "London", "phone": "+442079460000", "locale": "en-GB"}


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def monotonic_s(self) -> float:
        return self.at_s


class Vault:
    """capture's vault, as its HTTP interface answers."""

    def __init__(self) -> None:
        self.people = {REF: ANSWER}
        self.answer: httpx.Response | httpx.HTTPError | None = None
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        if self.answer is not None:
            return self.answer
        reference = unquote(request.url.raw_path.decode().removeprefix("/v1/recipients/"))
        if reference not in self.people:
            return httpx.Response(410)
        return httpx.Response(200, json=self.people[reference])


@dataclass
class Rig:
    """An adapter on a vault that is told what to answer."""

    recipients: HttpRecipients[Reader]
    vault: Vault
    clock: SteppedClock


@pytest.fixture
async def http() -> AsyncIterator[Rig]:
    vault, clock = Vault(), SteppedClock()
    recipients = HttpRecipients(
        TypeAdapter(Reader),
        "http://capture",
        KEY,
        clock,
        timeout_s=1.0,
        remember_s=60.0,
        remembered_max=3,
        transport=httpx.MockTransport(vault),
    )
    yield Rig(recipients, vault, clock)
    await recipients.close()


@pytest.fixture(params=["memory", "http"])
def recipients(request: pytest.FixtureRequest, http: Rig) -> Recipients[Reader]:
    return http.recipients if request.param == "http" else MemoryRecipients({REF: BUYER})


async def test_a_reference_stands_for_a_person(recipients: Recipients[Reader]) -> None:
    assert await recipients.read(REF) == BUYER


async def test_a_reference_of_nobody_is_erased(recipients: Recipients[Reader]) -> None:
    with pytest.raises(RecipientErased):
        await recipients.read("rcp_nobody")


async def test_what_is_forgotten_is_read_again(recipients: Recipients[Reader]) -> None:
    await recipients.read(REF)
    recipients.forget(REF)
    recipients.forget("rcp_nobody")
    assert await recipients.read(REF) == BUYER


async def test_the_vault_is_asked_with_our_key(http: Rig) -> None:
    await http.recipients.read(REF)
    assert http.vault.asked[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_a_reference_stays_one_step_of_the_path(http: Rig) -> None:
    reference = "rcp_../x?y=1#z %2F"
    http.vault.people[reference] = ANSWER
    assert await http.recipients.read(reference) == BUYER


async def test_a_recipient_is_remembered_for_so_many_seconds_at_most(http: Rig) -> None:
    for _ in range(3):
        await http.recipients.read(REF)
    assert len(http.vault.asked) == 1
    http.clock.at_s += 59.9
    await http.recipients.read(REF)
    assert len(http.vault.asked) == 1
    http.clock.at_s = 60.0
    del http.vault.people[REF]
    with pytest.raises(RecipientErased):
        await http.recipients.read(REF)


async def test_a_forgotten_recipient_is_asked_of_the_vault_at_once(http: Rig) -> None:
    await http.recipients.read(REF)
    http.recipients.forget(REF)
    del http.vault.people[REF]
    with pytest.raises(RecipientErased):
        await http.recipients.read(REF)


async def test_only_so_many_recipients_are_remembered_and_the_oldest_goes_first(http: Rig) -> None:
    http.vault.people = {f"rcp_{n}": ANSWER for n in range(4)}
    for reference in http.vault.people:
        await http.recipients.read(reference)
    for reference in ("rcp_1", "rcp_2", "rcp_3"):
        await http.recipients.read(reference)
    assert len(http.vault.asked) == 4
    await http.recipients.read("rcp_0")
    assert len(http.vault.asked) == 5


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500, 503])
async def test_a_vault_that_cannot_say_is_asked_again_later(http: Rig, status: int) -> None:
    http.vault.answer = httpx.Response(status)
    with pytest.raises(RecipientsUnavailable, match=str(status)):
        await http.recipients.read(REF)
    http.vault.answer = None
    assert await http.recipients.read(REF) == BUYER


async def test_a_vault_that_does_not_answer_is_asked_again_later(http: Rig) -> None:
    http.vault.answer = httpx.ReadTimeout("too slow")
    with pytest.raises(RecipientsUnavailable, match="ReadTimeout"):
        await http.recipients.read(REF)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"locale": "en"}', b'{"name": 1, "locale": "a-secret"}']
)
async def test_an_answer_that_makes_no_sense_is_quoted_nowhere(http: Rig, content: bytes) -> None:
    http.vault.answer = httpx.Response(200, content=content)
    with pytest.raises(RecipientsUnavailable, match="makes no sense") as caught:
        await http.recipients.read(REF)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
