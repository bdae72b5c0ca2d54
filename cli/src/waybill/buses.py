"""The bus of a home: it keeps the one that its events were sent over."""

from typing import get_args

from waybill import home as homes
from waybill import system
from waybill.failure import CONFLICT, Failure
from waybill.programs import BusName


def kept(home: homes.Home) -> BusName | None:
    """The bus of a home that was ready once; None before."""
    named = system.dev_env(home.dev_env).get("BUS")
    return next((bus for bus in get_args(BusName) if bus == named), None)


def settle(home: homes.Home, asked: BusName | None) -> BusName:
    """The bus to start a home with: its own, else what was asked, else Postgres.

    Raises:
        Failure: another than its own was asked for.
    """
    own = kept(home)
    if own is not None and asked not in (None, own):
        raise Failure(
            f"The events of {home.path} went over bus {own}; on {asked} they would all be missing.",
            f"Leave BUS and --bus out, and it goes on with {own}. If that bus is lost,"
            " `waybill down` and `waybill up` make it anew and `waybill republish` fills it. For a"
            f" system on {asked}, name a new --home, or drop this one by `waybill clean`.",
            code=CONFLICT,
        )
    return own or asked or "postgres"
