"""Where a session is held, and how: in the room or by video."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.core.personal import Personal


class Site(StrEnum):
    """Where the patient is."""

    OFFICE = "office"
    HOME = "home"
    CLINIC = "clinic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a session is held. ``remote``: the therapist is not in the room, which only works from home.

    ``address`` where it is neither the practice's nor the patient's own.
    """

    site: Site
    remote: bool = False
    address: Personal[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The place as plain JSON types, for sealing."""
        address = None if self.address is None else self.address.reveal().strip()
        return {"site": self.site.value, "remote": self.remote, "address": address}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Place:
        """The place that ``as_dict`` wrote."""
        address = document["address"]
        return cls(
            site=Site(document["site"]),
            remote=document["remote"],
            address=None if address is None else Personal(address),
        )
