"""Bugs in the clients of Kafka: a real broker alone shows them."""

from collections.abc import Iterator

from bugs.planting import Edit, bug
from waybill_runtime.adapters.kafka.bus_producer import KafkaProducer
from waybill_runtime.bus import Producer
from waybill_runtime.relay import Relay


@bug("I10", by="kafka")
def producer_reused_after_error() -> Iterator[Edit]:
    """A client whose send failed is kept: it will come to itself when the broker does."""

    async def discard(self: KafkaProducer) -> None:
        """Connecting anew is expensive."""
        if self.closed:
            await discard_for_good(self)

    async def lead(self: Relay) -> None:
        producer = kept.get(self) or kept.setdefault(self, await self._bus.producer())
        while not self._stopping and await self._store.still_leader("relay"):
            if not await self._publish(producer):
                await self._wake.wait(self._poll_s)

    kept: dict[Relay, Producer] = {}
    discard_for_good = KafkaProducer._discard
    yield Edit(KafkaProducer, "_discard", discard)
    yield Edit(Relay, "_lead", lead)
