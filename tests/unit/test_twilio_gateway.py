"""The Twilio gateway over real sockets: what is known after each kind of answer, silence and failure (DOMAIN 7)."""

from __future__ import annotations

import base64
import io
import json
import logging
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from services.core.errors import InvalidConfiguration, InvalidInput, Unavailable
from services.core.personal import Personal, Secret
from services.core.programme import programme
from services.messaging.gateways import SendOutcome, TwilioGateway
from services.messaging.provider_messages import ProviderMessage, looked_for_since, matching
from services.messaging.twilio_statuses import Action

ACCOUNT = "AC" + "a" * 32
SERVICE = "MG" + "b" * 32
SID = "SM" + "c" * 32
TO = Personal("+14155550177")
BODY = Personal("Riverbend: canary text. Reply STOP to opt out")
CALLBACK = "https://kap.example.org/hooks/twilio/status/1"
SINCE = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    form: dict[str, list[str]]
    authorization: str


Answer = Callable[[socket.socket], None]


@dataclass
class FakeTwilio:
    """A server on loopback that notes what it is asked and does with the connection what the test says."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def gateway(self, *, path: str = "", scheme: str = "http", timeout_seconds: float = 5) -> TwilioGateway:
        base = f"{scheme}://127.0.0.1:{self.port}{path}"
        return TwilioGateway(ACCOUNT, Secret("token"), SERVICE, base, timeout_seconds)

    def handle(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            method, target, _ = stream.readline().decode("latin-1").split(" ", 2)
            headers = {}
            for line in iter(stream.readline, b"\r\n"):
                name, value = line.decode("latin-1").strip().split(": ", 1)
                headers[name.lower()] = value
            body = stream.read(int(headers.get("content-length", 0))).decode()
        parts = urlsplit(target)
        self.requests.append(
            Request(method, parts.path, parse_qs(parts.query), parse_qs(body), headers.get("authorization", ""))
        )
        self.answers[min(len(self.requests), len(self.answers)) - 1](connection)


@contextmanager
def serving(fake: FakeTwilio, *, port: int = 0, certificate: Path | None = None) -> Iterator[FakeTwilio]:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection = tls.wrap_socket(self.request, server_side=True) if tls else self.request
            try:
                fake.handle(connection)
            except (ValueError, OSError):  # what is not HTTP, such as a TLS greeting, gets what a web server gives it
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            finally:
                connection.close()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is what these tests are about."""

    with Server(("127.0.0.1", port), Handler) as server:
        fake.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with serving(FakeTwilio()) as fake:
        yield fake


def replying(status: int, content: object) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def refusing(status: int, code: int) -> Answer:
    return replying(status, {"code": code, "message": f"no {TO.reveal()}", "status": status, "more_info": "x"})


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def message(**changes: object) -> dict[str, object]:
    return {
        "sid": SID,
        "status": "accepted",
        "error_code": None,
        "body": BODY.reveal(),
        "to": TO.reveal(),
        "direction": "outbound-api",
        "date_created": "Fri, 20 Nov 2026 18:00:05 +0000",
        "date_sent": None,
        **changes,
    }


