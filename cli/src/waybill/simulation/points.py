"""The labelled points of the services at which a simulated day may end a life (decision 0017).

The ports of a life are wrapped, as for the crash tests; `labels` names the points.
"""

from typing import TypeVar

from waybill.simulation.weather import ANYWHERE, Weather
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.testing import points

P = TypeVar("P")

MOMENTS = ("point.before", "point.after")


class Points:
    """What one life calls at each of its points: it dies there when a fault says so."""

    def __init__(self, weather: Weather, service: str, node: str) -> None:
        self._weather = weather
        self._service = service
        self._node = node
        self.is_watched = any(
            target == ANYWHERE or target.startswith(f"{service}/")
            for moment in MOMENTS
            for target in weather.waited_for(moment)
        )
        """Only a life that a fault may meet is watched: to find out who calls takes time."""

    async def __call__(self, point: points.Point) -> None:
        strike = self._weather.take(f"point.{point.moment}", point.label)
        if strike is not None:
            with strike:
                await strike.dies(self._node)

    def around(self, on: Infrastructure) -> Infrastructure:
        return points.watch(on, self._service, self) if self.is_watched else on

    def around_port(self, port: P, name: str) -> P:
        label = f"{self._service}/{name}"
        return points.watched(port, label, self) if self.is_watched else port
