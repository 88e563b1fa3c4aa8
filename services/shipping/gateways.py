"""The way to EasyPost: follow a parcel, look up what became of that; with a time-out and nothing personal in errors.

EasyPost gives the same tracker for the same code and carrier again, so repeating a request does no harm there. Still
what matters after a failure is whether the request can have arrived: then the outcome is ``UNKNOWN``, to be settled by
``find`` before anything is asked again. A tracking code leads to a home: it is personal.

The client and what it imports are loaded on first use, in the one process that registers parcels.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from services.core.errors import InvalidConfiguration, InvalidInput, Unavailable
from services.core.personal import Personal, Secret
from services.shipping.statuses import TrackerFacts, tracker_facts

EASYPOST_API: Final = "https://api.easypost.com/v2"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
RETRY_STATUSES: Final = frozenset({429, 503})
_CODE = re.compile(r"[A-Z][A-Z_.]{0,59}")


class TrackerOutcome(StrEnum):
    """What is known right after asking for a tracker."""

    CREATED = "created"
    REFUSED = "refused"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TrackerResult:
    """What EasyPost made of a request.

    ``CREATED``: ``tracker_id`` is set, and ``facts`` when the answer could be read. ``REFUSED``: EasyPost said no and
    will again; ``http_status`` and ``error_code`` (EasyPost's own, such as ``TRACKER.CREATE.ERROR``) say why.
    ``RETRY``: nothing was made, ask again later. ``UNKNOWN``: it may exist; ``find`` it first.
    """

    outcome: TrackerOutcome
    tracker_id: str | None = None
    facts: TrackerFacts | None = None
    public_url: Personal[str] | None = None
    http_status: int | None = None
    error_code: str | None = None


class _Answer(threading.local):
    """The HTTP status of this thread's latest answer; ``None`` while there is none."""

    status: int | None = None


class EasyPostGateway:
    """Trackers through one EasyPost account.

    ``api_base`` is the API's address with its version (``None``: EasyPost itself); ``timeout_seconds`` limits
    connecting, and each wait for the answer. Safe between threads and after a fork. Raises ``InvalidConfiguration``
    when the key is empty, the address is no HTTP address or the time-out is not positive.
    """

    def __init__(self, api_key: Secret[str], api_base: str | None, timeout_seconds: float) -> None:
        base = (api_base or EASYPOST_API).rstrip("/")
        parts = urlsplit(base)
        if not api_key.reveal():
            raise InvalidConfiguration("EasyPost needs an API key.")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise InvalidConfiguration("EASYPOST_API_BASE must be an http or https address without user or query.")
        if timeout_seconds <= 0:
            raise InvalidConfiguration("The time-out of the EasyPost gateway must be more than 0 seconds.")
        self._api_key = api_key
        self._api_base = base
        self._on_loopback = parts.hostname in LOOPBACK
        self._timeout_seconds = timeout_seconds
        self._answer = _Answer()
        self._built: tuple[int, Any] | None = None

    def create_tracker(self, tracking_code: Personal[str], carrier: str) -> TrackerResult:
        """Ask EasyPost to follow a parcel. Never raises for what EasyPost or the network does.

        ``carrier`` is EasyPost's name for it, such as ``USPS``. Nothing is retried in here.
        """
        client = self._client()
        result = self._attempt(lambda: client.tracker.create(tracking_code=tracking_code.reveal(), carrier=carrier))
        if isinstance(result, TrackerResult):
            return result
        return _created(result) or TrackerResult(TrackerOutcome.UNKNOWN, http_status=self._answer.status)

    def find(self, tracking_code: Personal[str], carrier: str | None = None) -> TrackerResult | None:
        """The newest tracker of a code (and carrier, if given), as ``CREATED``; ``None`` when EasyPost has none.

        Raises ``Unavailable`` when there is no usable answer.
        """
        client = self._client()
        code = tracking_code.reveal()
        wanted = {"tracking_code": code} | ({"carrier": carrier} if carrier else {})
        answer = self._attempt(lambda: client.tracker.all(**wanted))
        trackers = None if isinstance(answer, TrackerResult) else answer.get("trackers")
        if not isinstance(trackers, list):
            raise Unavailable("EasyPost gave no usable answer when asked for a tracker.")
        found = [each for each in trackers if isinstance(each, Mapping) and each.get("tracking_code") == code]
        return _created(found[0]) if found else None

    def _attempt(self, ask: Callable[[], Any]) -> TrackerResult | Mapping[str, Any]:
        """The answer as plain data, or what its absence means."""
        self._answer.status = None
        try:
            answer = ask()
            plain = answer if isinstance(answer, dict) else answer.to_dict()
            return plain if isinstance(plain, dict) else TrackerResult(TrackerOutcome.UNKNOWN)
        except Exception as error:  # noqa: BLE001 - the client's errors, and what it stumbles over, repeat the request
            return _failure(error, self._answer.status)

    def _client(self) -> Any:
        # A connection opened before a fork would be shared between two processes.
        if self._built is None or self._built[0] != os.getpid():
            self._built = (os.getpid(), self._build())
        return self._built[1]

    def _build(self) -> Any:
        from easypost.easypost_client import EasyPostClient
        from requests import Session
        from requests.adapters import HTTPAdapter

        client: Any = EasyPostClient(self._api_key.reveal(), api_base=self._api_base)
        # Its own time-out is typed as whole seconds; requests, to which it is handed, takes parts of one.
        client.timeout = self._timeout_seconds
        # The client's session would try each request up to four times, each with the whole time-out, and log the
        # address, which holds the tracking code. When to try again is decided outside, from the stored row.
        session = Session()
        session.trust_env = not self._on_loopback
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=0))
        client._requests_session = session
        client.subscribe_to_response_hook(self._remember_status)
        return client

    def _remember_status(self, **response: Any) -> None:
        self._answer.status = response.get("http_status")


def _created(tracker: Mapping[str, Any]) -> TrackerResult | None:
    tracker_id, url = tracker.get("id"), tracker.get("public_url")
    if not isinstance(tracker_id, str) or not tracker_id:
        return None  # a 2xx that does not say what it made
    try:
        facts = tracker_facts(tracker)
    except InvalidInput:
        facts = None
    public_url = Personal(url) if isinstance(url, str) and url else None
    return TrackerResult(TrackerOutcome.CREATED, tracker_id, facts, public_url)


def _failure(error: Exception, status: int | None) -> TrackerResult:
    if status is None:
        outcome = TrackerOutcome.RETRY if _never_connected(error) else TrackerOutcome.UNKNOWN
        return TrackerResult(outcome)
    code = getattr(error, "code", None)
    if status in RETRY_STATUSES:
        outcome = TrackerOutcome.RETRY
    elif 400 <= status < 500 and status != 408:
        outcome = TrackerOutcome.REFUSED
    else:
        outcome = TrackerOutcome.UNKNOWN
    readable = isinstance(code, str) and _CODE.fullmatch(code) is not None
    return TrackerResult(outcome, http_status=status, error_code=code if readable else None)


def _never_connected(error: Exception) -> bool:
    """Whether no connection was made at all. Whatever is not known to have failed that early may have arrived."""
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    cause = error.__context__
    if isinstance(cause, ConnectTimeout):
        return True
    if not isinstance(cause, NoConnection) or not cause.args:
        return False
    return isinstance(getattr(cause.args[0], "reason", None), NewConnectionError | ConnectTimeoutError)
