"""Bugs in the clients of Kafka: a real broker alone shows them."""

from collections.abc import Iterator

from bugs.planting import Edit, bug
from waybill_runtime.adapters.kafka.bus_producer import KafkaProducer


@bug(by="kafka")
def producer_reused_after_error() -> Iterator[Edit]:
    """A client whose send failed is kept: it will come to itself when the broker does."""
    discard_for_good = KafkaProducer._discard

    async def discard(self: KafkaProducer) -> None:
        """Connecting anew is expensive."""
        if self.closed:
            await discard_for_good(self)

    yield Edit(KafkaProducer, "_discard", discard)
