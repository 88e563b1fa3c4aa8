"""Where a session is held, and how: in the room or by video."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.core.personal import Personal
from services.prescribing.routes import Route


class Site(StrEnum):
    """Where the patient is."""

    OFFICE = "office"
    HOME = "home"
    CLINIC = "clinic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a session is held. ``remote``: the therapist is not in the room, which only works from home.

    ``address`` where it is neither the practice's nor the patient's own; ``location_id`` where the practice has
    several places. ``route`` is how the medicine is taken where the treatment plan has several; None goes by the newest
    prescription.
    """

    site: Site
    remote: bool = False
    address: Personal[str] | None = None
    location_id: UUID | None = None
    route: Route | None = None

    def as_dict(self) -> dict[str, Any]:
        """The place as plain JSON types, for sealing."""
        address = None if self.address is None else self.address.reveal().strip()
        return {
            "site": self.site.value,
            "remote": self.remote,
            "address": address,
            "location_id": None if self.location_id is None else str(self.location_id),
            "route": None if self.route is None else self.route.value,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Place:
        """The place that ``as_dict`` wrote."""
        address, location, route = document["address"], document.get("location_id"), document.get("route")
        return cls(
            site=Site(document["site"]),
            remote=document["remote"],
            address=None if address is None else Personal(address),
            location_id=None if location is None else UUID(location),
            route=None if route is None else Route(route),
        )
