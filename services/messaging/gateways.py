"""The way to Twilio: send a text, look up what became of one; with a time-out and without personal data in logs.

Sending is not idempotent at Twilio, so what matters after a failure is whether the request can have left this machine
(DOMAIN 7): never left → the same text may be sent again; may have left → its fate is ``UNKNOWN``, to be found by
``find`` and ``provider_messages.matching``, never blindly resent.

The client and what it imports cost some 20 MB, so they are imported on first use, in the one process that sends.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

from services.core.errors import InvalidConfiguration, InvalidInput, Unavailable
from services.core.personal import Personal, Secret
from services.messaging.provider_messages import ProviderMessage
from services.messaging.twilio_statuses import Action, action_for

if TYPE_CHECKING:
    import requests

TWILIO_API: Final = "https://api.twilio.com"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# One page, the largest there is: years of texts to one patient, so that it does not matter where Twilio sorts those
# that are not sent yet.
LISTED_AT_MOST: Final = 1000
# What urllib3 logs holds the path and query of a request, and the query of a listing holds the patient's number.
TALKATIVE_LOGGERS: Final = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)


class SendOutcome(StrEnum):
    """What is known right after a send."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NEVER_LEFT = "never_left"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What Twilio made of a text; nothing in it is personal.

    ``ACCEPTED``: ``sid`` and ``status`` (Twilio's word, see ``twilio_statuses.advance``) are set. ``REFUSED``: Twilio
    answered no; ``action`` says what to do, ``error_code`` and ``http_status`` why. ``NEVER_LEFT``: no byte of the
    request left; ``action`` is ``BACK_OFF``. ``UNKNOWN``: it may or may not be on its way; ``action`` is
    ``RECONCILE``.
    """

    outcome: SendOutcome
    sid: str | None = None
    status: str | None = None
    error_code: int | None = None
    http_status: int | None = None
    action: Action | None = None

    @property
    def may_retry(self) -> bool:
        """Whether the same text may be sent again later without any risk of sending it twice."""
        return self.action is not None and self.action.may_retry


class _Progress(threading.local):
    """How far this thread's request got: ``connecting`` only while a connection is being made (DNS, TCP, TLS)."""

    connecting = False


_Answer = TypeVar("_Answer")
_NEVER_LEFT: Final = SendResult(SendOutcome.NEVER_LEFT, action=Action.BACK_OFF)
_UNKNOWN: Final = SendResult(SendOutcome.UNKNOWN, action=Action.RECONCILE)


class TwilioGateway:
    """Texts through one Twilio account and messaging service.

    ``api_base`` replaces scheme, host and leading path of the API's address (``None``: Twilio itself), which the
    client has no option for. ``timeout_seconds`` limits connecting, and each wait for the answer. Safe between
    threads and after a fork. Raises ``InvalidConfiguration`` when a credential is empty, the address is no HTTP
    address or the time-out is not positive.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: Secret[str],
        messaging_service_sid: str,
        api_base: str | None,
        timeout_seconds: float,
    ) -> None:
        if not (account_sid and auth_token.reveal() and messaging_service_sid):
            raise InvalidConfiguration("Twilio needs an account SID, an auth token and a messaging service SID.")
        base = urlsplit(api_base or TWILIO_API)
        if base.scheme not in {"http", "https"} or not base.hostname or base.query or base.username:
            raise InvalidConfiguration("TWILIO_API_BASE must be an http or https address without user or query.")
        if timeout_seconds <= 0:
            raise InvalidConfiguration("The time-out of the Twilio gateway must be more than 0 seconds.")
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._messaging_service_sid = messaging_service_sid
        self._base = base
        self._timeout_seconds = timeout_seconds
        self._progress = _Progress()
        self._built: tuple[int, Any] | None = None

    def send(self, to: Personal[str], body: Personal[str], status_callback: str) -> SendResult:
        """Hand one text to Twilio. Never raises for what Twilio or the network does: the result says what is known.

        ``to`` is E.164, ``status_callback`` the public address for status reports. Nothing is retried in here.
        """
        client = self._client()
        return self._attempt(
            lambda: client.messages.create(
                to=to.reveal(),
                body=body.reveal(),
                messaging_service_sid=self._messaging_service_sid,
                status_callback=status_callback,
            )
        )

    def find(self, to: Personal[str], since: datetime) -> list[ProviderMessage]:
        """The texts to ``to`` that Twilio created at or after ``since`` (aware), oldest first.

        Filtered here and not by Twilio's DateSent: a text that waits in Twilio's queue has no date sent yet, and it
        is the very one that must be found. Raises ``Unavailable`` when there is no usable answer.
        """
        client = self._client()

        def listed() -> list[ProviderMessage]:
            messages = client.messages.list(to=to.reveal(), limit=LISTED_AT_MOST, page_size=LISTED_AT_MOST)
            return [_provider_message(each) for each in messages if str(each.direction or "").startswith("outbound")]

        found, status = self._asked(listed)
        # Raised out here so that it carries no context: the client's own errors repeat addresses with phone numbers.
        if found is None:
            raise _unavailable(status)
        return sorted((each for each in found if each.created_at >= since), key=lambda each: each.created_at)

    def fetch(self, sid: str) -> ProviderMessage | None:
        """One text by its SID; ``None`` when Twilio knows no such text.

        Raises ``InvalidInput`` on field ``sid`` for what cannot be a SID, ``Unavailable`` when there is no usable
        answer.
        """
        if not re.fullmatch(r"[A-Za-z0-9]{2,64}", sid):  # it becomes part of an address
            raise InvalidInput("This is not the SID of a message.", field="sid")
        client = self._client()
        message, status = self._asked(lambda: _provider_message(client.messages(sid).fetch()))
        if message is None and status != 404:
            raise _unavailable(status)
        return message

    def _attempt(self, create: Callable[[], Any]) -> SendResult:
        from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped] # it ships no types

        self._progress.connecting = False
        try:
            return _acceptance(create())
        except TwilioException as error:
            return _refusal(getattr(error, "status", None), getattr(error, "code", None))
        except Exception:  # noqa: BLE001 - whatever broke, all that counts is whether the request can have left
            return _NEVER_LEFT if self._progress.connecting else _UNKNOWN

    def _asked(self, ask: Callable[[], _Answer]) -> tuple[_Answer | None, object]:
        """The answer, or none and the HTTP status if there was one."""
        from twilio.base.exceptions import TwilioException

        try:
            return ask(), None
        except TwilioException as error:
            return None, getattr(error, "status", None)
        except Exception:  # noqa: BLE001 - anything from a reset to a broken answer: there is no usable answer
            return None, None

    def _client(self) -> Any:
        # A connection opened before a fork would be shared between two processes.
        if self._built is None or self._built[0] != os.getpid():
            self._built = (os.getpid(), self._build())
        return self._built[1]

    def _build(self) -> Any:
        from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped] # it ships no types
        from twilio.rest import Client  # type: ignore[import-untyped] # it ships no types

        base = self._base

        class Transport(TwilioHttpClient):  # type: ignore[misc] # its base has no types
            """Twilio's transport, to another address if need be, and silent: its log lines hold numbers."""

            def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
                return super().request(method, _rebased(url, base), *args, **kwargs)

            def log_request(self, kwargs: Any) -> None:
                """Say nothing."""

            def log_response(self, status_code: int, response: Any) -> None:
                """Say nothing."""

        for name in TALKATIVE_LOGGERS:
            logging.getLogger(name).addFilter(_silent)
        transport = Transport(timeout=self._timeout_seconds)
        # The sandbox is reached without the environment's proxies; https keeps to its certificates.
        transport.session = _session(
            self._progress, trust_environment=base.scheme == "https" or base.hostname not in LOOPBACK
        )
        return Client(self._account_sid, self._auth_token.reveal(), http_client=transport)


def _unavailable(status: object) -> Unavailable:
    answer = f"answered with HTTP {status}" if isinstance(status, int) else "gave no usable answer"
    return Unavailable(f"Twilio {answer} when asked for messages.")


def _acceptance(message: Any) -> SendResult:
    sid, status = message.sid, message.status
    if not (isinstance(sid, str) and sid and isinstance(status, str)):
        return _UNKNOWN  # a 2xx that does not say what it made
    code = _code(message.error_code)
    action = action_for(code) if code is not None else None
    return SendResult(SendOutcome.ACCEPTED, sid=sid, status=status, error_code=code, action=action)


def _refusal(status: object, code: object) -> SendResult:
    if not isinstance(status, int):
        return _UNKNOWN
    # Where the answer held no code, the client puts the HTTP status in its place.
    error_code = None if code == status else _code(code)
    action = action_for(error_code, status)
    outcome = SendOutcome.UNKNOWN if action is Action.RECONCILE else SendOutcome.REFUSED
    return SendResult(outcome, error_code=error_code, http_status=status, action=action)


def _provider_message(message: Any) -> ProviderMessage:
    created_at = message.date_created
    if not isinstance(created_at, datetime):
        raise ValueError("a message without the time it was created")
    return ProviderMessage(
        sid=str(message.sid),
        status=str(message.status),
        error_code=_code(message.error_code),
        created_at=created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
        body=Personal(str(message.body or "")),
    )


def _code(value: object) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isascii() and str(value).isdigit() else None


def _rebased(url: str, base: SplitResult) -> str:
    """``url`` with the scheme and host of ``base``, below its path."""
    parts = urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + parts.path, parts.query, ""))


def _silent(record: logging.LogRecord) -> bool:
    return False


def _session(progress: _Progress, *, trust_environment: bool) -> requests.Session:
    """A session that never retries and notes in ``progress`` while a connection is being made.

    Exceptions alone do not tell a handshake that failed from a broken connection after the request left, so the
    connection itself is asked. Whatever is not known to have failed while connecting counts as having left: the safe
    side. ``trust_environment`` takes proxies and certificates from the environment.
    """
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class PlainConnection(HTTPConnection):
        def connect(self) -> None:
            progress.connecting = True
            super().connect()
            progress.connecting = False

    class TlsConnection(HTTPSConnection):
        def connect(self) -> None:
            progress.connecting = True
            super().connect()
            progress.connecting = False

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
            return manager

    session = Session()
    session.trust_env = trust_environment
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(max_retries=0))
    return session
