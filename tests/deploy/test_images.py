"""Dockerfiles have one shape; docker-compose.yml names what the code knows. Needs no Docker."""

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from waybill.embedded import docker, kafka
from waybill_events.catalogue import SUBSCRIPTIONS

ROOT = Path(__file__).parents[2]
SERVICES = sorted(SUBSCRIPTIONS)
SANDBOXES = ("carrier", "gateway", "mail", "warehouse")
LOCAL_BASE = "waybill-local/python:3"
BUILD_S = 900


def _dockerfile(name: str) -> str:
    folder = {"sandboxes": "sandboxes", "operator": "cli"}.get(name, f"services/{name}")
    return (ROOT / folder / "Dockerfile").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_the_dockerfiles_of_the_services_differ_in_the_name_alone(service: str) -> None:
    def shape(text: str, name: str) -> str:
        return re.sub(rf"\b{name}\b", "SERVICE", text)

    assert shape(_dockerfile(service), service) == shape(_dockerfile("capture"), "capture")


@pytest.mark.parametrize("name", [*SERVICES, "sandboxes", "operator"])
def test_an_image_is_built_in_two_stages_by_hash_and_runs_as_a_number(name: str) -> None:
    text = _dockerfile(name).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]
    assert lines[0] == "ARG BASE=python:3.11-slim"
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]
    final = lines[len(words) - words[::-1].index("FROM") :]
    assert "USER 10001:10001" in final
    assert all("--from=build" in line for line in final if line.startswith("COPY"))
    assert not [line for line in final if line.startswith(("RUN", "ADD"))]
    installs = [line for line in lines if '"install"' in line]
    assert len(installs) == 3
    assert all('"--require-hashes"' in line or '"--no-index"' in line for line in installs)
    for line in lines:
        if line.startswith(("RUN", "CMD", "ENTRYPOINT")):
            assert line.rstrip().endswith("]"), f"shell form: {line}"
    assert "://" not in text


def test_images_see_nothing_but_what_they_are_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    allowed = {"!libs", "!services", "!sandboxes", "!cli", "!deploy/images/*.lock"}
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == allowed


def _resolved(value: object) -> str:
    """`${NAME:-default}` as its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def _env(compose: Mapping[str, Any], service: str) -> dict[str, str]:
    given: Mapping[str, object] = compose["services"][service]["environment"]
    return {name: _resolved(value) for name, value in given.items()}


def test_compose_runs_what_the_catalogue_and_the_sandboxes_name(
    compose: Mapping[str, Any],
) -> None:
    migrations = {f"{service}-migrate" for service in SERVICES}
    expected = {*SERVICES, *SANDBOXES, *migrations, "postgres", "kafka", "keys", "operator"}
    assert set(compose["services"]) == expected
    for service in SERVICES:
        assert _resolved(compose["services"][service]["image"]) == f"waybill/{service}:dev"
        migration = compose["services"][f"{service}-migrate"]
        assert migration["build"]["dockerfile"] == f"services/{service}/Dockerfile"
        assert migration["command"] == ["migrate"]


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_a_service_settings_that_it_knows(
    service: str, compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = importlib.import_module(f"{service}.settings").Settings
    given = _env(compose, service)
    known = {f"{service}_{field}".upper() for field in settings.model_fields}
    assert set(given) <= known
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    read = settings()
    assert (read.bus, read.port, read.host) == ("kafka", 8000, "0.0.0.0")  # noqa: S104
    user, database = re.findall(
        r"//(\w+):.*@postgres:5432/(\w+)", given[f"{service}_DATABASE_URL".upper()]
    )[0]
    assert (user, database) == (service, service)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_the_owners_way_in_to_migrations_alone(
    service: str, compose: Mapping[str, Any]
) -> None:
    name = f"{service}_owner_database_url".upper()
    given = [one for one in compose["services"] if name in str(compose["services"][one])]
    assert given == [f"{service}-migrate"]
    url = _env(compose, f"{service}-migrate")[name]
    assert re.findall(r"//(\w+):.*@postgres:5432/(\w+)", url) == [(f"{service}_owner", service)]


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_compose_gives_a_sandbox_settings_that_it_knows(
    sandbox: str, compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = importlib.import_module(f"waybill_sandboxes.{sandbox}.settings").Settings
    given = _env(compose, sandbox)
    known = {
        field.validation_alias or f"{sandbox}_{name}".upper()
        for name, field in settings.model_fields.items()
    }
    assert set(given) <= known
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings()


def test_compose_publishes_on_this_machine_alone_and_hardens_what_is_ours(
    compose: Mapping[str, Any],
) -> None:
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert service["mem_limit"], name
        if name in ("postgres", "kafka"):
            assert "ports" not in service
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name in SERVICES:
            assert "/readyz" in service["healthcheck"]["test"][-1], name
            assert service["depends_on"]["keys"]["condition"] == "service_completed_successfully"


def test_compose_takes_the_stores_that_the_code_was_made_for(compose: Mapping[str, Any]) -> None:
    stores = compose["services"]
    assert _resolved(stores["kafka"]["image"]) == docker.KAFKA_IMAGE
    assert _resolved(stores["postgres"]["image"]) == docker.POSTGRES_IMAGE
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in stores["kafka"]["environment"].items()
    }
    for name in ("auto.create.topics.enable", "num.partitions", "log.retention.ms"):
        assert given[name] == kafka.BROKER[name]


def test_what_compose_may_be_told_is_explained(compose: Mapping[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+):-", text))
    explained = (ROOT / "deploy" / "compose" / "env.example").read_text()
    assert asked == set(re.findall(r"^#?(\w+)=", explained, re.MULTILINE))
    assert compose["services"]


def test_the_keys_are_let_in_with_the_settings_of_every_service(compose: Mapping[str, Any]) -> None:
    given = compose["services"]["keys"]["environment"]
    needed = {
        f"{service}_{field}".upper()
        for service in SERVICES
        for field in ("database_url", "key_pepper")
    }
    assert needed - set(given) == set()


def _engine_with_base() -> str | None:
    """Why no image can be built here; None when one can."""
    if shutil.which("docker") is None:
        return "no docker command"
    inspect = ["docker", "image", "inspect", LOCAL_BASE]
    if subprocess.run(inspect, capture_output=True, check=False, timeout=30).returncode != 0:
        return f"no Docker engine with the image {LOCAL_BASE} (deploy/images/local/build makes it)"
    return None


def test_a_real_image_of_capture_imports_its_service() -> None:
    against = _engine_with_base()
    if against:
        pytest.skip(against)
    tag = "waybill/capture:test"
    build = ["docker", "build", "--quiet", "--build-arg", f"BASE={LOCAL_BASE}", "--tag", tag]
    built = subprocess.run(
        [*build, "--file", "services/capture/Dockerfile", "."],
        cwd=ROOT,
        env=os.environ | {"DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    assert built.returncode == 0, built.stderr
    run = ["docker", "run", "--rm", "--read-only", tag, "--help"]
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120)
    assert "migrate" in said.stdout
