"""Messages from fact to verdict on the memory store, under virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from notification import bootstrap, decider, reactor
from notification.adapters.channel_memory import MemoryChannel
from notification.ports import Channel, Recipient
from notification.service import MESSAGE, PREFERENCES
from notification.settings import Settings
from waybill_events import capture, codec, fulfillment, notification, payment
from waybill_events.envelope import Recorded
from waybill_events.event import Allocation, Event, LineQuantity
from waybill_runtime.adapters.recipients_memory import MemoryRecipients
from waybill_runtime.recipients import RecipientsUnavailable
from waybill_runtime.service import Service
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import decide, hand, run_jobs
from waybill_runtime.testing.world import World, recorded, simulate

BUYER = Recipient(
    name="A. Buyer",
    locale="en-GB",
    email="buyer@example.com",
    phone="+442079460000",
    tracking_url="http://track.test/v1/track/secret",
)
PLACED = orders.placed(
    orders.line(1, 6, 255, name="Heart"),
    orders.line(2, 1, 100, sku="B", name="Star"),
    shipping_minor=495,
    external_ref="536365",
    customer_ref="a/17850",
    locale="en-GB",
    allow_partial=True,
)
CONFIRMED = orders.confirmed(
    PLACED,
    Allocation(line_id="ln_1", sku="A", location="main", quantity=2),
    Allocation(line_id="ln_1", sku="A", location="north", quantity=2),
    authorized_minor=1515,
)
SHORT = capture.OrderLinesCancelled(
    order_id="ord_x",
    reason="short_pick",
    source="ffo_x-1",
    lines=(LineQuantity(line_id="ln_2", sku="B", quantity=1),),
)
DISPATCHED = fulfillment.ShipmentDispatched(
    fulfillment_order_id="ffo_x-1",
    order_id="ord_x",
    shipment_id="shp_x-1",
    location="main",
    carrier="sandbox",
    service="standard",
    packages=(
        fulfillment.LabelledPackage(
            package_id="pkg_x-1-1", tracking_number="SB1", label_url="u", lines=()
        ),
    ),
    lines=(),
)
MAIL = "ord_x:confirmed:email"


class SlowRecipients(MemoryRecipients[Recipient]):
    """The vault is away for the first so many reads."""

    def __init__(self, people: dict[str, Recipient], away: int) -> None:
        super().__init__(people)
        self._away = away

    async def read(self, recipient_ref: str) -> Recipient:
        if self._away:
            self._away -= 1
            raise RecipientsUnavailable("no answer")
        return await super().read(recipient_ref)


@dataclass
class Post:
    """The service's handler and its job runner, on one memory store."""

    recipients: MemoryRecipients[Recipient] = field(
        default_factory=lambda: MemoryRecipients({"rcp_x": BUYER})
    )
    channels: Mapping[str, Channel] = field(
        default_factory=lambda: {"email": MemoryChannel(), "sms": MemoryChannel()}
    )

    def __post_init__(self) -> None:
        self.on = World().infrastructure("notification")
        told = Settings.model_construct()
        blueprint = bootstrap.assemble(told, self.on, self.recipients, self.channels)
        self.service = Service(blueprint, self.on)

    @property
    def mail(self) -> MemoryChannel:
        channel = self.channels["email"]
        assert isinstance(channel, MemoryChannel)
        return channel

    async def tell(self, *events: Event, origin: str = "live", version: int = 1) -> None:
        batch = [replace(self._envelope(event, version), origin=origin) for event in events]
        await hand(self.on, self.service.handler, *batch)

    @staticmethod
    def _envelope(event: Event, version: int) -> Recorded:
        topic = "orders" if event.TYPE.startswith("capture.") else "fulfillment"
        return recorded(event, stream="s", version=version, topic=topic, key="ord_x")

    async def run(self, seconds: float = 5) -> None:
        """Let what is due be sent for so long."""
        await run_jobs(self.on, seconds, effects=self.service.blueprint.effects)

    async def events(self) -> Sequence[Event]:
        async with self.on.store.reading() as reading:
            rows = await reading.streams.unpublished(1_000)
        return [codec.decode(row.event) for row in rows]

    async def refuse(self, channel: str) -> None:
        wanted = decider.SetPreference(customer_ref="a/17850", channel=channel, allowed=False)
        await decide(self.on, PREFERENCES, "a/17850", wanted)

    async def verdict(self, key: str = MAIL) -> Event | None:
        """What became of a message; None while it is open. There is at most one."""
        order, template, channel = key.split(":")
        message_id = f"msg_{order.removeprefix('ord_')}-{template}-{channel}"
        found = [
            event
            for event in await self.events()
            if getattr(event, "message_id", None) == message_id
            and not isinstance(event, notification.NotificationDecided)
        ]
        assert len(found) <= 1
        return found[0] if found else None


