"""What a process that dies is told: what it is, where everything is, and where to die."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

BUS_LEASE_S = 1.0
JOB_LEASE_S = 1.5
IDLE_IN_TRANSACTION_S = 1.5
PAUSE_S = 2.5
"""How long a paused process stands still: longer than every lease and limit above."""

Act = Literal["kill", "raise", "surprise", "stop"]


class Arm(BaseModel):
    """What is to happen at a point: die, fail as the port fails or as nobody expects, or stand."""

    label: str
    moment: Literal["before", "after"]
    act: Act
    times: int = 1


class Told(BaseModel):
    """What a child is told: what it is, where its stores are, how its neighbours are reached."""

    role: Literal[
        "service",
        "api",
        "rebuild",
        "lost",
        "retry",
        "discard",
        "repair",
        "republish",
        "give_back",
        "add",
        "revoke",
    ]
    service: str
    databases: Mapping[str, str]
    bus: str
    pepper: str
    key: str
    port: int
    urls: Mapping[str, str]
    smtp_port: int
    secret: str
    log: str
    fired: str
    """The file in which each trigger is written down before it acts."""
    arms: Sequence[Arm] = ()
    subject: str = ""
    """What a tool is used on: a view, a parked key, an API key."""
    order_ttl_s: int = 30

    @property
    def database(self) -> str:
        return self.databases[self.service]
