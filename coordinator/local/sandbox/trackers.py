"""EasyPost's trackers as far as the service uses them: create, list, fetch, and signed events (DOMAIN 8)."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from coordinator.local.sandbox.callbacks import Callbacks, easypost_callback
from services.core import clock
from services.core.errors import InvalidInput, NotFound


class Trackers:
    """All parcels that are followed, oldest first. Safe to use from many threads."""

    def __init__(self, secret: str, event_url: str, callbacks: Callbacks) -> None:
        self._secret = secret
        self._event_url = event_url
        self._callbacks = callbacks
        self._lock = threading.Lock()
        self._trackers: dict[str, dict[str, Any]] = {}
        self._held: list[bytes] = []

    def create(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Follow a parcel; the same code and carrier give the same tracker. Raises ``InvalidInput``."""
        code, carrier = wish.get("tracking_code"), wish.get("carrier") or "USPS"
        if not isinstance(code, str) or not code.strip():
            raise InvalidInput("tracking_code is required.", field="tracking_code")
        with self._lock:
            for known in self._trackers.values():
                if (known["tracking_code"], known["carrier"]) == (code, carrier):
                    return _copy(known)
            now = _stamp(clock.now())
            tracker: dict[str, Any] = {
                "id": f"trk_{secrets.token_hex(16)}",
                "object": "Tracker",
                "mode": "test",
                "tracking_code": code,
                "status": "pre_transit",
                "status_detail": "label_created",
                "created_at": now,
                "updated_at": now,
                "signed_by": None,
                "weight": None,
                "est_delivery_date": None,
                "shipment_id": None,
                "carrier": carrier,
                "tracking_details": [],
                "carrier_detail": None,
                "fees": [],
                "public_url": f"https://track.easypost.example/{code}",
            }
            tracker["tracking_details"] = [_detail(tracker, {"status": "pre_transit"}, now)]
            self._trackers[tracker["id"]] = tracker
            created = _copy(tracker)
        self._post("tracker.created", {}, created)
        return created

    def fetch(self, name: str) -> dict[str, Any]:
        """A tracker by its id or tracking code. Raises ``NotFound``."""
        with self._lock:
            return _copy(self._find(name))

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of the list, newest first, filtered by ``tracking_code`` and ``carrier``."""
        with self._lock:
            found = [
                _copy(tracker)
                for tracker in reversed(self._trackers.values())
                if query.get("tracking_code", tracker["tracking_code"]) == tracker["tracking_code"]
                and query.get("carrier", tracker["carrier"]) == tracker["carrier"]
            ]
        ids = [tracker["id"] for tracker in found]
        start = ids.index(query["before_id"]) + 1 if query.get("before_id") in ids else 0
        size = max(1, min(int(query.get("page_size", 20)), 100))
        return {"trackers": found[start : start + size], "has_more": start + size < len(found)}

    def advance(self, name: str, step: Mapping[str, Any]) -> dict[str, Any]:
        """Record a scan and post the event.

        ``step``: ``status`` (any text, so that unknown ones can be tried), and if wanted ``status_detail``,
        ``signed_by``, ``datetime`` (ISO 8601; default now), ``message``, ``est_delivery_date``, ``repeat`` (post the
        same event so often) and ``hold`` (keep it back for ``release``). Raises ``NotFound``, ``InvalidInput``.
        """
        status = step.get("status")
        if not isinstance(status, str) or not status:
            raise InvalidInput("status is required.", field="status")
        at = _stamp(_moment(step.get("datetime")))
        with self._lock:
            tracker = self._find(name)
            before = {"status": tracker["status"]}
            details = tracker["tracking_details"]
            newest = max(detail["datetime"] for detail in details)
            details.append(_detail(tracker, step, at))
            details.sort(key=lambda detail: str(detail["datetime"]))
            if at >= newest:
                tracker |= {"status": status, "status_detail": step.get("status_detail") or status}
            for field in ("signed_by", "est_delivery_date"):
                if step.get(field):
                    tracker[field] = step[field]
            tracker["updated_at"] = _stamp(clock.now())
            moved = _copy(tracker)
        self._post(
            "tracker.updated", before, moved, repeat=int(step.get("repeat", 1)), hold=bool(step.get("hold", False))
        )
        return moved

    def release(self, *, backwards: bool = False) -> int:
        """Post the events that were held back, in order or backwards; gives their number."""
        with self._lock:
            held, self._held = self._held, []
        bodies = held[::-1] if backwards else held
        self._callbacks.post([easypost_callback(self._secret, self._event_url, body) for body in bodies])
        return len(bodies)

    def _find(self, name: str) -> dict[str, Any]:
        if name in self._trackers:
            return self._trackers[name]
        for tracker in self._trackers.values():
            if tracker["tracking_code"] == name:
                return tracker
        raise NotFound("The requested resource could not be found.")

    def _post(
        self, kind: str, before: Mapping[str, Any], tracker: dict[str, Any], *, repeat: int = 1, hold: bool = False
    ) -> None:
        now = _stamp(clock.now())
        event = {
            "id": f"evt_{secrets.token_hex(16)}",
            "object": "Event",
            "created_at": now,
            "updated_at": now,
            "description": kind,
            "mode": "test",
            "previous_attributes": dict(before),
            "pending_urls": [],
            "completed_urls": [],
            "status": "pending",
            "result": tracker,
        }
        body = json.dumps(event).encode()
        if hold:
            with self._lock:
                self._held.append(body)
            return
        self._callbacks.post([easypost_callback(self._secret, self._event_url, body)] * repeat)


def _detail(tracker: Mapping[str, Any], step: Mapping[str, Any], at: str) -> dict[str, Any]:
    status = str(step["status"])
    return {
        "object": "TrackingDetail",
        "message": step.get("message") or status.replace("_", " ").capitalize(),
        "description": None,
        "status": status,
        "status_detail": step.get("status_detail") or ("label_created" if status == "pre_transit" else status),
        "datetime": at,
        "source": tracker["carrier"],
        "carrier_code": None,
        "tracking_location": {
            "object": "TrackingLocation",
            "city": None,
            "state": None,
            "country": "US",
            "zip": None,
        },
    }


def _moment(text: object) -> datetime:
    if text is None:
        return clock.now()
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInput("datetime is an ISO 8601 time.", field="datetime") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _copy(tracker: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(tracker))
    return copied
