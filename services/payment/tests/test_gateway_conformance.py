"""What every `PaymentGateway` must do: the memory one, and the HTTP one on the sandbox gateway."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from payment.adapters.gateway_http import HttpGateway
from payment.adapters.gateway_memory import MemoryGateway
from payment.ports import (
    Answer,
    Authorized,
    Declined,
    Done,
    NotFound,
    PaymentGateway,
    Pending,
    Unknown,
)
from waybill_runtime.clock import LoopClock
from waybill_runtime.testing.world import EPOCH
from waybill_sandboxes.gateway import app, ledger
from waybill_sandboxes.journal import MemoryJournal

PATIENCE_S = 5.0
APPROVE = "tok_approve"
EXPIRES_FAST_S = 0.4
OPTIONS = ledger.Options(hang_s=30, pending_s=0.2, expires_fast_s=EXPIRES_FAST_S)


@dataclass
class Rig:
    """A gateway, a way to let its short-lived authorisations expire, and what it wrote down."""

    gateway: PaymentGateway
    let_expire: Callable[[], Awaitable[None]]
    ledger: Callable[[], Sequence[Mapping[str, Any]]]


@contextlib.asynccontextmanager
async def sandbox(core: ledger.Gateway) -> AsyncIterator[str]:
    """The sandbox gateway on a real socket, for time-outs are a socket's; yields its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        built = app.build(core, api_key="key", wake=lambda: None)
        config = uvicorn.Config(built, log_config=None, timeout_graceful_shutdown=1, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        async with asyncio.timeout(PATIENCE_S):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture(params=["memory", "http"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "memory":
        clock = LoopClock(EPOCH)

        async def skip() -> None:
            clock.skew_s += 4

        memory = MemoryGateway(clock)
        yield Rig(memory, skip, lambda: [asdict(entry) for entry in memory.ledger])
        return
    core = ledger.Gateway(MemoryJournal(), OPTIONS)
    async with sandbox(core) as url:
        http = HttpGateway(url, "key", timeout_s=0.3)
        yield Rig(http, lambda: asyncio.sleep(EXPIRES_FAST_S + 0.1), lambda: core.entries(0, 100))
        await http.close()


@pytest.fixture
def gateway(rig: Rig) -> PaymentGateway:
    return rig.gateway


async def authorize(
    gateway: PaymentGateway, key: str, token: str = APPROVE, *, amount_minor: int = 1000
) -> Answer:
    return await gateway.authorize(
        key, reference="ord_1", amount_minor=amount_minor, currency="GBP", token=token
    )


async def held(gateway: PaymentGateway, token: str = APPROVE) -> str:
    answer = await authorize(gateway, "auth", token)
    assert isinstance(answer, Authorized)
    return answer.authorization_id


async def capture(
    gateway: PaymentGateway,
    key: str,
    authorization_id: str,
    *,
    amount_minor: int,
    final: bool = False,
) -> Answer:
    return await gateway.capture(
        key, authorization_id, reference="shp_1", amount_minor=amount_minor, final=final
    )


async def refund(
    gateway: PaymentGateway, key: str, authorization_id: str, *, amount_minor: int
) -> Answer:
    return await gateway.refund(key, authorization_id, reference="rfn_1", amount_minor=amount_minor)


async def verdict(gateway: PaymentGateway, key: str) -> Answer | NotFound:
    """The look-up's answer once it is no longer pending."""
    async with asyncio.timeout(PATIENCE_S):
        while isinstance(answer := await gateway.lookup(key), Pending):
            await asyncio.sleep(0.05)
    return answer


async def test_an_approved_amount_is_held_until_a_time(gateway: PaymentGateway) -> None:
    answer = await authorize(gateway, "auth")
    assert isinstance(answer, Authorized)
    assert answer.authorization_id
    assert answer.expires_at.utcoffset() is not None
    assert await gateway.lookup("auth") == answer


async def test_the_same_key_is_answered_the_same(gateway: PaymentGateway) -> None:
    assert await authorize(gateway, "auth") == await authorize(gateway, "auth")


async def test_a_key_that_was_never_sent_is_not_found(gateway: PaymentGateway) -> None:
    assert await gateway.lookup("never") == NotFound()


async def test_a_decline_says_why_and_stays(gateway: PaymentGateway) -> None:
    declined = Declined(code="do_not_honor", retryable=False)
    assert await authorize(gateway, "auth", "tok_decline") == declined
    assert await gateway.lookup("auth") == declined


async def test_a_token_that_does_not_exist_is_declined(gateway: PaymentGateway) -> None:
    answer = await authorize(gateway, "auth", "no token at all")
    assert isinstance(answer, Declined)
    assert not answer.retryable


async def test_parts_are_captured_up_to_what_is_held(gateway: PaymentGateway) -> None:
    id_ = await held(gateway)
    assert await capture(gateway, "c1", id_, amount_minor=600) == Done()
    assert isinstance(await capture(gateway, "c2", id_, amount_minor=401), Declined)
    assert await capture(gateway, "c3", id_, amount_minor=400) == Done()
    assert await gateway.lookup("c1") == Done()
    assert isinstance(await gateway.lookup("c2"), Declined)


async def test_a_capture_repeated_under_its_key_is_made_once(
    gateway: PaymentGateway,
) -> None:
    id_ = await held(gateway)
    for _ in range(3):
        assert await capture(gateway, "c1", id_, amount_minor=600) == Done()
    assert await capture(gateway, "c2", id_, amount_minor=400) == Done()


async def test_a_final_capture_lets_go_of_the_rest(gateway: PaymentGateway) -> None:
    id_ = await held(gateway)
    assert await capture(gateway, "c1", id_, amount_minor=600, final=True) == Done()
    assert isinstance(await capture(gateway, "c2", id_, amount_minor=1), Declined)


@pytest.mark.parametrize(("final", "released_minor"), [(True, 400), (False, 0)])
async def test_the_ledger_tells_what_a_capture_let_go_of(
    rig: Rig, *, final: bool, released_minor: int
) -> None:
    """An auditor adds it up: what is neither captured nor let go of is held."""
    id_ = await held(rig.gateway)
    await capture(rig.gateway, "c1", id_, amount_minor=600, final=final)
    entry = rig.ledger()[-1]
    assert (entry["operation"], entry["amount_minor"]) == ("capture", 600)
    assert entry["released_minor"] == released_minor


async def test_a_void_lets_go_and_only_once(gateway: PaymentGateway) -> None:
    id_ = await held(gateway)
    assert await gateway.void("v1", id_, reference="ord_1") == Done()
    again = await gateway.void("v2", id_, reference="ord_1")
    assert again == Declined(code="nothing_to_void")
    assert await gateway.lookup("v1") == Done()
    assert await gateway.lookup("v2") == again
    assert isinstance(await capture(gateway, "c1", id_, amount_minor=1), Declined)


async def test_no_more_is_refunded_than_was_captured(gateway: PaymentGateway) -> None:
    id_ = await held(gateway)
    await capture(gateway, "c1", id_, amount_minor=600)
    assert await refund(gateway, "r1", id_, amount_minor=400) == Done()
    assert isinstance(await refund(gateway, "r2", id_, amount_minor=201), Declined)
    assert await refund(gateway, "r3", id_, amount_minor=200) == Done()
    assert await gateway.lookup("r1") == Done()


async def test_a_lost_answer_is_unknown_and_the_look_up_finds_what_was_done(
    gateway: PaymentGateway,
) -> None:
    first = await authorize(gateway, "auth", "tok_timeout_after_charge")
    assert isinstance(first, Unknown)
    found = await gateway.lookup("auth")
    assert isinstance(found, Authorized)
    assert await authorize(gateway, "auth", "tok_timeout_after_charge") == found


async def test_a_lost_request_did_nothing_and_works_under_the_same_key(
    gateway: PaymentGateway,
) -> None:
    for token in ("tok_timeout_before_charge", "tok_error_once"):
        assert isinstance(await authorize(gateway, token, token), Unknown)
        assert await gateway.lookup(token) == NotFound()
        assert isinstance(await authorize(gateway, token, token), Authorized)


async def test_a_stored_error_stays_though_the_look_up_knows_better(
    gateway: PaymentGateway,
) -> None:
    for _ in range(2):
        assert isinstance(await authorize(gateway, "auth", "tok_stored_error"), Unknown)
    assert isinstance(await gateway.lookup("auth"), Authorized)


async def test_a_lost_answer_to_a_capture_is_looked_up(gateway: PaymentGateway) -> None:
    id_ = await held(gateway, "tok_capture_timeout_after_charge")
    assert isinstance(await capture(gateway, "c1", id_, amount_minor=600), Unknown)
    assert await gateway.lookup("c1") == Done()


async def test_a_capture_can_be_declined(gateway: PaymentGateway) -> None:
    id_ = await held(gateway, "tok_capture_decline")
    answer = await capture(gateway, "c1", id_, amount_minor=600)
    assert answer == Declined(code="do_not_honor", retryable=False)
    assert await gateway.lookup("c1") == answer


async def test_a_pending_authorisation_gets_its_verdict_later(
    gateway: PaymentGateway,
) -> None:
    assert await authorize(gateway, "auth", "tok_pending") == Pending()
    assert isinstance(await verdict(gateway, "auth"), Authorized)


async def test_a_pending_authorisation_may_be_declined(gateway: PaymentGateway) -> None:
    assert await authorize(gateway, "auth", "tok_pending_decline") == Pending()
    assert isinstance(await verdict(gateway, "auth"), Declined)


async def test_an_expired_hold_can_be_neither_captured_nor_voided(
    gateway: PaymentGateway, rig: Rig
) -> None:
    id_ = await held(gateway, "tok_expires_fast")
    await rig.let_expire()
    expired = Declined(code="authorization_expired")
    assert await capture(gateway, "c1", id_, amount_minor=600) == expired
    assert await gateway.void("v1", id_, reference="ord_1") == expired
    assert await gateway.lookup("c1") == expired
    assert await gateway.lookup("v1") == expired


PERSON = "Ada Lovelace, 12 St James's Square"
PROBLEM = {"content-type": "application/problem+json"}


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        (
            httpx.Response(201, json={"status": "declined", "decline_code": PERSON}),
            Declined(code="declined"),
        ),
        (
            httpx.Response(201, json={"status": PERSON}),
            Unknown(detail="the gateway's outcome is none"),
        ),
        (
            httpx.Response(422, json={"type": f"urn:x:{PERSON}"}, headers=PROBLEM),
            Unknown(detail="the gateway answered 422"),
        ),
        (
            httpx.Response(422, json={"type": "urn:x:no-card", "detail": PERSON}, headers=PROBLEM),
            Declined(code="no_card"),
        ),
        (
            httpx.Response(
                201, json={"status": "approved", "id": "a", "expires_at": f"2026-11-28 {PERSON}"}
            ),
            Unknown(detail="ValueError"),
        ),
        (httpx.Response(201, text=PERSON), Unknown(detail="JSONDecodeError")),
        (httpx.Response(503, text=PERSON), Unknown(detail="the gateway answered 503")),
    ],
)
async def test_of_what_a_gateway_says_its_codes_are_kept_and_no_word(
    answer: httpx.Response, meant: Answer
) -> None:
    transport = httpx.MockTransport(lambda _: answer)
    gateway = HttpGateway("http://gateway", "key", timeout_s=1, transport=transport)
    assert await authorize(gateway, "auth") == meant
    await gateway.close()
