"""What is put together goes by the settings, and by no default of its own."""

from collections.abc import Sequence

from notification import bootstrap
from notification.settings import Settings
from waybill_events import capture, codec
from waybill_events.notification import NotificationDecided
from waybill_runtime.adapters.recipients_memory import MemoryRecipients
from waybill_runtime.service import Blueprint
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import World, recorded

REJECTED = capture.OrderRejected(order_id="ord_x", reason="out_of_stock", detail="", shortages=())


def assembled(world: World, settings: Settings) -> Blueprint:
    on = world.infrastructure("notification")
    return bootstrap.assemble(settings, on, MemoryRecipients({}), {})


async def decided(settings: Settings) -> Sequence[str]:
    """The channels through which a rejected order is told."""
    world = World()
    on = world.infrastructure("notification")
    handler = assembled(world, settings).handler
    assert handler is not None
    envelope = recorded(REJECTED, stream="s", version=1, topic="orders", key="ord_x")
    await hand(on, handler, envelope)
    async with on.store.reading() as reading:
        events = [codec.decode(row.event) for row in await reading.streams.unpublished(100)]
    return [event.channel for event in events if isinstance(event, NotificationDecided)]


async def test_settings_say_through_which_channels_a_customer_is_told() -> None:
    assert await decided(Settings.model_construct()) == ["email"]
    other = Settings.model_construct(channels={"rejected": ["sms", "chat"]})
    assert sorted(await decided(other)) == ["chat", "sms"]


def test_settings_say_how_many_messages_are_sent_at_once() -> None:
    for many in (1, 3):
        settings = Settings.model_construct(effects_at_once=many)
        assert assembled(World(), settings).effects_at_once == many
