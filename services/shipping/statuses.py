"""The carrier's words in ours: EasyPost status and detail → stage, as ``statuses.toml`` says (DOMAIN 8)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import CoordinationError, InvalidInput
from services.core.vocabulary import EventKind

STATUSES_FILE = Path(__file__).parent / "statuses.toml"

_NAME = re.compile(r"[a-z_]{1,40}")


class Stage(StrEnum):
    """Where a parcel is, roughly in the order of a parcel's life."""

    REGISTERED = "registered"
    UNKNOWN = "unknown"
    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    DELAYED = "delayed"
    ADDRESS_PROBLEM = "address_problem"
    DAMAGED = "damaged"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    RETURNED = "returned"
    DELIVERED = "delivered"


TERMINAL = frozenset({Stage.DELIVERED, Stage.RETURNED, Stage.LOST, Stage.CANCELLED})


class UnknownCarrierStatus(CoordinationError):
    """EasyPost used a status that ``statuses.toml`` does not know. A person must look; the parcel keeps its stage."""

    code = "unknown_carrier_status"

    def __init__(self, status: str) -> None:
        shown = f"'{status}'" if _NAME.fullmatch(status) else "of an unreadable shape"
        super().__init__(f"The carrier reported a status {shown}, which is not known here.", field="status")


@dataclass(frozen=True, slots=True)
class Calling:
    """What a stage calls for: an event for the routing table (``rules.STAGES`` has the sentence for people).

    ``once`` events are not repeated when a parcel comes back to the stage.
    """

    event: EventKind | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class StatusMap:
    """``statuses.toml``, read."""

    stages: Mapping[str, Stage]
    detail_stages: Mapping[str, Stage]
    plain_details: frozenset[str]
    last_words: frozenset[str]
    callings: Mapping[Stage, Calling]

    def stage_of(self, status: str, detail: str | None) -> Stage:
        """The stage that a status with its detail means. Raises ``UnknownCarrierStatus`` for an unknown status."""
        stage = self.stages.get(status)
        if stage is None:
            raise UnknownCarrierStatus(status)
        if detail is None or status in self.last_words:
            return stage
        return self.detail_stages.get(detail, stage)

    def knows_detail(self, detail: str | None) -> bool:
        """Whether a status_detail is one this file knows; an absent one is."""
        return detail is None or detail in self.detail_stages or detail in self.plain_details


@lru_cache(maxsize=1)
def status_map() -> StatusMap:
    """The map of ``statuses.toml``, read once per process."""
    tables = tomllib.loads(STATUSES_FILE.read_text(encoding="utf-8"))
    return StatusMap(
        stages={status: Stage(stage) for status, stage in tables["status"].items()},
        detail_stages={detail: Stage(stage) for detail, stage in tables["detail"]["stage"].items()},
        plain_details=frozenset(tables["detail"]["plain"]),
        last_words=frozenset(tables["detail"]["last_words"]),
        callings={Stage(stage): _calling(entry) for stage, entry in tables["stage"].items()},
    )


def _calling(entry: Mapping[str, Any]) -> Calling:
    return Calling(
        event=EventKind(entry["event"]) if "event" in entry else None,
        once=entry.get("once", False),
    )


@dataclass(frozen=True, slots=True)
class Scan:
    """One thing the carrier reported. ``at`` is aware; ``None`` when the carrier gave no time."""

    status: str
    detail: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class TrackerFacts:
    """What one tracker or tracker event says. ``scans`` ends with the tracker's own status at its newest time.

    It holds neither places nor the signer's name; ``signed`` tells whether there was one.
    """

    tracker_id: str | None
    scans: tuple[Scan, ...]
    signed: bool = False
    estimated_at: datetime | None = None

    @property
    def newest_at(self) -> datetime | None:
        """The newest time any scan carries: the order of events (DOMAIN 8)."""
        return max((scan.at for scan in self.scans if scan.at is not None), default=None)


def tracker_facts(tracker: Mapping[str, Any]) -> TrackerFacts:
    """Read an EasyPost Tracker object: ``result`` of an event, or a tracker fetched.

    Raises ``InvalidInput`` naming the field that is not what EasyPost documents.
    """
    details = tracker.get("tracking_details") or []
    if not isinstance(details, list) or not all(isinstance(entry, Mapping) for entry in details):
        raise InvalidInput("tracking_details must be a list of objects.", field="tracking_details")
    scans = [
        Scan(
            status=_text(entry, "status", f"tracking_details.{place}.status"),
            detail=_text_or_none(entry, "status_detail", f"tracking_details.{place}.status_detail"),
            at=_moment(entry, "datetime", f"tracking_details.{place}.datetime"),
        )
        for place, entry in enumerate(details)
    ]
    newest = max((scan for scan in scans if scan.at is not None), key=lambda scan: scan.at or _EPOCH, default=None)
    status = _text(tracker, "status", "status")
    detail = _text_or_none(tracker, "status_detail", "status_detail")
    if detail is None and newest is not None and newest.status == status:
        detail = newest.detail
    return TrackerFacts(
        tracker_id=_text_or_none(tracker, "id", "id"),
        scans=(*scans, Scan(status=status, detail=detail, at=newest.at if newest else None)),
        signed=bool(_text_or_none(tracker, "signed_by", "signed_by")),
        estimated_at=_moment(tracker, "est_delivery_date", "est_delivery_date"),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _text(entry: Mapping[str, Any], name: str, field: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput("This must be a text.", field=field)
    return value


def _text_or_none(entry: Mapping[str, Any], name: str, field: str) -> str | None:
    value = entry.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput("This must be a text or null.", field=field)
    return value.strip() or None if value else None


def _moment(entry: Mapping[str, Any], name: str, field: str) -> datetime | None:
    """An ISO 8601 time; one without a zone counts as UTC, as EasyPost's documents have it."""
    text = _text_or_none(entry, name, field)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("This must be an ISO 8601 time.", field=field) from None
