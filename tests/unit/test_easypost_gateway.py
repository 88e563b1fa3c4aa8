"""The way to EasyPost against a server on loopback: what is known after each kind of answer, and what is not said."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration, Unavailable
from services.core.personal import Personal, Secret
from services.shipping.gateways import EasyPostGateway, TrackerOutcome, TrackerResult
from services.shipping.statuses import Stage, status_map

KEY = "EZTK-canary-key"
CODE = "9400canary1234"
TRACKER = {
    "id": "trk_0123456789",
    "object": "Tracker",
    "tracking_code": CODE,
    "carrier": "USPS",
    "status": "pre_transit",
    "status_detail": "label_created",
    "signed_by": None,
    "public_url": f"https://track.easypost.example/{CODE}",
    "tracking_details": [
        {"object": "TrackingDetail", "status": "pre_transit", "status_detail": None, "datetime": "2026-11-20T10:00:00Z"}
    ],
}
REFUSAL = {"error": {"code": "TRACKER.CREATE.ERROR", "message": f"Bad code {CODE}", "errors": []}}
LATE = "late"
RESET = "reset"


class Carrier(BaseHTTPRequestHandler):
    """Answers each request with the next of ``answers``: a status and a body, or one of the ways not to answer."""

    answers: list[Any]
    requests: list[tuple[str, str, str, bytes]]
    leaving: threading.Event
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        with suppress(OSError):  # the gateway has left
            self.answer()

    do_GET = do_POST  # noqa: N815 - the base class looks for this name

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.requests.append((self.command, self.path, self.headers.get("Authorization", ""), body))
        answer = self.answers.pop(0)
        self.close_connection = True
        if answer == RESET:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if answer == LATE:
            self.leaving.wait(30)
        status, content = (201, TRACKER) if answer == LATE else answer
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        # A client that is not told would keep the connection, and might ask again on it while it is being closed.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class CarrierServer(ThreadingHTTPServer):
    """A server at which many may call at once, and which has read every request when it has ended."""

    request_queue_size = 128
    daemon_threads = False


@contextmanager
def carrier(*answers: Any) -> Iterator[tuple[type[Carrier], str]]:
    """A server that gives ``answers``, and its address."""
    attributes = {"answers": list(answers), "requests": [], "leaving": threading.Event()}
    handler = type("ThisCarrier", (Carrier,), attributes)
    with CarrierServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield handler, f"http://127.0.0.1:{server.server_address[1]}/v2"
        finally:
            handler.leaving.set()
            server.shutdown()
            thread.join()


def gateway(url: str, timeout_seconds: float = 5) -> EasyPostGateway:
    return EasyPostGateway(Secret(KEY), url, timeout_seconds)


def create(*answers: Any, timeout_seconds: float = 5) -> TrackerResult:
    with carrier(*answers) as (_, url):
        return gateway(url, timeout_seconds).create_tracker(Personal(CODE), "USPS")


def test_a_created_tracker_comes_back_with_its_id_and_facts() -> None:
    with carrier((201, TRACKER)) as (handler, url):
        result = gateway(url).create_tracker(Personal(CODE), "USPS")
    assert (result.outcome, result.tracker_id) == (TrackerOutcome.CREATED, "trk_0123456789")
    assert result.facts is not None
    assert status_map().stage_of(result.facts.scans[-1].status, None) is Stage.PRE_TRANSIT
    assert result.public_url == Personal(f"https://track.easypost.example/{CODE}")
    ((method, path, authorization, body),) = handler.requests
    assert (method, path, authorization) == ("POST", "/v2/trackers", f"Bearer {KEY}")
    assert json.loads(body) == {"tracker": {"tracking_code": CODE, "carrier": "USPS"}}


def test_a_tracker_that_cannot_be_read_is_created_all_the_same() -> None:
    result = create((201, {"id": "trk_1", "status": None, "tracking_details": [{"datetime": "soon"}]}))
    assert (result.outcome, result.tracker_id, result.facts) == (TrackerOutcome.CREATED, "trk_1", None)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 422])
def test_a_no_is_refused_with_easyposts_code(status: int) -> None:
    assert create((status, REFUSAL)) == TrackerResult(
        TrackerOutcome.REFUSED, http_status=status, error_code="TRACKER.CREATE.ERROR"
    )


@pytest.mark.parametrize("body", [REFUSAL, b"<html>busy</html>", b"", {"error": "busy"}, {}])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_easypost_is_asked_again_later_whatever_it_wrote(status: int, body: Any) -> None:
    result = create((status, body))
    assert (result.outcome, result.http_status) == (TrackerOutcome.RETRY, status)


@pytest.mark.parametrize(
    "answer",
    [
        (500, REFUSAL),
        (502, b"<html>bad gateway</html>"),
        (504, REFUSAL),
        (408, REFUSAL),
        (201, b"<html>"),
        (201, {}),
        (201, []),
        (201, {"id": None}),
        (200, {"id": 5}),
        (200, b"null"),
        RESET,
    ],
)
def test_what_may_have_arrived_is_unknown(answer: Any) -> None:
    assert create(answer).outcome is TrackerOutcome.UNKNOWN


@pytest.mark.parametrize("answer", [RESET, LATE])
def test_nothing_is_asked_twice(answer: str) -> None:
    with carrier(answer, answer, (201, TRACKER), (201, TRACKER)) as (handler, url):
        assert gateway(url, 0.2).create_tracker(Personal(CODE), "USPS").outcome is TrackerOutcome.UNKNOWN
        with pytest.raises(Unavailable):
            gateway(url, 0.2).find(Personal(CODE))
    assert sorted(method for method, *_ in handler.requests) == ["GET", "POST"]


def test_a_slow_easypost_is_left_after_the_time_out() -> None:
    assert create(LATE, timeout_seconds=0.2).outcome is TrackerOutcome.UNKNOWN


def test_an_easypost_that_was_never_reached_is_asked_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v2"
        assert gateway(url).create_tracker(Personal(CODE), "USPS") == TrackerResult(TrackerOutcome.RETRY)
        with pytest.raises(Unavailable):
            gateway(url).find(Personal(CODE))


def test_find_gives_the_newest_tracker_of_exactly_that_code() -> None:
    other = {**TRACKER, "id": "trk_other", "tracking_code": CODE + "5"}
    older = {**TRACKER, "id": "trk_older"}
    page = {"trackers": [other, TRACKER, older], "has_more": False}
    with carrier((200, page), (200, page)) as (handler, url):
        found = gateway(url).find(Personal(CODE), "USPS")
        assert gateway(url).find(Personal("another")) is None
    assert found is not None
    assert (found.outcome, found.tracker_id) == (TrackerOutcome.CREATED, "trk_0123456789")
    assert handler.requests[0][1] == f"/v2/trackers?tracking_code={CODE}&carrier=USPS"


@pytest.mark.parametrize(
    "answer", [(500, REFUSAL), (401, REFUSAL), (200, {}), (200, []), (200, b"<"), (429, b""), RESET]
)
def test_find_without_a_usable_answer_is_unavailable_and_says_nothing_personal(answer: Any) -> None:
    with carrier(answer) as (_, url), pytest.raises(Unavailable) as raised:
        gateway(url).find(Personal(CODE))
    assert raised.value.__context__ is None
    assert CODE not in raised.value.message
    assert KEY not in raised.value.message


def test_neither_results_nor_the_gateway_nor_logs_show_key_or_code(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), carrier((422, REFUSAL), (201, TRACKER), RESET) as (_, url):
        way = gateway(url)
        shown = [repr(way), *(repr(way.create_tracker(Personal(CODE), "USPS")) for _ in range(3)), caplog.text]
    assert not any(secret in text for text in shown for secret in (KEY, CODE))


def test_loopback_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert create((201, TRACKER)).outcome is TrackerOutcome.CREATED


def test_threads_do_not_read_each_others_answers() -> None:
    answers = [(422, REFUSAL), (429, REFUSAL)] * 4
    with carrier(*answers) as (_, url):
        way, outcomes = gateway(url), []
        threads = [
            threading.Thread(target=lambda: outcomes.append(way.create_tracker(Personal(CODE), "USPS").outcome))
            for _ in answers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == [TrackerOutcome.REFUSED] * 4 + [TrackerOutcome.RETRY] * 4


@pytest.mark.parametrize(
    ("key", "base", "timeout"),
    [
        ("", None, 5),
        (KEY, "ftp://api.easypost.com/v2", 5),
        (KEY, "api.easypost.com", 5),
        (KEY, "https://user@api.easypost.com/v2", 5),
        (KEY, None, 0),
    ],
)
def test_a_gateway_that_cannot_work_is_refused_at_once(key: str, base: str | None, timeout: float) -> None:
    with pytest.raises(InvalidConfiguration):
        EasyPostGateway(Secret(key), base, timeout)
