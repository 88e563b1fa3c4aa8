"""The environment, read once: complete or refused, and in production without anything of a laptop."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from services.core.config import REQUIRED, read_config
from services.core.errors import InvalidConfiguration
from services.core.programme import DEFAULT_FILE
from services.vault import keyring

COMPLETE = {
    "COORDINATOR_ENV": "production",
    "DATABASE_URL": "postgresql+psycopg://clinic:hunter2@db.internal/clinic",
    "REDIS_URL": "rediss://:swordfish@redis.internal:6379/0",
    "COORDINATOR_KEYRING": "/etc/coordinator/keys",
    "PUBLIC_BASE_URL": "https://clinic.example/",
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "twilio-token",
    "TWILIO_MESSAGING_SERVICE_SID": "MG0",
    "EASYPOST_API_KEY": "easypost-key",
    "EASYPOST_WEBHOOK_SECRET": "easypost-secret",
}


def refusal(**changes: str) -> str:
    """What is said of an environment with ``changes``."""
    with pytest.raises(InvalidConfiguration) as refused:
        read_config({**COMPLETE, **changes})
    return refused.value.message


def test_a_complete_environment_is_accepted_in_production() -> None:
    config = read_config(COMPLETE)
    assert config.is_production
    assert config.public_base_url == "https://clinic.example"
    assert config.database_url.reveal() == COMPLETE["DATABASE_URL"]
    assert (config.tenant, config.programme_file, config.proxies) == ("default", DEFAULT_FILE, 0)
    assert config.audit_heads_file == Path("/etc/coordinator/audit-heads.jsonl")
    assert (config.twilio_api_base, config.easypost_api_base) == (None, None)


def test_what_may_be_left_out_may_be_given() -> None:
    config = read_config(
        {
            **COMPLETE,
            "COORDINATOR_TENANT": "north",
            "COORDINATOR_PROGRAMME": "/etc/coordinator/north.toml",
            "COORDINATOR_AUDIT_HEADS": "/var/lib/heads.jsonl",
            "COORDINATOR_PROXIES": "2",
            "TWILIO_API_BASE": "https://twilio.internal",
            "EASYPOST_API_BASE": "https://easypost.internal/v2",
        }
    )
    assert (config.tenant, config.programme_file) == ("north", Path("/etc/coordinator/north.toml"))
    assert (config.audit_heads_file, config.proxies) == (Path("/var/lib/heads.jsonl"), 2)
    assert config.twilio_api_base == "https://twilio.internal"
    assert config.easypost_api_base == "https://easypost.internal/v2"


def test_an_empty_value_is_as_good_as_none() -> None:
    given = dict.fromkeys(("COORDINATOR_TENANT", "COORDINATOR_PROGRAMME", "COORDINATOR_AUDIT_HEADS"), "")
    assert read_config({**COMPLETE, **given, "TWILIO_API_BASE": "", "COORDINATOR_PROXIES": ""}) == read_config(COMPLETE)


def test_everything_that_is_missing_is_named_in_one_error() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        read_config({})
    assert all(name in refused.value.message for name in REQUIRED)
    said = refusal(TWILIO_AUTH_TOKEN="", REDIS_URL="")
    assert said == "These environment variables are missing: REDIS_URL, TWILIO_AUTH_TOKEN."


def test_no_secret_has_a_default() -> None:
    secrets = ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN", "EASYPOST_API_KEY", "EASYPOST_WEBHOOK_SECRET")
    assert set(secrets) < set(REQUIRED)


def test_only_three_kinds_of_places_are_known() -> None:
    assert refusal(COORDINATOR_ENV="staging") == "COORDINATOR_ENV must be one of local, production, test."


@pytest.mark.parametrize("given", ["-1", "1.0", "many", "²", "10", " 1"])
def test_the_number_of_proxies_is_a_small_number(given: str) -> None:
    assert "COORDINATOR_PROXIES" in refusal(COORDINATOR_PROXIES=given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"PUBLIC_BASE_URL": "http://clinic.example"}, "PUBLIC_BASE_URL must be https"),
        ({"PUBLIC_BASE_URL": "clinic.example"}, "PUBLIC_BASE_URL must be https"),
        ({"TWILIO_API_BASE": "http://twilio.internal"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"TWILIO_API_BASE": "https://localhost:8001"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"TWILIO_API_BASE": "https://twilio.localhost"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"TWILIO_API_BASE": "https://127.0.0.1"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"TWILIO_API_BASE": "https://127.9.9.9"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"TWILIO_API_BASE": "https://0.0.0.0"}, "TWILIO_API_BASE must be https and not this machine"),
        ({"EASYPOST_API_BASE": "https://[::1]/v2"}, "EASYPOST_API_BASE must be https and not this machine"),
        ({"EASYPOST_API_BASE": "https:///v2"}, "EASYPOST_API_BASE must be https and not this machine"),
        ({"COORDINATOR_CLOCK_FILE": "/tmp/clock"}, "COORDINATOR_CLOCK_FILE must not be set"),
        ({"COORDINATOR_LIGHT_PASSWORDS": "1"}, "COORDINATOR_LIGHT_PASSWORDS must not be set"),
        ({"COORDINATOR_EMBEDDED": "1"}, "the embedded PostgreSQL and Valkey are for laptops"),
    ],
)
def test_production_refuses_what_belongs_on_a_laptop(changes: dict[str, str], said: str) -> None:
    assert said in refusal(**changes)
    assert read_config({**COMPLETE, **changes, "COORDINATOR_ENV": "local"})


def test_production_refuses_keys_generated_for_a_laptop_and_takes_others(tmp_path: Path) -> None:
    keyring.generate(tmp_path / "laptop")
    keyring.generate(tmp_path / "made", for_laptop=False)
    assert "python -m coordinator create-keys" in refusal(COORDINATOR_KEYRING=str(tmp_path / "laptop"))
    assert read_config({**COMPLETE, "COORDINATOR_KEYRING": str(tmp_path / "made")}).keyring == tmp_path / "made"


def test_production_names_all_that_it_refuses_at_once() -> None:
    said = refusal(PUBLIC_BASE_URL="http://x", COORDINATOR_CLOCK_FILE="c", COORDINATOR_EMBEDDED="1")
    assert said.startswith("Refused in production: ")
    assert all(word in said for word in ("PUBLIC_BASE_URL", "COORDINATOR_CLOCK_FILE", "embedded"))


def test_a_configuration_never_shows_its_secrets_and_never_changes() -> None:
    config = read_config(COMPLETE)
    shown = f"{config} {config!r}"
    for secret in ("hunter2", "swordfish", "twilio-token", "easypost-key", "easypost-secret"):
        assert secret not in shown
    with pytest.raises(FrozenInstanceError):
        config.tenant = "other"  # type: ignore[misc]  # that it cannot be done is the point
    assert len(fields(config)) > 10
