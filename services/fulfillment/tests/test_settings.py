"""What fulfillment must be told: without it no label can be bought."""

import pytest
from pydantic import SecretStr, ValidationError

from fulfillment.settings import Settings

NEEDED = {
    "database_url": "postgresql://fulfillment@localhost/fulfillment",
    "key_pepper": SecretStr("pepper"),
    "carrier_webhook_secret": SecretStr("secret"),
    "capture_url": "http://capture",
    "capture_key": SecretStr("key"),
}


def test_with_all_that_it_needs_it_starts() -> None:
    assert Settings.model_validate(NEEDED).capture_url == "http://capture"


@pytest.mark.parametrize("forgotten", ["capture_url", "capture_key"])
def test_a_forgotten_way_to_the_vault_is_told_at_the_start_not_at_the_first_label(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"FULFILLMENT_{forgotten.upper()}", raising=False)
    given = {name: value for name, value in NEEDED.items() if name != forgotten}
    with pytest.raises(ValidationError, match=forgotten):
        Settings.model_validate(given)