def tell_post(story: Callable[[Post], Awaitable[None]], **parts: object) -> None:
    async def main() -> None:
        await story(Post(**parts))  # type: ignore[arg-type]  # a Post's own fields

    simulate(1, main())


def test_a_confirmed_order_is_told_by_mail_with_what_was_confirmed() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run()
        assert isinstance(await post.verdict(), notification.NotificationSent)
        (mail,) = post.mail.messages.values()
        assert mail.to == BUYER.email
        assert "536365" in mail.subject
        assert "4 \u00d7 Heart" in mail.text
        assert "Star" not in mail.text
        assert "£15.15" in mail.text

    tell_post(story)


def test_what_will_not_come_is_named() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, SHORT, version=4)
        await post.run()
        (mail,) = post.mail.messages.values()
        assert "1 \u00d7 Star" in mail.text
        assert "Heart" not in mail.text

    tell_post(story)


def test_a_shipment_is_told_by_mail_and_by_a_short_text() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, DISPATCHED)
        await post.run()
        text = post.channels["sms"]
        assert isinstance(text, MemoryChannel)
        ((mail,), (sms,)) = (post.mail.messages.values(), text.messages.values())
        assert "SB1" in mail.text
        assert (sms.to, sms.html, sms.subject) == (BUYER.phone, None, "")
        assert BUYER.tracking_url in sms.text
        assert len(sms.text) < 160

    tell_post(story)


def test_each_part_of_two_refunds_over_two_authorisations_is_told() -> None:
    parts = ("rfn_a", "rfn_a-2", "rfn_b", "rfn_b-2")

    async def story(post: Post) -> None:
        await post.tell(PLACED)
        for number, refund_id in enumerate(parts, start=1):
            refunded = payment.PaymentRefunded(
                payment_id="pay_x",
                order_id="ord_x",
                refund_id=refund_id,
                amount_minor=100 + number,
                refunded_minor=100 * number,
                currency="GBP",
            )
            await post.tell(refunded, version=number)
        await post.run()
        told = " ".join(mail.text for mail in post.mail.messages.values())
        assert [f"£1.0{number}" in told for number in (1, 2, 3, 4)] == [True] * 4

    tell_post(story)


def test_the_same_fact_twice_decides_and_sends_once() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED, CONFIRMED)
        await post.tell(CONFIRMED)
        await post.run()
        await post.tell(CONFIRMED)
        decided = [
            e for e in await post.events() if isinstance(e, notification.NotificationDecided)
        ]
        assert len(decided) == len(post.mail.messages) == 1

    tell_post(story)


@pytest.mark.parametrize("origin", ["import", "repair"])
def test_imports_never_send(origin: str) -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED, DISPATCHED, origin=origin)
        await post.run(600)
        assert await post.events() == []
        assert not post.mail.messages

    tell_post(story)


