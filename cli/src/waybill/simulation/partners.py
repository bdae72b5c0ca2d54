"""The gateway, the carrier and the mail relay as nodes meet them in bad weather."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fulfillment.adapters.carrier_memory import MemoryCarrier
from fulfillment.ports import Carrier, CarrierShipment, CarrierUnavailable, LabelOrder
from fulfillment.ports import Declined as CarrierDeclined
from notification.adapters.channel_memory import MemoryChannel
from notification.ports import Channel, ChannelUnavailable, Outgoing
from payment.adapters.gateway_memory import Lie, MemoryGateway
from payment.ports import Answer, NotFound, PaymentGateway
from waybill.simulation.faulty import die
from waybill.simulation.storefront import REFUSED
from waybill.simulation.system import Partners
from waybill.simulation.weather import Weather
from waybill_runtime.clock import Clock

CARRIER = "carrier"
LIES = {
    "gateway loses a request": Lie.LOST_REQUEST,
    "gateway loses an answer": Lie.LOST_ANSWER,
    "gateway keeps an error": Lie.STORED_ERROR,
}

Tell = Callable[[str, str, float], None]
"""Tell `payment` or `fulfillment` of a key or shipment, after so many seconds."""


def lying(weather: Weather) -> Callable[[str, str], Lie]:
    """What a memory gateway asks before it decides a call."""

    def lie(_: str, __: str) -> Lie:
        fault = weather.take("gateway", "gateway")
        return Lie.NONE if fault is None else LIES[fault.kind]

    return lie


class TellingCarrier(MemoryCarrier):
    """A carrier that at times says what it has seen, before it is asked and twice."""

    def __init__(self, clock: Clock, weather: Weather, tell: Tell) -> None:
        super().__init__(clock.now)
        self._weather = weather
        self._tell = tell

    def scan(self, reference: str, status: str, place: str = "Depot") -> None:
        super().scan(reference, status, place)
        fault = self._weather.take("scan", "carrier")
        if fault is not None:
            self._tell("fulfillment", reference, 0.0)
            self._tell("fulfillment", reference, fault.amount)


def make(clock: Clock, weather: Weather, tell: Tell) -> Partners:
    """The world outside, which lies as the weather says."""
    return Partners(
        gateway=MemoryGateway(clock, lying(weather)),
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
        fault = self.weather.take("effect", "payment")
        if fault is None:
            return await call()
        match fault.kind:
            case "kill before effect":
                await die(self.weather, self.node, fault)
            case "gateway slow":
                await asyncio.sleep(fault.amount)
            case "gateway calls back":  # before its answer, and twice more after it
                for after_s in (0.0, fault.amount, 2 * fault.amount):
                    self.tell("payment", key, after_s)
        answer = await call()
        if fault.kind == "kill after effect":
            await die(self.weather, self.node, fault)
        return answer


@dataclass(slots=True)
class FaultyCarrier:
    """One node's line to the carrier."""

    inner: Carrier
    weather: Weather

    async def buy_labels(self, order: LabelOrder) -> CarrierShipment | CarrierDeclined:
        self._check()
        fault = self.weather.take("carrier", "carrier")
        if fault is not None and fault.kind == "carrier loses a request":
            raise CarrierUnavailable("no answer, nothing bought")
        answer = await self.inner.buy_labels(order)
        if fault is not None:
            raise CarrierUnavailable("no answer, and yet bought")
        return answer

    async def look_up(self, reference: str) -> CarrierShipment | None:
        self._check()
        return await self.inner.look_up(reference)

    async def close(self) -> None:
        await self.inner.close()

    def _check(self) -> None:
        if self.weather.is_away(CARRIER):
            raise CarrierUnavailable("the carrier is down")


@dataclass(slots=True)
class FaultyChannel:
    """One node's line to a mail relay."""

    inner: Channel
    weather: Weather

    async def send(self, message: Outgoing) -> str:
        fault = self.weather.take("mail", "mail")
        if fault is not None and fault.kind == "mail loses a message":
            raise ChannelUnavailable("no answer, nothing sent")
        receipt = await self.inner.send(message)
        if fault is not None:
            raise ChannelUnavailable("no answer, and yet sent")
        return receipt

    async def close(self) -> None:
        await self.inner.close()
