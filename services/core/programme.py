"""Programme settings: every clinical number and default, by name, read from a TOML file.

Rules ask for a setting by its dotted name (``vitals.start.systolic_below``), so that a finding can say which setting
it read. A programme is immutable once loaded; its ``version`` is stored with every decision made under it.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from services.core.errors import InvalidConfiguration

DEFAULT_FILE = Path(__file__).parent / "programmes" / "default.toml"


@dataclass(frozen=True)
class Programme:
    """One programme file: its ``name``, its ``version`` (name, declared version and content hash) and its settings."""

    name: str
    version: str
    settings: Mapping[str, Any]

    def value(self, setting: str) -> Any:
        """The value of a setting. Raises ``InvalidConfiguration`` when no file defines that name."""
        try:
            return self.settings[setting]
        except KeyError:
            raise InvalidConfiguration(f"The programme '{self.name}' has no setting '{setting}'.") from None

    def number(self, setting: str) -> float:
        """A numeric setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        # TOML knows nan and inf; nothing is below or above nan, so that a limit of nan would let everything pass.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a number.")
        return value

    def whole(self, setting: str) -> int:
        """An integer setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a whole number.")
        return value

    def text(self, setting: str) -> str:
        """A text setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if not isinstance(value, str):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a text.")
        return value

    def choices(self, setting: str) -> frozenset[str]:
        """A setting that lists texts; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a list of texts.")
        return frozenset(value)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def load_programme(path: Path) -> Programme:
    """Read and check one programme file. Raises ``InvalidConfiguration`` naming the file and what is wrong."""
    try:
        content = path.read_bytes()
        tables = tomllib.loads(content.decode("utf-8"))
        header = tables.pop("programme")
        name, declared = str(header["name"]), str(header["version"])
    except OSError as error:
        raise InvalidConfiguration(f"The programme file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The programme file {path.name} is not valid TOML: {error}") from error
    except KeyError as error:
        raise InvalidConfiguration(f"The programme file {path.name} lacks {error} under [programme].") from error
    except TypeError as error:
        raise InvalidConfiguration(f"The programme file {path.name} lacks a table [programme].") from error
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Programme(
        name=name, version=f"{name}-{declared}-{digest}", settings=MappingProxyType(dict(_flatten(tables)))
    )


@lru_cache(maxsize=16)
def programme(path: Path = DEFAULT_FILE) -> Programme:
    """The programme at ``path``, read once per process."""
    return load_programme(path)
