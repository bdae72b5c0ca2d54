"""The gateway, the carrier and the mail relay as nodes meet them in bad weather."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fulfillment.adapters.carrier_memory import MemoryCarrier
from fulfillment.ports import Carrier, CarrierShipment, CarrierUnavailable, LabelOrder
from fulfillment.ports import Declined as CarrierDeclined
from notification.adapters.channel_memory import MemoryChannel
from notification.ports import Channel, ChannelUnavailable, Outgoing
from payment.adapters.gateway_memory import NO_ANSWER, Entry, Lie, MemoryGateway
from payment.ports import Answer, NotFound, PaymentGateway
from waybill.simulation.storefront import REFUSED
from waybill.simulation.system import Partners
from waybill.simulation.weather import Strike, Weather
from waybill_runtime.clock import Clock

CARRIER = "carrier"
LIES = {
    "gateway loses a request": Lie.LOST_REQUEST,
    "gateway loses an answer": Lie.LOST_ANSWER,
    "gateway keeps an error": Lie.STORED_ERROR,
}

Tell = Callable[[Strike, str, str, Sequence[float]], None]
"""Tell `payment` or `fulfillment` of a key or shipment, each time after so many seconds."""


class LyingGateway(MemoryGateway):
    """A gateway that at times does not say what it did."""

    def __init__(self, clock: Clock, weather: Weather) -> None:
        super().__init__(clock, self._lies)
        self._weather = weather
        self._strike: Strike | None = None

    def _lies(self, _: str, __: str) -> Lie:
        self._strike = self._weather.take("gateway", "gateway")
        return Lie.NONE if self._strike is None else LIES[self._strike.kind]

    def _call(self, entry: Entry, forced: Lie, decide: Callable[[], Answer]) -> Answer:
        answer = super()._call(entry, forced, decide)
        if (strike := self._strike) is not None:
            self._strike = None
            with strike:
                strike.did(answer is NO_ANSWER, "unanswered")
        return answer


class TellingCarrier(MemoryCarrier):
    """A carrier that at times says what it has seen, before it is asked and twice."""

    def __init__(self, clock: Clock, weather: Weather, tell: Tell) -> None:
        super().__init__(clock.now)
        self._weather = weather
        self._tell = tell

    def scan(self, reference: str, status: str, place: str = "Depot") -> None:
        super().scan(reference, status, place)
        strike = self._weather.take("scan", "carrier")
        if strike is not None:
            self._tell(strike, "fulfillment", reference, (0.0, strike.amount))


def make(clock: Clock, weather: Weather, tell: Tell) -> Partners:
    """The world outside, which lies as the weather says."""
    return Partners(
        gateway=LyingGateway(clock, weather),
        carrier=TellingCarrier(clock, weather, tell),
        mail=MemoryChannel(refuses={REFUSED}),
        text=MemoryChannel(),
    )


@dataclass(slots=True)
class FaultyGateway:
    """One node's line to the gateway: slow at times, cut by the node's own death at others."""

    inner: PaymentGateway
    weather: Weather
    node: str
    tell: Tell

    async def authorize(
        self, key: str, *, reference: str, amount_minor: int, currency: str, token: str
    ) -> Answer:
        return await self._call(
            key,
            lambda: self.inner.authorize(
                key, reference=reference, amount_minor=amount_minor, currency=currency, token=token
            ),
        )

    async def capture(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int, final: bool
    ) -> Answer:
        return await self._call(
            key,
            lambda: self.inner.capture(
                key, authorization_id, reference=reference, amount_minor=amount_minor, final=final
            ),
        )

    async def void(self, key: str, authorization_id: str, *, reference: str) -> Answer:
        return await self._call(
            key, lambda: self.inner.void(key, authorization_id, reference=reference)
        )

    async def refund(
        self, key: str, authorization_id: str, *, reference: str, amount_minor: int
    ) -> Answer:
        return await self._call(
            key,
            lambda: self.inner.refund(
                key, authorization_id, reference=reference, amount_minor=amount_minor
            ),
        )

    async def lookup(self, key: str) -> Answer | NotFound:
        return await self.inner.lookup(key)

    async def close(self) -> None:
        await self.inner.close()

    async def _call(self, key: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        strike = self.weather.take("effect", "payment")
        if strike is None:
            return await call()
        if strike.kind == "gateway calls back":  # before its answer, and twice more after it
            self.tell(strike, "payment", key, (0.0, strike.amount, 2 * strike.amount))
            return await call()
        with strike:
            if strike.kind == "kill before effect":
                await strike.dies(self.node)
            if strike.kind == "gateway slow":
                await strike.late()
            answer = await call()
            if strike.kind == "kill after effect":
                await strike.dies(self.node)
        return answer


@dataclass(slots=True)
class FaultyCarrier:
    """One node's line to the carrier."""

    inner: Carrier
    weather: Weather

    async def buy_labels(self, order: LabelOrder) -> CarrierShipment | CarrierDeclined:
        self._check()
        strike = self.weather.take("carrier", "carrier")
        if strike is None:
            return await self.inner.buy_labels(order)
        with strike:
            if strike.kind == "carrier loses a request":
                raise strike.refusing(CarrierUnavailable("no answer, nothing bought"))
            answer = await self.inner.buy_labels(order)
            if strike.kind == "carrier loses an answer":
                raise strike.refusing(CarrierUnavailable("no answer, and yet bought"))
        return answer

    async def look_up(self, reference: str) -> CarrierShipment | None:
        self._check()
        return await self.inner.look_up(reference)

    async def close(self) -> None:
        await self.inner.close()

    def _check(self) -> None:
        if self.weather.is_away(CARRIER):
            raise self.weather.refusal(CARRIER, CarrierUnavailable("the carrier is down"))


@dataclass(slots=True)
class FaultyChannel:
    """One node's line to a mail relay."""

    inner: Channel
    weather: Weather

    async def send(self, message: Outgoing) -> str:
        strike = self.weather.take("mail", "mail")
        if strike is None:
            return await self.inner.send(message)
        with strike:
            if strike.kind == "mail loses a message":
                raise strike.refusing(ChannelUnavailable("no answer, nothing sent"))
            receipt = await self.inner.send(message)
            if strike.kind == "mail loses an answer":
                raise strike.refusing(ChannelUnavailable("no answer, and yet sent"))
        return receipt

    async def close(self) -> None:
        await self.inner.close()