@contextmanager
def closed_port() -> Iterator[int]:
    """A port where connections are refused, which nobody else gets meanwhile: taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_an_accepted_text_gives_its_sid_and_status(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(201, message())]
    result = twilio.gateway().send(TO, BODY, CALLBACK)
    assert (result.outcome, result.sid, result.status) == (SendOutcome.ACCEPTED, SID, "accepted")
    assert result.error_code is None
    assert not result.may_retry


def test_the_request_carries_what_twilio_needs_and_nothing_more(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(201, message())]
    twilio.gateway().send(TO, BODY, CALLBACK)
    [request] = twilio.requests
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert request.form == {
        "To": [TO.reveal()],
        "Body": [BODY.reveal()],
        "MessagingServiceSid": [SERVICE],
        "StatusCallback": [CALLBACK],
    }
    assert request.query == {}


def test_the_request_is_authorized_by_account_and_token(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(201, message())]
    twilio.gateway().send(TO, BODY, CALLBACK)
    assert twilio.requests[0].authorization == "Basic " + base64.b64encode(f"{ACCOUNT}:token".encode()).decode()


def test_the_address_may_have_a_path_before_twilios(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(201, message())]
    twilio.gateway(path="/sandbox/twilio/").send(TO, BODY, CALLBACK)
    assert twilio.requests[0].path == f"/sandbox/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


@pytest.mark.parametrize(
    ("answer", "code", "status", "action"),
    [
        (refusing(400, 21610), 21610, 400, Action.MARK_OPTED_OUT),
        (refusing(400, 21211), 21211, 400, Action.MARK_INVALID),
        (refusing(400, 21614), 21614, 400, Action.MARK_NOT_MOBILE),
        (refusing(401, 20003), 20003, 401, Action.ASK_STAFF),
        (refusing(429, 20429), 20429, 429, Action.BACK_OFF),
        (replying(429, b""), None, 429, Action.BACK_OFF),
        (refusing(500, 20500), 20500, 500, Action.BACK_OFF),
        (replying(503, b"<html>busy</html>"), None, 503, Action.BACK_OFF),
        (
            replying(400, {"type": "x", "title": "no", "status": 400, "code": 21610}),
            21610,
            400,
            Action.MARK_OPTED_OUT,
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    twilio: FakeTwilio, answer: Answer, code: int | None, status: int, action: Action
) -> None:
    twilio.answers = [answer]
    result = twilio.gateway().send(TO, BODY, CALLBACK)
    assert (result.outcome, result.action) == (SendOutcome.REFUSED, action)
    assert (result.error_code, result.http_status) == (code, status)
    assert result.may_retry == (action is Action.BACK_OFF)
    assert len(twilio.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        hang_up,
        replying(504, b"gateway time-out"),
        replying(201, b""),
        replying(201, b"{"),
        replying(201, {}),
        replying(201, message(sid="")),
        lambda connection: connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{"),
        lambda connection: connection.sendall(b"nonsense\r\n\r\n"),
    ],
    ids=["reset", "hang-up", "504", "empty", "broken", "without-sid", "empty-sid", "cut-short", "nonsense"],
)
def test_whatever_breaks_after_the_request_left_is_unknown_and_not_sent_again(
    twilio: FakeTwilio, answer: Answer
) -> None:
    twilio.answers = [answer]
    result = twilio.gateway().send(TO, BODY, CALLBACK)
    assert (result.outcome, result.action) == (SendOutcome.UNKNOWN, Action.RECONCILE)
    assert not result.may_retry
    assert len(twilio.requests) == 1


def test_silence_after_the_request_left_is_unknown_and_not_sent_again() -> None:
    fake = FakeTwilio()

    def keep_waiting(connection: socket.socket) -> None:
        fake.over.wait(30)

    fake.answers = [keep_waiting]
    with serving(fake):
        assert fake.gateway(timeout_seconds=0.2).send(TO, BODY, CALLBACK).outcome is SendOutcome.UNKNOWN
    # Counted when the server has ended: a slow one may not have read the request yet when the gateway gives up.
    assert len(fake.requests) == 1


def test_a_redirect_is_not_followed_with_the_text(twilio: FakeTwilio) -> None:
    head = f"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{twilio.port}/elsewhere\r\nContent-Length: 0\r\n\r\n"
    twilio.answers = [lambda connection: connection.sendall(head.encode())]
    result = twilio.gateway().send(TO, BODY, CALLBACK)
    assert (result.outcome, result.action) == (SendOutcome.REFUSED, Action.ASK_STAFF)
    assert len(twilio.requests) == 1


def test_a_refused_connection_means_that_nothing_left() -> None:
    with closed_port() as port:
        result = TwilioGateway(ACCOUNT, Secret("token"), SERVICE, f"http://127.0.0.1:{port}", 5).send(
            TO, BODY, CALLBACK
        )
    assert (result.outcome, result.action) == (SendOutcome.NEVER_LEFT, Action.BACK_OFF)
    assert result.may_retry


def test_a_failed_tls_handshake_means_that_nothing_left(twilio: FakeTwilio) -> None:
    result = twilio.gateway(scheme="https").send(TO, BODY, CALLBACK)
    assert result.outcome is SendOutcome.NEVER_LEFT
    assert twilio.requests == []


def test_a_handshake_that_never_ends_means_that_nothing_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts in the backlog and never says a word
        base = f"https://127.0.0.1:{silent.getsockname()[1]}"
        result = TwilioGateway(ACCOUNT, Secret("token"), SERVICE, base, 0.2).send(TO, BODY, CALLBACK)
    assert result.outcome is SendOutcome.NEVER_LEFT


def test_a_failure_to_connect_is_not_remembered_for_the_next_send() -> None:
    with closed_port() as port:
        gateway = TwilioGateway(ACCOUNT, Secret("token"), SERVICE, f"http://127.0.0.1:{port}", 5)
        assert gateway.send(TO, BODY, CALLBACK).outcome is SendOutcome.NEVER_LEFT
    with serving(FakeTwilio(answers=[reset, replying(201, message())]), port=port):
        assert gateway.send(TO, BODY, CALLBACK).outcome is SendOutcome.UNKNOWN
        assert gateway.send(TO, BODY, CALLBACK).outcome is SendOutcome.ACCEPTED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem)
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return certificate


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (replying(201, message()), SendOutcome.ACCEPTED),
        (reset, SendOutcome.UNKNOWN),
        (hang_up, SendOutcome.UNKNOWN),
        (replying(201, b"{"), SendOutcome.UNKNOWN),
        (refusing(400, 21610), SendOutcome.REFUSED),
    ],
)
def test_over_tls_what_breaks_after_the_handshake_is_unknown(
    trusted: Path, answer: Answer, outcome: SendOutcome
) -> None:
    with serving(FakeTwilio(answers=[answer]), certificate=trusted) as twilio:
        assert twilio.gateway(scheme="https").send(TO, BODY, CALLBACK).outcome is outcome
        assert len(twilio.requests) == 1


def test_over_tls_an_untrusted_certificate_means_that_nothing_left(certificate: Path) -> None:
    with serving(FakeTwilio(answers=[replying(201, message())]), certificate=certificate) as twilio:
        assert twilio.gateway(scheme="https").send(TO, BODY, CALLBACK).outcome is SendOutcome.NEVER_LEFT
        assert twilio.requests == []


def test_the_texts_to_a_number_are_found_oldest_first_queued_ones_included(twilio: FakeTwilio) -> None:
    listed = [
        message(sid="SM4", status="queued", date_created="Fri, 20 Nov 2026 18:09:00 +0000"),
        message(sid="SM3", direction="inbound", body="STOP"),
        message(sid="SM2", status="failed", error_code="30007", date_sent="Fri, 20 Nov 2026 18:00:06 +0000"),
        message(sid="SM1", date_created="Fri, 20 Nov 2026 17:59:59 +0000"),
    ]
    twilio.answers = [replying(200, {"messages": listed, "next_page_uri": None, "page": 0})]
    found = twilio.gateway().find(TO, SINCE)
    assert [(each.sid, each.status, each.error_code) for each in found] == [
        ("SM2", "failed", 30007),
        ("SM4", "queued", None),
    ]
    assert found[0].created_at == SINCE + timedelta(seconds=5)
    assert found[0].body == BODY
    [request] = twilio.requests
    assert (request.method, request.query["To"]) == ("GET", [TO.reveal()])


def test_a_long_list_is_read_to_its_end_at_the_same_address(twilio: FakeTwilio) -> None:
    twilio.answers = [
        replying(200, {"messages": [message(sid="SM2")], "next_page_uri": "/2010-04-01/next.json?Page=1"}),
        replying(200, {"messages": [message(sid="SM1")], "next_page_uri": None}),
    ]
    assert {each.sid for each in twilio.gateway().find(TO, SINCE)} == {"SM1", "SM2"}
    assert twilio.requests[1].path == "/2010-04-01/next.json"


@pytest.mark.parametrize(
    "answer", [refusing(404, 20404), refusing(500, 1), replying(200, b"{"), replying(200, {}), reset]
)
def test_no_usable_list_is_unavailable_never_an_empty_list(twilio: FakeTwilio, answer: Answer) -> None:
    twilio.answers = [answer]
    with pytest.raises(Unavailable) as refused:
        twilio.gateway().find(TO, SINCE)
    assert TO.reveal()[1:] not in refused.value.message
    assert refused.value.__context__ is None


def test_one_text_is_fetched_by_its_sid(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(200, message(status="delivered"))]
    fetched = twilio.gateway().fetch(SID)
    assert fetched is not None
    assert (fetched.sid, fetched.status) == (SID, "delivered")
    assert twilio.requests[0].path.endswith(f"/Messages/{SID}.json")


def test_a_text_that_twilio_does_not_know_is_none(twilio: FakeTwilio) -> None:
    twilio.answers = [refusing(404, 20404)]
    assert twilio.gateway().fetch(SID) is None


def test_no_usable_text_is_unavailable(twilio: FakeTwilio) -> None:
    twilio.answers = [replying(503, b"")]
    with pytest.raises(Unavailable, match="HTTP 503"):
        twilio.gateway().fetch(SID)


@pytest.mark.parametrize("sid", ["", "../../Accounts", "SM1.json?x=", "SM1/Media", "é" * 34])
def test_what_cannot_be_a_sid_is_never_put_into_an_address(twilio: FakeTwilio, sid: str) -> None:
    with pytest.raises(InvalidInput):
        twilio.gateway().fetch(sid)
    assert twilio.requests == []


def test_neither_number_nor_text_reaches_a_log_at_any_level(twilio: FakeTwilio) -> None:
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("services.test").debug("listening")
        gateway = twilio.gateway()
        twilio.answers = [replying(201, message()), refusing(400, 21211), reset, replying(200, {"messages": []}), reset]
        results = [gateway.send(TO, BODY, CALLBACK) for _ in range(3)]
        gateway.find(TO, SINCE)
        with pytest.raises(Unavailable):
            gateway.find(TO, SINCE)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    said = heard.getvalue() + repr(results) + repr(gateway)
    assert "listening" in said
    assert "4155550177" not in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("account", "token", "service", "base", "timeout_seconds"),
    [
        ("", "token", SERVICE, None, 5),
        (ACCOUNT, "", SERVICE, None, 5),
        (ACCOUNT, "token", "", None, 5),
        (ACCOUNT, "token", SERVICE, "ftp://127.0.0.1", 5),
        (ACCOUNT, "token", SERVICE, "127.0.0.1:80", 5),
        (ACCOUNT, "token", SERVICE, "http://user:pass@127.0.0.1", 5),
        (ACCOUNT, "token", SERVICE, None, 0),
    ],
)
def test_an_incomplete_configuration_is_refused(
    account: str, token: str, service: str, base: str | None, timeout_seconds: float
) -> None:
    with pytest.raises(InvalidConfiguration):
        TwilioGateway(account, Secret(token), service, base, timeout_seconds)


def test_a_process_that_does_not_send_does_not_load_the_client() -> None:
    program = (
        "import sys, services.messaging.gateways as g; from services.core.personal import Secret;"
        "g.TwilioGateway('a', Secret('b'), 'c', None, 5);"
        "print([name for name in ('twilio', 'requests', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DEFAULT = programme()


def sent(sid: str, *, after_seconds: float = 5, body: Personal[str] = BODY) -> ProviderMessage:
    return ProviderMessage(sid, "queued", None, SINCE + timedelta(seconds=after_seconds), body)


def test_an_unknown_send_is_the_text_with_the_same_body_and_time() -> None:
    others = [
        sent("SM1", body=Personal("another text")),
        sent("SM2", after_seconds=3000),
        sent("SM3", after_seconds=-3000),
    ]
    assert matching(others, BODY, SINCE, set(), DEFAULT) is None
    found = matching([*others, sent("SM4")], BODY, SINCE, set(), DEFAULT)
    assert found is not None
    assert found.sid == "SM4"


def test_a_text_that_belongs_to_another_notice_is_not_taken_again() -> None:
    two = [sent("SM2", after_seconds=9), sent("SM1", after_seconds=5)]
    first = matching(two, BODY, SINCE, set(), DEFAULT)
    second = matching(two, BODY, SINCE, {"SM1"}, DEFAULT)
    assert (first and first.sid, second and second.sid) == ("SM1", "SM2")
    assert matching(two, BODY, SINCE, {"SM1", "SM2"}, DEFAULT) is None


def test_the_providers_clock_may_run_a_little_behind() -> None:
    assert matching([sent("SM1", after_seconds=-60)], BODY, SINCE, set(), DEFAULT) is not None
    assert looked_for_since(SINCE, DEFAULT) == SINCE - timedelta(seconds=120)
