"""Signed webhooks, as the providers post them: signatures of DOMAIN 7 and 8, and a few tries while nobody answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import threading
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0)  # seconds between tries: a web process that restarts is back in time
TIMEOUT_SECONDS = 10
REMEMBERED = 2_000


def twilio_signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: base64(HMAC-SHA1(token, URL + sorted key+value))."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def easypost_signature(secret: str, body: bytes) -> str:
    """X-Hmac-Signature over the raw body, the secret NFKD-normalised."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Callback:
    """One webhook to post."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def twilio_callback(token: str, url: str, form: Mapping[str, str]) -> Callback:
    """A form post signed by Twilio."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "X-Twilio-Signature": twilio_signature(token, url, form),
        "User-Agent": "TwilioProxy/1.1",
    }
    return Callback(url, urlencode(form).encode(), headers)


def easypost_callback(secret: str, url: str, body: bytes) -> Callback:
    """A JSON post signed by EasyPost."""
    headers = {
        "Content-Type": "application/json",
        "X-Hmac-Signature": easypost_signature(secret, body),
        "User-Agent": "EasyPost/2.0",
    }
    return Callback(url, body, headers)


@dataclass
class Delivery:
    """What became of a callback: how often it was tried and the last answer, None when nobody answered."""

    path: str
    attempts: int = 0
    status: int | None = None


class Callbacks:
    """Posts webhooks from a few threads of its own: those handed over together in order, others side by side."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="callback")
        self._stopping = threading.Event()
        self._deliveries: deque[Delivery] = deque(maxlen=REMEMBERED)

    def post(self, callbacks: Sequence[Callback], *, delay_seconds: float = 0) -> Future[list[int | None]]:
        """Post ``callbacks`` one after the other, after ``delay_seconds``; the future holds their answers."""
        return self._pool.submit(self._post_in_order, list(callbacks), delay_seconds)

    def deliveries(self) -> list[dict[str, Any]]:
        """What was posted lately, oldest first."""
        return [asdict(delivery) for delivery in list(self._deliveries)]

    def stop(self) -> None:
        """Give up what has not been delivered and end the threads."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)

    def _post_in_order(self, callbacks: list[Callback], delay_seconds: float) -> list[int | None]:
        self._stopping.wait(delay_seconds)
        return [self._post_until_answered(callback) for callback in callbacks]

    def _post_until_answered(self, callback: Callback) -> int | None:
        delivery = Delivery(urlsplit(callback.url).path)
        self._deliveries.append(delivery)
        for pause in (*PAUSES, 0.0):
            if self._stopping.is_set():
                break
            delivery.attempts += 1
            delivery.status = _send(callback)
            if delivery.status is not None and delivery.status < 500:
                break
            self._stopping.wait(pause)
        return delivery.status


def _send(callback: Callback) -> int | None:
    """Post once; None when there was no answer. No proxy and no redirect is followed: the target is this machine."""
    parts = urlsplit(callback.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body=callback.body, headers=dict(callback.headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
