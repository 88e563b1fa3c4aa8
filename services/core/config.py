"""Configuration: one frozen record read from the environment, complete or refused.

Every missing name is reported in one error, so that an operator fixes the environment once. No secret has a default.
Production refuses what belongs on a laptop: embedded servers, the sandbox, plain-HTTP addresses, a moved clock,
passwords hashed with little effort.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from services.core.errors import InvalidConfiguration
from services.core.personal import Secret
from services.core.programme import DEFAULT_FILE

ENVIRONMENTS = frozenset({"production", "local", "test"})

REQUIRED = (
    "COORDINATOR_ENV",
    "DATABASE_URL",
    "REDIS_URL",
    "COORDINATOR_KEYRING",
    "PUBLIC_BASE_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_MESSAGING_SERVICE_SID",
    "EASYPOST_API_KEY",
    "EASYPOST_WEBHOOK_SECRET",
)


@dataclass(frozen=True)
class Config:
    """All that the processes need to know about where they run. Secrets redact themselves.

    ``proxies`` is how many proxies of ours stand in front of the web and tell it a client's address.
    ``light_passwords`` hashes passwords with next to no effort, for tests that sign in all the time.
    """

    environment: str
    tenant: str
    database_url: Secret[str]
    redis_url: Secret[str]
    keyring: Path
    programme_file: Path
    public_base_url: str
    proxies: int
    light_passwords: bool
    audit_heads_file: Path
    twilio_account_sid: str
    twilio_auth_token: Secret[str]
    twilio_messaging_service_sid: str
    twilio_api_base: str | None
    easypost_api_key: Secret[str]
    easypost_webhook_secret: Secret[str]
    easypost_api_base: str | None

    @property
    def is_production(self) -> bool:
        """Whether this is a place with real patients."""
        return self.environment == "production"


def read_config(environ: Mapping[str, str]) -> Config:
    """Build the configuration from ``environ``. Raises ``InvalidConfiguration`` naming everything that is wrong."""
    missing = [name for name in REQUIRED if not environ.get(name)]
    if missing:
        raise InvalidConfiguration("These environment variables are missing: " + ", ".join(missing) + ".")
    environment = environ["COORDINATOR_ENV"]
    if environment not in ENVIRONMENTS:
        raise InvalidConfiguration(f"COORDINATOR_ENV must be one of {', '.join(sorted(ENVIRONMENTS))}.")
    if environment == "production":
        _refuse_laptop_parts(environ)
    keyring = Path(environ["COORDINATOR_KEYRING"])
    return Config(
        environment=environment,
        tenant=environ.get("COORDINATOR_TENANT") or "default",
        database_url=Secret(environ["DATABASE_URL"]),
        redis_url=Secret(environ["REDIS_URL"]),
        keyring=keyring,
        programme_file=Path(environ.get("COORDINATOR_PROGRAMME") or DEFAULT_FILE),
        public_base_url=environ["PUBLIC_BASE_URL"].rstrip("/"),
        proxies=_small_number(environ, "COORDINATOR_PROXIES"),
        light_passwords=environ.get("COORDINATOR_LIGHT_PASSWORDS") == "1",
        audit_heads_file=Path(environ.get("COORDINATOR_AUDIT_HEADS") or keyring.parent / "audit-heads.jsonl"),
        twilio_account_sid=environ["TWILIO_ACCOUNT_SID"],
        twilio_auth_token=Secret(environ["TWILIO_AUTH_TOKEN"]),
        twilio_messaging_service_sid=environ["TWILIO_MESSAGING_SERVICE_SID"],
        twilio_api_base=environ.get("TWILIO_API_BASE") or None,
        easypost_api_key=Secret(environ["EASYPOST_API_KEY"]),
        easypost_webhook_secret=Secret(environ["EASYPOST_WEBHOOK_SECRET"]),
        easypost_api_base=environ.get("EASYPOST_API_BASE") or None,
    )


def _small_number(environ: Mapping[str, str], name: str) -> int:
    given = environ.get(name) or "0"
    if not (given.isascii() and given.isdecimal() and len(given) == 1):
        raise InvalidConfiguration(f"{name} must be a number from 0 to 9.")
    return int(given)


def _refuse_laptop_parts(environ: Mapping[str, str]) -> None:
    problems = []
    if urlsplit(environ["PUBLIC_BASE_URL"]).scheme != "https":
        problems.append("PUBLIC_BASE_URL must be https")
    problems.extend(
        f"{name} must be https and not this machine"
        for name in ("TWILIO_API_BASE", "EASYPOST_API_BASE")
        if environ.get(name) and not _is_outside_https(environ[name])
    )
    if environ.get("COORDINATOR_CLOCK_FILE"):
        problems.append("COORDINATOR_CLOCK_FILE must not be set: production time cannot be moved")
    if environ.get("COORDINATOR_LIGHT_PASSWORDS"):
        problems.append("COORDINATOR_LIGHT_PASSWORDS must not be set: a stolen password table would be soon read")
    if environ.get("COORDINATOR_EMBEDDED"):
        problems.append(
            "the embedded PostgreSQL and Valkey are for laptops: point DATABASE_URL and REDIS_URL elsewhere"
        )
    if (Path(environ["COORDINATOR_KEYRING"]) / "GENERATED").exists():
        problems.append(
            "COORDINATOR_KEYRING holds keys generated for a laptop: make others, 'python -m coordinator create-keys'"
        )
    if problems:
        raise InvalidConfiguration("Refused in production: " + "; ".join(problems) + ".")


def _is_outside_https(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    try:
        address = ip_address(host)
        is_here = address.is_loopback or address.is_unspecified
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "https" and not is_here


def content_pack() -> Path | None:
    """Where the operator's texts for instruments are, if anywhere; read apart, because the forms need nothing else."""
    given = os.environ.get("COORDINATOR_CONTENT_PACK")
    return Path(given) if given else None


@lru_cache(maxsize=1)
def config() -> Config:
    """The configuration of this process, read once."""
    return read_config(os.environ)
