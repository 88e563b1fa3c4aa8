import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import easypost
import pytest
import requests
from easypost.errors import HttpError, InvalidRequestError, NotFoundError, RateLimitError, UnauthorizedError
from easypost.util import validate_webhook
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from coordinator.local import processes
from coordinator.local.sandbox.callbacks import easypost_signature, twilio_signature
from coordinator.local.sandbox.endpoints import Sandbox
from services.core.errors import InvalidConfiguration

ACCOUNT, TOKEN, SERVICE = "AC" + "1" * 32, "sandbox-token", "MG" + "2" * 32
KEY, SECRET = "sandbox-key", "sécret"
PATIENT = "+14155550100"


class Service:
    """Stands where the coordinator would: keeps every webhook it gets, and can be told to fail first."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                failing = outer.failures > 0
                outer.failures -= 1
                if not failing:
                    outer.posts.append((self.path, dict(self.headers.items()), body))
                self.send_response(500 if failing else 204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def wait_for(self, number: int) -> None:
        assert processes.wait_until(lambda: len(self.posts) >= number, 30), self.posts

    def statuses(self) -> list[str]:
        return [dict(parse_qsl(body.decode()))["MessageStatus"] for _, _, body in self.posts]


class LoopbackTwilio(TwilioHttpClient):
    def __init__(self, base: str, timeout: float = 30) -> None:
        super().__init__(timeout=timeout)
        self.base = base

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self.base), *args, **kwargs)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def sandbox(service: Service) -> Iterator[Sandbox]:
    sandbox = Sandbox(
        {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "EASYPOST_API_KEY": KEY,
            "EASYPOST_WEBHOOK_SECRET": SECRET,
            "PUBLIC_BASE_URL": service.url,
        }
    )
    sandbox.start()
    yield sandbox
    sandbox.stop()


def twilio(sandbox: Sandbox, token: str = TOKEN, timeout: float = 30) -> Client:
    return Client(ACCOUNT, token, http_client=LoopbackTwilio(sandbox.url, timeout))


def parcels(sandbox: Sandbox, key: str = KEY) -> easypost.EasyPostClient:
    return easypost.EasyPostClient(key, api_base=f"{sandbox.url}/v2")


def send(sandbox: Sandbox, service: Service, **fields: Any) -> Any:
    wish = {"to": PATIENT, "messaging_service_sid": SERVICE, "body": "Your package is on its way", **fields}
    return twilio(sandbox, timeout=fields.pop("timeout", 30)).messages.create(
        status_callback=f"{service.url}/hooks/twilio/status/1?try=2", **wish
    )


def control(sandbox: Sandbox, path: str, body: Any = None, method: str = "POST") -> Any:
    answer = requests.request(method, f"{sandbox.url}/sandbox/{path}", json=body, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_signatures_match_the_published_vectors() -> None:
    form = {"MessageSid": "SM1", "From": "+14155550100", "Body": "STOP"}
    assert twilio_signature("12345", "https://example.com/webhooks/twilio/sms", form) == "wfwHJRU6dm2DT0CkdRlBxDHMirc="
    assert easypost_signature("demo-secret", b'{"id":"evt_1","description":"tracker.updated"}') == (
        "hmac-sha256-hex=208d44c517c84c9e2765b76169227e50ce9a74442e36b15ff1ab8df8ef0722b8"
    )


def test_the_twilio_client_sends_and_hears_sent_then_delivered(sandbox: Sandbox, service: Service) -> None:
    message = send(sandbox, service)
    assert message.sid.startswith("SM")
    assert message.status == "accepted"
    assert (message.to, message.messaging_service_sid, message.error_code) == (PATIENT, SERVICE, None)
    service.wait_for(2)
    assert service.statuses() == ["sent", "delivered"]
    path, headers, body = service.posts[0]
    form = dict(parse_qsl(body.decode()))
    assert path == "/hooks/twilio/status/1?try=2"
    assert form["MessageSid"] == message.sid
    assert RequestValidator(TOKEN).validate(service.url + path, form, headers["X-Twilio-Signature"])
    assert twilio(sandbox).messages(message.sid).fetch().status == "delivered"


def test_the_twilio_client_lists_by_recipient_and_time(sandbox: Sandbox, service: Service) -> None:
    sids = [send(sandbox, service).sid for _ in range(3)]
    send(sandbox, service, to="+14155550199")
    client, now = twilio(sandbox), datetime.now(UTC)
    assert [message.sid for message in client.messages.list(to=PATIENT, page_size=2)] == sids[::-1]
    assert len(client.messages.list(to=PATIENT, date_sent_after=now - timedelta(minutes=1))) == 3
    assert client.messages.list(to=PATIENT, date_sent_after=now + timedelta(minutes=1)) == []
    assert client.messages.list(to=PATIENT, date_sent_before=now - timedelta(minutes=1)) == []
    assert len(client.messages.list(to=PATIENT, date_sent=now.date())) == 3


def test_twilio_refuses_a_wrong_token_and_a_wrong_number_as_the_client_expects(
    sandbox: Sandbox, service: Service
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        twilio(sandbox, token="ünknown").messages("SM1").fetch()
    assert (refused.value.status, refused.value.code) == (401, 20003)
    with pytest.raises(TwilioRestException) as refused:
        send(sandbox, service, to="5550100")
    assert (refused.value.status, refused.value.code) == (400, 21211)


@pytest.mark.parametrize(("kind", "status", "code"), [("429", 429, 20429), ("500", 500, 20500), ("refuse", 400, 21610)])
def test_an_ordered_refusal_takes_nothing_and_happens_once(
    sandbox: Sandbox, service: Service, kind: str, status: int, code: int
) -> None:
    control(sandbox, "faults", {"kind": kind, "code": 21610})
    with pytest.raises(TwilioRestException) as refused:
        send(sandbox, service)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert control(sandbox, "messages", method="GET")["messages"] == []
    assert send(sandbox, service).status == "accepted"


@pytest.mark.parametrize(
    ("kind", "kept", "error"),
    [
        ("reset", 0, requests.ConnectionError),
        ("accept_then_reset", 1, requests.ConnectionError),
        ("hang", 0, requests.Timeout),
        ("accept_then_hang", 1, requests.Timeout),
        ("accept_then_vanish", 1, requests.Timeout),
    ],
)
def test_a_send_whose_answer_is_lost_can_be_found_by_listing(
    sandbox: Sandbox, service: Service, kind: str, kept: int, error: type[Exception]
) -> None:
    control(sandbox, "faults", {"kind": kind})
    client = twilio(sandbox, timeout=0.3 if error is requests.Timeout else 30)
    with pytest.raises(error):
        client.messages.create(to=PATIENT, messaging_service_sid=SERVICE, body="x", status_callback=service.url)
    # A slow sandbox may not have read the request yet when the client gives up.
    assert processes.wait_until(lambda: not control(sandbox, "faults", method="GET")["waiting"]["twilio"], 30)
    assert processes.wait_until(lambda: len(twilio(sandbox).messages.list(to=PATIENT)) == kept, 30)
    if kind in {"accept_then_reset", "accept_then_hang"}:
        service.wait_for(2)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("repeat_callbacks", ["sent"] * 3 + ["delivered"] * 3),
        ("reverse_callbacks", ["delivered", "sent"]),
        ("undelivered", ["sent", "undelivered"]),
        ("failed", ["sent", "failed"]),
    ],
)
def test_callbacks_come_spoilt_as_ordered(sandbox: Sandbox, service: Service, kind: str, expected: list[str]) -> None:
    control(sandbox, "faults", {"kind": kind, "code": 30005})
    message = send(sandbox, service)
    service.wait_for(len(expected))
    assert service.statuses() == expected
    if expected[-1] in {"undelivered", "failed"}:
        assert dict(parse_qsl(service.posts[-1][2].decode()))["ErrorCode"] == "30005"
        assert twilio(sandbox).messages(message.sid).fetch().error_code == 30005


def test_parallel_callbacks_all_arrive(sandbox: Sandbox, service: Service) -> None:
    control(sandbox, "faults", {"kind": "parallel_callbacks"})
    send(sandbox, service)
    service.wait_for(4)
    assert sorted(service.statuses()) == ["delivered"] * 2 + ["sent"] * 2


def test_callbacks_are_tried_again_while_the_service_fails(sandbox: Sandbox, service: Service) -> None:
    service.failures = 2
    send(sandbox, service)
    service.wait_for(2)
    assert service.statuses() == ["sent", "delivered"]
    deliveries = control(sandbox, "callbacks", method="GET")["callbacks"]
    assert deliveries[0] == {"path": "/hooks/twilio/status/1", "attempts": 3, "status": 204}


def test_a_text_from_a_patient_reaches_the_service_signed(sandbox: Sandbox, service: Service) -> None:
    answer = control(sandbox, "inbound", {"from": PATIENT, "body": "STOP"})
    assert answer["answer"] == 204
    path, headers, body = service.posts[0]
    form = dict(parse_qsl(body.decode()))
    assert path == "/hooks/twilio/inbound"
    assert (form["From"], form["Body"], form["SmsStatus"]) == (PATIENT, "STOP", "received")
    assert RequestValidator(TOKEN).validate(service.url + path, form, headers["X-Twilio-Signature"])


def test_the_easypost_client_creates_lists_and_fetches_trackers(sandbox: Sandbox, service: Service) -> None:
    client = parcels(sandbox)
    tracker = client.tracker.create(tracking_code="9400100000000000000000", carrier="USPS")
    assert tracker.id.startswith("trk_")
    assert (tracker.status, tracker.carrier, tracker.signed_by) == ("pre_transit", "USPS", None)
    assert client.tracker.create(tracking_code="9400100000000000000000", carrier="USPS").id == tracker.id
    assert client.tracker.retrieve(tracker.id).tracking_code == "9400100000000000000000"
    listed = client.tracker.all(tracking_code="9400100000000000000000")
    assert [found.id for found in listed["trackers"]] == [tracker.id]
    assert listed["has_more"] is False
    service.wait_for(1)


def test_a_carrier_scan_posts_a_signed_event(sandbox: Sandbox, service: Service) -> None:
    tracker = parcels(sandbox).tracker.create(tracking_code="940", carrier="USPS")
    service.wait_for(1)
    control(sandbox, "trackers/940/advance", {"status": "delivered", "signed_by": "A. Adult"})
    service.wait_for(2)
    created, delivered = (validate_webhook(body, headers, SECRET) for _, headers, body in service.posts)
    assert (created["description"], delivered["description"]) == ("tracker.created", "tracker.updated")
    assert delivered["previous_attributes"] == {"status": "pre_transit"}
    assert (delivered["result"]["id"], delivered["result"]["status"]) == (tracker.id, "delivered")
    assert delivered["result"]["signed_by"] == "A. Adult"
    assert [detail["status"] for detail in delivered["result"]["tracking_details"]] == ["pre_transit", "delivered"]


def test_events_can_be_repeated_and_released_backwards(sandbox: Sandbox, service: Service) -> None:
    parcels(sandbox).tracker.create(tracking_code="940", carrier="USPS")
    service.wait_for(1)
    control(sandbox, "trackers/940/advance", {"status": "in_transit", "repeat": 3})
    service.wait_for(4)
    assert len({json.loads(body)["id"] for _, _, body in service.posts[1:]}) == 1
    for status in ("out_for_delivery", "delivered"):
        control(sandbox, "trackers/940/advance", {"status": status, "hold": True})
    assert control(sandbox, "events/release", {"backwards": True}) == {"released": 2}
    service.wait_for(6)
    statuses = [json.loads(body)["result"]["status"] for _, _, body in service.posts[4:]]
    assert statuses == ["delivered", "out_for_delivery"]


def test_an_older_scan_does_not_change_the_status(sandbox: Sandbox, service: Service) -> None:
    parcels(sandbox).tracker.create(tracking_code="940", carrier="USPS")
    control(sandbox, "trackers/940/advance", {"status": "delivered"})
    moved = control(sandbox, "trackers/940/advance", {"status": "in_transit", "datetime": "2020-01-01T00:00:00Z"})
    assert moved["status"] == "delivered"
    assert moved["tracking_details"][0]["status"] == "in_transit"


def test_easypost_refuses_as_the_client_expects(sandbox: Sandbox) -> None:
    with pytest.raises(UnauthorizedError):
        parcels(sandbox, key="wrong").tracker.all()
    with pytest.raises(NotFoundError):
        parcels(sandbox).tracker.retrieve("trk_none")
    with pytest.raises(InvalidRequestError):
        parcels(sandbox).tracker.create(tracking_code="")
    control(sandbox, "faults", {"kind": "429", "provider": "easypost"})
    with pytest.raises(RateLimitError):
        parcels(sandbox).tracker.create(tracking_code="940")
    control(sandbox, "faults", {"kind": "reset", "provider": "easypost"})
    with pytest.raises(HttpError):
        parcels(sandbox).tracker.create(tracking_code="940")
    assert parcels(sandbox).tracker.all()["trackers"] == []


def test_unused_faults_can_be_cleared_and_unknown_ones_are_refused(sandbox: Sandbox, service: Service) -> None:
    control(sandbox, "faults", {"kind": "500", "count": 5})
    assert control(sandbox, "faults", method="GET")["waiting"]["twilio"] == {"500": 5}
    control(sandbox, "faults", method="DELETE")
    assert send(sandbox, service).status == "accepted"
    assert requests.post(f"{sandbox.url}/sandbox/faults", json={"kind": "?"}, timeout=30).status_code == 422


def test_the_sandbox_is_refused_in_production_and_without_settings() -> None:
    with pytest.raises(InvalidConfiguration, match="production"):
        Sandbox({"COORDINATOR_ENV": "production"})
    with pytest.raises(InvalidConfiguration, match="PUBLIC_BASE_URL"):
        Sandbox({})


def test_the_sandbox_takes_many_requests_on_one_connection(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=30)
    for _ in range(3):
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.close()
