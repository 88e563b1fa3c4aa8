"""Twilio's Programmable Messaging as far as the service uses it: send, list, fetch, status callbacks, inbound texts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from coordinator.local.sandbox.callbacks import Callback, Callbacks, twilio_callback
from coordinator.local.sandbox.faults import Fault
from services.core import clock
from services.core.errors import InvalidInput

SENDER = "+15005550006"
API_VERSION = "2010-04-01"
KEPT = 20_000
FINAL_STATUS = {"undelivered": "undelivered", "failed": "failed"}


class Messages:
    """All texts of one account, newest last. Safe to use from many threads."""

    def __init__(self, account: str, token: str, inbound_url: str, callbacks: Callbacks) -> None:
        self.account = account
        self._token = token
        self._inbound_url = inbound_url
        self._callbacks = callbacks
        self._lock = threading.Lock()
        self._messages: dict[str, dict[str, Any]] = {}
        self._sent_at: dict[str, datetime] = {}

    def send(self, form: Mapping[str, str], fault: Fault | None = None) -> dict[str, Any]:
        """Take a text as ``POST Messages.json`` does and begin its callbacks. Raises ``InvalidInput``."""
        to, body = form.get("To", ""), form.get("Body", "")
        if not (to.startswith("+") and to[1:].isdigit() and 8 <= len(to) <= 16):
            raise InvalidInput("The 'To' number is not a valid phone number.", field="To")
        if not body or len(body) > 1600:
            raise InvalidInput("The 'Body' must have 1 to 1600 characters.", field="Body")
        if not form.get("MessagingServiceSid") and not form.get("From"):
            raise InvalidInput("A 'From' number or a 'MessagingServiceSid' is required.", field="From")
        message = self._store("SM", to, form.get("From"), body, "outbound-api", "accepted", form)
        if form.get("StatusCallback"):
            self._call_back(message["sid"], form["StatusCallback"], fault)
        return dict(message)

    def receive(self, sender: str, body: str, to: str = SENDER) -> tuple[dict[str, Any], int | None]:
        """Post an inbound text to the service as Twilio does; gives the message and the service's answer."""
        message = self._store("SM", to, sender, body, "inbound", "received", {})
        form = {
            "MessageSid": message["sid"],
            "SmsSid": message["sid"],
            "SmsMessageSid": message["sid"],
            "AccountSid": self.account,
            "From": sender,
            "To": to,
            "Body": body,
            "NumMedia": "0",
            "NumSegments": "1",
            "SmsStatus": "received",
            "ApiVersion": API_VERSION,
        }
        return message, self._callbacks.post([twilio_callback(self._token, self._inbound_url, form)]).result()[0]

    def fetch(self, sid: str) -> dict[str, Any] | None:
        """One message as it is now."""
        with self._lock:
            message = self._messages.get(sid)
            return dict(message) if message else None

    def all(self) -> list[dict[str, Any]]:
        """Every message, oldest first."""
        with self._lock:
            return [dict(message) for message in self._messages.values()]

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of the list, newest first, with Twilio's filters ``To``, ``From`` and ``DateSent``, ``<``, ``>``."""
        with self._lock:
            found = [
                dict(message)
                for sid, message in reversed(self._messages.items())
                if query.get("To", message["to"]) == message["to"]
                and query.get("From", message["from"]) == message["from"]
                and _in_period(self._sent_at[sid], query)
            ]
        size, number = int(query.get("PageSize", 50)), int(query.get("Page", 0))
        size = max(1, min(size, 1000))
        start = number * size
        shown = found[start : start + size]
        uri = f"/{API_VERSION}/Accounts/{self.account}/Messages.json"

        def address(page: int) -> str:
            return f"{uri}?{urlencode({**query, 'PageSize': size, 'Page': page})}"

        return {
            "messages": shown,
            "page": number,
            "page_size": size,
            "start": start,
            "end": start + max(len(shown) - 1, 0),
            "uri": address(number),
            "first_page_uri": address(0),
            "next_page_uri": address(number + 1) if start + size < len(found) else None,
            "previous_page_uri": address(number - 1) if number else None,
        }

    def _store(
        self, prefix: str, to: str, sender: str | None, body: str, direction: str, status: str, form: Mapping[str, str]
    ) -> dict[str, Any]:
        at = clock.now()
        sid = prefix + secrets.token_hex(16)
        stamp = format_datetime(at)
        message = {
            "account_sid": self.account,
            "api_version": API_VERSION,
            "body": body,
            "date_created": stamp,
            "date_sent": stamp if direction == "inbound" else None,
            "date_updated": stamp,
            "direction": direction,
            "error_code": None,
            "error_message": None,
            "from": sender or SENDER,
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_media": "0",
            "num_segments": "1",
            "price": None,
            "price_unit": "USD",
            "sid": sid,
            "status": status,
            "subresource_uris": {"media": f"/{API_VERSION}/Accounts/{self.account}/Messages/{sid}/Media.json"},
            "to": to,
            "uri": f"/{API_VERSION}/Accounts/{self.account}/Messages/{sid}.json",
        }
        with self._lock:
            self._messages[sid] = message
            self._sent_at[sid] = at
            while len(self._messages) > KEPT:
                oldest = next(iter(self._messages))
                del self._messages[oldest], self._sent_at[oldest]
            return dict(message)

    def _call_back(self, sid: str, url: str, fault: Fault | None) -> None:
        """Move the message on and post its callbacks, spoilt as ``fault`` asks."""
        kind = fault.kind if fault else ""
        last = FINAL_STATUS.get(kind, "delivered")
        self._move(sid, last, fault.code if fault and kind in FINAL_STATUS else None)
        posts = [self._status_callback(sid, url, status) for status in ("sent", last)]
        if kind in {"drop_callbacks", "accept_then_vanish"}:
            return
        for group in _spoilt(posts, kind):
            # A moment, so that the sender usually has the answer to its own request first, as with Twilio.
            self._callbacks.post(group, delay_seconds=0.05)

    def _move(self, sid: str, status: str, code: int | None) -> None:
        with self._lock:
            message = self._messages[sid]
            stamp = format_datetime(clock.now())
            message |= {"status": status, "date_sent": stamp, "date_updated": stamp, "error_code": code}

    def _status_callback(self, sid: str, url: str, status: str) -> Callback:
        message = self.fetch(sid) or {}
        form = {
            "MessageSid": sid,
            "SmsSid": sid,
            "AccountSid": self.account,
            "MessageStatus": status,
            "SmsStatus": status,
            "From": message["from"],
            "To": message["to"],
            "ApiVersion": API_VERSION,
        }
        if message["messaging_service_sid"]:
            form["MessagingServiceSid"] = message["messaging_service_sid"]
        if message["error_code"] and status in FINAL_STATUS:
            form["ErrorCode"] = str(message["error_code"])
        return twilio_callback(self._token, url, form)


def _spoilt(posts: list[Callback], kind: str) -> Sequence[list[Callback]]:
    """The groups in which to post: a group goes in order, groups go side by side."""
    if kind == "repeat_callbacks":
        return [[post for post in posts for _ in range(3)]]
    if kind == "reverse_callbacks":
        return [posts[::-1]]
    if kind == "parallel_callbacks":
        return [[post] for post in posts * 2]
    return [posts]


def _in_period(at: datetime, query: Mapping[str, str]) -> bool:
    """Twilio's date filters: ``DateSent`` is a whole day in UTC; ``<`` and ``>`` take a day or a moment."""
    on, before, after = (query.get(name) for name in ("DateSent", "DateSent<", "DateSent>"))
    if on and at.date() != _moment(on).date():
        return False
    if before and at >= _moment(before) + (timedelta(seconds=1) if "T" in before else timedelta(days=1)):
        return False
    return not (after and at < _moment(after))


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("DateSent is YYYY-MM-DD or an ISO 8601 time.", field="DateSent") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
