"""The programme that this process runs under, for use cases that no caller hands one."""

from __future__ import annotations

from services.core.config import config
from services.core.programme import Programme, programme


def settings() -> Programme:
    """The programme named by the configuration, read once per process."""
    return programme(config().programme_file)
