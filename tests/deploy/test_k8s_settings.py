"""What the manifests tell each service: all it needs, nothing unknown, addresses that lead on."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.settings import SECRETS_DIR, ServiceSettings

Doc = dict[str, Any]


def _settings(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return found


def _named(docs: Sequence[Doc], kind: str, start: str) -> Iterator[Doc]:
    named = (doc for doc in docs if doc["metadata"]["name"].startswith(start))
    return (doc for doc in named if doc["kind"] == kind)


def _told(docs: Sequence[Doc], service: str) -> dict[str, str]:
    """The plain settings of a service, from its ConfigMap."""
    (doc,) = _named(docs, "ConfigMap", f"{service}-settings-")
    told: dict[str, str] = doc["data"]
    return told


def _pods(docs: Sequence[Doc], service: str) -> list[Doc]:
    """The specifications of its API's, worker's and migration's pods."""
    kinds = (("Deployment", "api"), ("Deployment", "worker"), ("Job", "migrate"))
    return [
        doc["spec"]["template"]["spec"]
        for kind, part in kinds
        for doc in _named(docs, kind, f"{service}-{part}")
    ]


def _secrets(service: str) -> set[str]:
    """The variables that no log may show."""
    fields = _settings(service).model_fields.items()
    return {f"{service}_{name}".upper() for name, said in fields if said.annotation is SecretStr}


def _addresses(service: str) -> Iterator[str]:
    """The settings that are addresses, but for those that are secrets."""
    for field, said in _settings(service).model_fields.items():
        if field.endswith("_url") and said.annotation is str:
            yield field


def _astray(docs: Sequence[Doc]) -> Iterator[str]:
    """Addresses that are not told, for a default leads to the pod itself, or that lead nowhere.

    Neither is seen before the first call: a probe asks nobody else.
    """
    ports = {
        doc["metadata"]["name"]: {one["port"] for one in doc["spec"]["ports"]}
        for doc in _named(docs, "Service", "")
    }
    for service in SUBSCRIPTIONS:
        told = _told(docs, service)
        for field in _addresses(service):
            name = f"{service}_{field}".upper()
            url = urlsplit(told.get(name, ""))
            host = url.hostname or ""
            asked = field.removesuffix("_url")
            if asked in SUBSCRIPTIONS:
                there = (url.port or 80) in ports.get(host, ())
                leads = url.scheme == "http" and host == f"{asked}-api" and there
            else:
                leads = url.scheme == "https" and "." in host
            if not leads:
                yield f"{name}={url.geturl()}"


def test_every_address_leads_to_what_is_here_or_outside(docs: list[Doc]) -> None:
    assert list(_astray(docs)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FULFILLMENT_CAPTURE_URL", "http://capture"),
        ("FULFILLMENT_CAPTURE_URL", "http://capture-api:8000"),
        ("FULFILLMENT_CAPTURE_URL", "http://payment-api"),
        ("FULFILLMENT_CAPTURE_URL", ""),
        ("FULFILLMENT_CARRIER_URL", "http://carrier.example"),
        ("FULFILLMENT_CARRIER_URL", "https://carrier"),
    ],
)
def test_an_address_that_leads_nowhere_is_caught(name: str, value: str, docs: list[Doc]) -> None:
    _told(docs, "fulfillment")[name] = value
    assert list(_astray(docs)) == [f"{name}={value}"]


def test_a_service_that_moved_away_from_its_callers_is_caught(docs: list[Doc]) -> None:
    (api,) = _named(docs, "Service", "capture-api")
    api["metadata"]["name"] = "capture"
    assert len(list(_astray(docs))) == 2
    api["metadata"]["name"] = "capture-api"
    api["spec"]["ports"][0]["port"] = 8000
    assert len(list(_astray(docs))) == 2


@pytest.mark.parametrize("service", sorted(SUBSCRIPTIONS))
def test_a_service_gets_the_settings_it_knows_and_all_that_it_needs(
    service: str, docs: list[Doc], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = _settings(service)
    plain = _told(docs, service)
    assert len(_pods(docs, service)) == 3
    known = {f"{service}_{field}".upper() for field in settings.model_fields}
    for pod in _pods(docs, service):
        (volume,) = [one["secret"] for one in pod["volumes"] if one["name"] == "secrets"]
        secret = {item["path"] for item in volume["items"]}
        assert {*plain, *secret} <= known
        assert not _secrets(service) & set(plain)
        assert secret <= _secrets(service)
        for name in secret:
            (tmp_path / name).write_text("whsec_" + "x" * 32)
        for name, value in plain.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
        settings()


@pytest.mark.parametrize("service", sorted(SUBSCRIPTIONS))
def test_the_owners_way_in_is_mounted_where_migrations_run_alone(
    service: str, docs: list[Doc]
) -> None:
    name = f"{service}_owner_database_url".upper()
    mounted = [
        name in {item["path"] for item in one["secret"]["items"]}
        for pod in _pods(docs, service)
        for one in pod["volumes"]
        if one["name"] == "secrets"
    ]
    assert mounted == [False, False, True]
