"""Settings come from the environment; secrets may come as files instead."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict, SettingsError

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RETURNS_", extra="ignore")

    carrier_key: SecretStr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service whose secrets are mounted, as Kubernetes does: through links."""
    data = tmp_path / "..data"
    data.mkdir()
    for name, text in {
        "RETURNS_DATABASE_URL": "postgresql://returns\n",
        "RETURNS_KEY_PEPPER": "pepper",
        "RETURNS_CARRIER_KEY": "key",
        "PAYMENT_CARRIER_KEY": "another's",
    }.items():
        (data / name).write_text(text)
        (tmp_path / name).symlink_to(Path("..data") / name)
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_secrets_are_read_from_files_named_as_their_variables(folder: Path) -> None:
    read = Settings()
    assert read.database_url.get_secret_value() == "postgresql://returns"
    assert read.key_pepper.get_secret_value() == "pepper"
    assert read.carrier_key.get_secret_value() == "key"


def test_a_variable_goes_before_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNS_CARRIER_KEY", "newer")
    assert Settings().carrier_key.get_secret_value() == "newer"


def test_a_secret_without_a_file_is_missed(folder: Path) -> None:
    (folder / "RETURNS_CARRIER_KEY").unlink()
    with pytest.raises(ValidationError, match="carrier_key"):
        Settings()


def test_a_folder_that_is_not_there_stops_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_SECRETS_DIR", str(folder / "nowhere"))
    with pytest.raises(SettingsError, match="WAYBILL_SECRETS_DIR"):
        Settings()


def test_without_a_folder_everything_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYBILL_SECRETS_DIR", raising=False)
    for name in ("DATABASE_URL", "KEY_PEPPER", "CARRIER_KEY"):
        monkeypatch.setenv(f"RETURNS_{name}", name)
    assert Settings().key_pepper.get_secret_value() == "KEY_PEPPER"


def test_no_secret_is_told_with_a_mistake(folder: Path) -> None:
    (folder / "RETURNS_POOL_SIZE").write_text("s3cret")
    with pytest.raises(ValidationError) as told:
        Settings()
    assert "pool_size" in str(told.value)
    assert "s3cret" not in str(told.value)
