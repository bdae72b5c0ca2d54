"""Every service is there, and operators see the views that it really keeps."""

from pathlib import Path

import pytest

from waybill import home as homes
from waybill import programs, registry, system
from waybill.failure import NOT_FOUND, USAGE, Failure
from waybill_runtime.testing.world import World, simulate


@pytest.fixture
def known(tmp_path: Path) -> system.System:
    """A system as `waybill up` leaves it: ports, secrets, and where the databases are."""
    home = homes.Home(tmp_path / "home")
    home.prepare()
    names = programs.port_names("none")
    homes.write_json(home.path / "ports.json", {n: 20_000 + at for at, n in enumerate(names)})
    return system.System(home, {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/postgres"})


@pytest.mark.parametrize("service", registry.SERVICES)
def test_a_service_put_together_keeps_the_views_that_operators_see(
    service: str, known: system.System
) -> None:
    async def main() -> None:
        blueprint = registry.compose(service, known, World().infrastructure(service))
        await blueprint.close()
        assert blueprint.name == service
        kept = sorted(view.name for view in blueprint.views)
        assert [view.name for view in registry.views(service)] == kept

    simulate(1, main())


def test_settings_that_nobody_knows_are_told_with_their_prefix(tmp_path: Path) -> None:
    nothing = system.System(homes.Home(tmp_path / "none"), {})
    with pytest.raises(Failure) as failed:
        registry.compose("capture", nothing, World().infrastructure("capture"))
    assert failed.value.code == USAGE
    assert "CAPTURE_" in failed.value.remedy


def test_an_unknown_view_or_service_is_told_what_there_is() -> None:
    with pytest.raises(Failure) as view:
        registry.find_view("nothing")
    assert view.value.code == NOT_FOUND
    assert "customer" in view.value.remedy
    with pytest.raises(Failure) as service:
        registry.services("nothing")
    assert service.value.code == USAGE


def test_a_named_home_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUS", raising=False)  # make exports it
    home = tmp_path / "shop"
    home.mkdir()
    (home / "dev.env").write_text("BUS=kafka\nMAIL_URL=http://home\n")
    monkeypatch.setenv("MAIL_URL", "http://environment")
    monkeypatch.setenv("WAYBILL_HOME", str(home))
    assert system.find(home).values["MAIL_URL"] == "http://home"
    assert system.find(None).values["MAIL_URL"] == "http://environment"
    assert system.find(None).bus == "kafka"
