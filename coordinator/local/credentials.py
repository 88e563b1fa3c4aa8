"""Made-up credentials for the sandbox, the same at every start."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from services.core.errors import InvalidConfiguration

TWILIO = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_MESSAGING_SERVICE_SID")
EASYPOST = ("EASYPOST_API_KEY", "EASYPOST_WEBHOOK_SECRET")


def sandbox_credentials(file: Path) -> dict[str, str]:
    """The credentials in ``file``, made on first use, readable by this user only."""
    if not file.exists():
        made = {
            "TWILIO_ACCOUNT_SID": "AC" + secrets.token_hex(16),
            "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
            "TWILIO_MESSAGING_SERVICE_SID": "MG" + secrets.token_hex(16),
            "EASYPOST_API_KEY": "EZTK" + secrets.token_hex(16),
            "EASYPOST_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        }
        unfinished = file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            json.dump(made, handle)
        unfinished.rename(file)
    kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return kept


def real_credentials(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str] | None:
    """The provider's credentials if the environment holds them all, None if it holds none.

    Raises ``InvalidConfiguration`` when it holds some: half a provider would send to nobody.
    """
    given = {name: environ[name] for name in names if environ.get(name)}
    if given and len(given) < len(names):
        missing = ", ".join(name for name in names if name not in given)
        raise InvalidConfiguration(f"With {', '.join(given)} set, these are needed too: {missing}.")
    return given or None
