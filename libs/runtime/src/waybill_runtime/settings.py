"""What every service can be told: variables `<SERVICE>_<FIELD>`, or mounted files of those names.

The folder of such files is named by `WAYBILL_SECRETS_DIR`; a variable goes before a file.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

SECRETS_DIR = "WAYBILL_SECRETS_DIR"


class ServiceSettings(BaseSettings):
    """Settings that all services share. Durations in seconds (`_s`), sizes in bytes."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    role: Literal["all", "api", "worker"] = Field("all", description="What this process does.")
    database_url: SecretStr = Field(description="This service's own Postgres database.")
    owner_database_url: SecretStr = Field(
        SecretStr(""),
        description="The same as its owner, for `migrate` alone; empty: the owner works, too.",
    )
    reader_role: str = Field("", description="A role that `migrate` lets read the log; or none.")
    pool_size: int = Field(8, ge=2, le=100, description="Most connections to the database.")
    bus: Literal["postgres", "kafka"] = Field("postgres", description="Which bus carries events.")
    bus_database_url: SecretStr = Field(
        SecretStr(""), description="The bus's own database, with bus=postgres."
    )
    kafka_bootstrap: str = Field("", description="host:port, comma separated, with bus=kafka.")
    kafka_replication: int = Field(1, ge=1, le=9, description="Copies of each topic.")
    key_pepper: SecretStr = Field(description="Secret under which API keys are hashed.")
    key_requests_per_s: float = Field(
        0.0, ge=0, description="Most that a process takes of one API key; 0: no limit."
    )
    key_burst: int = Field(2000, ge=1, description="Requests that a rested key may send at once.")
    address_requests_per_s: float = Field(
        0.0,
        ge=0,
        description="Most of one address without a valid key; 0: no limit. Behind a proxy name it "
        "in FORWARDED_ALLOW_IPS first, or all its clients are one address.",
    )
    address_burst: int = Field(1000, ge=1, description="The same at once, after a rest.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info")
    drain_s: float = Field(
        0.0, ge=0, le=60, description="Time between unready and closing, for load balancers."
    )
    effects_at_once: int = Field(32, ge=1, le=1000, description="Calls outside at one time.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables, then the files of the folder that the environment names, if it names one.

        Raises:
            SettingsError: the folder is not there: a mount that is missing is not "no secrets".
        """
        folder = os.environ.get(SECRETS_DIR)
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SettingsError(f"{SECRETS_DIR} names {folder}, and there is no such folder.")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)
