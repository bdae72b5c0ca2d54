"""What the databases and the bus need before the programs start, as the daemon tells it."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Told(BaseModel):
    """Holds secrets: an error names a field, never what stood in it."""

    model_config = ConfigDict(hide_input_in_errors=True)


class Key(Told):
    """An API key that a service is to let in, and the role whose scopes it gets."""

    name: str
    role: str
    secret: str


class Service(Told):
    """What one service needs before it starts: `dsn` is its own way in, under `role`."""

    name: str
    dsn: str
    owner_dsn: str
    role: str
    pepper: str
    keys: Sequence[Key]


class Plan(Told):
    """The whole of it, as it comes by stdin: a command line can be read by every user.

    `kafka_bootstrap` names the bus; empty, it is the Postgres bus, which the services enter as
    `bus_role`. `reader` may look at every log.
    """

    services: Sequence[Service]
    bus_dsn: str
    bus_owner_dsn: str
    bus_role: str
    reader: str
    kafka_bootstrap: str = ""
