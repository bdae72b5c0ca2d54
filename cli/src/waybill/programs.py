"""What runs on one machine, as data: each program, its environment, how to see that it is ready."""

import base64
import secrets as chance
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from waybill import home as homes
from waybill import plan, ports
from waybill.embedded import server
from waybill.embedded.account import Account

SERVICES = ("capture", "inventory", "payment", "fulfillment", "notification", "tracking")
SANDBOXES = ("gateway", "carrier", "mail")
ROLES = ("storefront", "warehouse", "operator")
PEER = "service"
"""The role of the keys with which services ask each other."""

READER = "waybill_reader"
"""The database role of people who look at logs: it changes nothing, and sees no vault."""

GATEWAY_CALLBACK = "/v1/callbacks/gateway"
CARRIER_CALLBACK = "/v1/callbacks/carrier"

BusName = Literal["postgres", "kafka"]
WarehouseName = Literal["none", "sandbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that is kept running."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ready_path: str | None = None
    """Where it answers 200 once ready; without one, accepting connections is enough."""
    ready_check: Callable[[], bool] | None = None
    """Asked instead, where an open port says too little."""
    cwd: str | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"http://{ports.HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What `waybill up` was asked for, and where the stores turned out to be."""

    bus: BusName
    warehouse: WarehouseName
    databases: Mapping[str, str]
    """DSN by role: each service, `bus`, their owners; and `postgres` for the superuser."""
    bootstrap: str = ""
    through: Mapping[str, int] = field(default_factory=dict)
    """Ports of relays that stand between a service and what it asks, by `<service>.<what>`."""


class Secrets:
    """Secrets of one home, each drawn when first asked for and kept with mode 600."""

    def __init__(self, home: homes.Home) -> None:
        self._file = home.path / "secrets.json"

    def get(self, name: str, draw: Callable[[], str] = lambda: chance.token_urlsafe(32)) -> str:
        kept = homes.read_json(self._file)
        if name not in kept:
            kept[name] = draw()
            homes.write_json(self._file, kept, mode=0o600)
        return str(kept[name])

    def api_key(self, name: str) -> str:
        """`wb_<id>_<secret>`, as the services know keys."""
        return self.get(f"key:{name}", lambda: f"wb_{chance.token_hex(4)}_{chance.token_hex(32)}")

    def webhook(self, name: str) -> str:
        """A signing secret in the form of Standard Webhooks."""
        return self.get(
            f"webhook:{name}",
            lambda: "whsec_" + base64.b64encode(chance.token_bytes(32)).decode(),
        )


class Shop:
    """Builds the programs of one system from what was chosen, its ports and its secrets."""

    def __init__(
        self, chosen: Chosen, secrets: Secrets, port_of: Mapping[str, int], data: str
    ) -> None:
        self._chosen = chosen
        self._secrets = secrets
        self._ports = port_of
        self._data = data

    def url(self, name: str) -> str:
        return f"http://{ports.HOST}:{self._ports[name]}"

    def key(self, role: str) -> str:
        return self._secrets.api_key(role)

    def programs(self) -> list[Program]:
        """Everything that is started together, once stores and schemas stand."""
        names = [*SANDBOXES, *(["warehouse"] if self._chosen.warehouse == "sandbox" else [])]
        return [self._sandbox(name) for name in names] + [self._service(name) for name in SERVICES]

    def needs(self) -> plan.Plan:
        """What the databases and the bus need before the programs start."""
        kafka = self._chosen.bus == "kafka"
        return plan.Plan(
            services=[
                plan.Service(
                    name=name,
                    dsn=self._chosen.databases[name],
                    owner_dsn=self._chosen.databases[owner(name)],
                    role=name,
                    pepper=self._secrets.get("key-pepper"),
                    keys=self._keys(name),
                )
                for name in SERVICES
            ],
            bus_dsn=self._chosen.databases["bus"],
            bus_owner_dsn=self._chosen.databases[owner("bus")],
            bus_role="bus",
            reader=READER,
            kafka_bootstrap=self._chosen.bootstrap if kafka else "",
        )

    def dev_env(self, home: homes.Home) -> dict[str, str]:
        """What people and tools need to use the system."""
        urls = {f"{name.upper()}_URL": self.url(name) for name in (*SERVICES, *SANDBOXES)}
        keys = {f"{role.upper()}_KEY": self.key(role) for role in ROLES}
        return {
            **urls,
            **keys,
            "DATABASE_URL": self._chosen.databases["postgres"],
            "BUS": self._chosen.bus,
            "KAFKA_BOOTSTRAP": self._chosen.bootstrap,
            "WAYBILL_HOME": str(home.path),
        }

    def _service(self, name: str) -> Program:
        return Program(
            name=name,
            command=python(name),
            env=self._service_env(name),
            port=self._ports[name],
            ready_path="/readyz",
        )

    def _service_env(self, name: str) -> dict[str, str]:
        fields = {
            "HOST": ports.HOST,
            "PORT": str(self._ports[name]),
            "DATABASE_URL": self._through(f"{name}.database", self._chosen.databases[name]),
            "BUS": self._chosen.bus,
            "BUS_DATABASE_URL": self._through(f"{name}.bus", self._chosen.databases["bus"]),
            "KAFKA_BOOTSTRAP": self._chosen.bootstrap,
            "KEY_PEPPER": self._secrets.get("key-pepper"),
            **self._own_fields(name),
        }
        return {f"{name.upper()}_{key}": value for key, value in fields.items()}

    def _own_fields(self, name: str) -> dict[str, str]:
        peer = {"CAPTURE_URL": self.url("capture"), "CAPTURE_KEY": self.key(f"{PEER}-{name}")}
        match name:
            case "capture":
                return {
                    "TRACKING_TOKEN_SECRET": self._secrets.get("tracking-token"),
                    "PUBLIC_TRACKING_URL": self.url("tracking"),
                }
            case "payment":
                return self._partner("gateway", name)
            case "fulfillment":
                return self._partner("carrier", name) | peer
            case "notification":
                return peer | {
                    "SMTP_HOST": ports.HOST,
                    "SMTP_PORT": str(self._ports["mail-smtp"]),
                    "MESSAGE_URL": self.url("mail"),
                }
            case _:
                return {}

    def _through(self, link: str, url: str) -> str:
        """The same URL, on the port of the relay that stands in between, if one does."""
        port = self._chosen.through.get(link)
        return url if port is None else server.at(url, port)

    def _partner(self, name: str, asker: str) -> dict[str, str]:
        """How a service reaches a sandbox, and how the sandbox signs what it calls back."""
        return {
            f"{name.upper()}_URL": self._through(f"{asker}.{name}", self.url(name)),
            f"{name.upper()}_API_KEY": self._secrets.get(f"{name}-api-key"),
            f"{name.upper()}_WEBHOOK_SECRET": self._secrets.webhook(name),
        }

    def _sandbox(self, name: str) -> Program:
        fields = {"PORT": str(self._ports[name]), "DATA_DIR": f"{self._data}/{name}"}
        match name:
            case "gateway" | "carrier":
                owner = {"gateway": "payment", "carrier": "fulfillment"}[name]
                path = {"gateway": GATEWAY_CALLBACK, "carrier": CARRIER_CALLBACK}[name]
                fields |= {
                    "API_KEY": self._secrets.get(f"{name}-api-key"),
                    "WEBHOOK_SECRET": self._secrets.webhook(name),
                    "CALLBACK_URL": self.url(owner) + path,
                }
            case "mail":
                fields |= {"SMTP_PORT": str(self._ports["mail-smtp"])}
            case _:
                fields |= {"KEY": self.key("warehouse")}
        env = {f"{name.upper()}_{key}": value for key, value in fields.items()}
        return Program(
            name=name,
            command=python(f"waybill_sandboxes.{name}"),
            # The warehouse is a customer of ours like any other: it is told our URL as ours.
            env=env | ({"FULFILLMENT_URL": self.url("fulfillment")} if name == "warehouse" else {}),
            port=self._ports[name],
            ready_path="/livez",
        )

    def _keys(self, service: str) -> list[plan.Key]:
        names = [(role, role) for role in ROLES]
        if service == "capture":
            names += [(f"{PEER}-{peer}", PEER) for peer in ("fulfillment", "notification")]
        return [plan.Key(name=name, role=role, secret=self.key(name)) for name, role in names]


def owner(database: str) -> str:
    """The role that owns a database: it migrates, and does nothing else."""
    return f"{database}_owner"


def python(module: str) -> tuple[str, ...]:
    """A module as a program; `-P` keeps the current folder from shadowing it."""
    return (sys.executable, "-P", "-m", module)


def port_names(warehouse: WarehouseName) -> list[str]:
    """Every port that the programs listen on."""
    sandboxes = [*SANDBOXES, "mail-smtp", *(["warehouse"] if warehouse == "sandbox" else [])]
    return [*SERVICES, *sandboxes]