@pytest.mark.parametrize("away", [0, 3])
def test_a_refused_address_is_never_tried_again(away: int) -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run(600)
        verdict = await post.verdict()
        assert isinstance(verdict, notification.NotificationFailed)
        assert (verdict.reason, verdict.attempts) == ("no such address", away + 1)
        assert str(BUYER.email) not in verdict.model_dump_json()

    vault = SlowRecipients({"rcp_x": BUYER}, away=away)
    refuses = MemoryChannel(refuses=[str(BUYER.email)])
    tell_post(story, recipients=vault, channels={"email": refuses})


def test_a_channel_that_was_away_sends_later_and_once() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run(60)
        assert isinstance(await post.verdict(), notification.NotificationSent)
        assert len(post.mail.messages) == 1

    tell_post(story, channels={"email": MemoryChannel(failures=3)})


def test_a_vault_that_was_away_is_asked_again() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run(60)
        assert isinstance(await post.verdict(), notification.NotificationSent)

    tell_post(story, recipients=SlowRecipients({"rcp_x": BUYER}, away=3))


def test_a_channel_that_stays_away_is_given_up_after_all_tries() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run(3_600)
        verdict = await post.verdict()
        assert isinstance(verdict, notification.NotificationFailed)
        assert verdict.attempts == decider.TRIES
        assert verdict.reason == "ChannelUnavailable: no answer"

    tell_post(story, channels={"email": MemoryChannel(failures=1_000)})


def test_an_outage_of_half_an_hour_loses_no_message() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run(1_800)
        assert await post.verdict() is None

    tell_post(story, channels={"email": MemoryChannel(failures=1_000)})


def test_a_message_waits_for_its_order_to_be_read() -> None:
    async def story(post: Post) -> None:
        await post.tell(DISPATCHED)
        async with asyncio.TaskGroup() as group:
            group.create_task(post.run(30))
            await asyncio.sleep(5)
            assert not post.mail.messages
            await post.tell(PLACED)
        assert len(post.mail.messages) == 1

    tell_post(story)


def test_a_customer_who_refused_the_channel_is_left_alone() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.refuse("email")
        await post.run()
        assert await _suppressed(post) == "preference"

    tell_post(story)


def test_chat_is_for_those_who_asked_for_it() -> None:
    async def story(post: Post) -> None:
        envelope = recorded(CONFIRMED, stream="s", version=1, topic="orders", key="ord_x")
        ((key, tell),) = reactor.react(envelope, CONFIRMED, {"confirmed": ["chat"]})
        await post.tell(PLACED)
        await decide(post.on, MESSAGE, key, tell)
        await post.run()
        assert await _suppressed(post, key) == "preference"

    tell_post(story, channels={"chat": MemoryChannel()})


def test_somebody_without_an_address_cannot_be_told() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run()
        assert await _suppressed(post) == "no_address"

    tell_post(story, recipients=MemoryRecipients({"rcp_x": replace(BUYER, email=None)}))


def test_a_channel_that_is_not_set_up_sends_nothing() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        await post.run()
        assert await _suppressed(post) == "no_channel"

    tell_post(story, channels={})


def test_an_erased_recipient_is_told_nothing_more() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED)
        post.recipients.people.clear()
        await post.tell(capture.RecipientErased(recipient_ref="rcp_x", order_id="ord_x"))
        await post.run()
        assert await _suppressed(post) == "recipient_erased"

    tell_post(story)


def test_nothing_personal_is_kept() -> None:
    async def story(post: Post) -> None:
        await post.tell(PLACED, CONFIRMED, DISPATCHED, SHORT)
        await post.run()
        said = "".join(event.model_dump_json() for event in await post.events())
        assert said
        for secret in (BUYER.name, BUYER.email, BUYER.phone, BUYER.tracking_url):
            assert str(secret) not in said

    tell_post(story)


async def _suppressed(post: Post, key: str = MAIL) -> str:
    """Why a message was not sent; that it was not."""
    verdict = await post.verdict(key)
    assert isinstance(verdict, notification.NotificationSuppressed)
    assert all(not c.messages for c in post.channels.values() if isinstance(c, MemoryChannel))
    return verdict.reason
