"""Webhooks: signature first, stored sealed once, answered at once, and an event for the worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.local.sandbox.callbacks import easypost_signature
from services.core.config import config
from services.core.ids import new_id
from services.core.vocabulary import EventKind
from services.messaging.deliveries import Hook, open_delivery
from services.messaging.models import Event, WebhookDelivery
from tests.api.conftest import Api
from tests.factories import World, make_world
from tests.factories_messaging import emitted, inbound_form, twilio_signature

INBOUND = "/hooks/twilio/inbound"
EASYPOST = "/hooks/easypost"
FORM = "application/x-www-form-urlencoded"
EVENT = {"id": "evt_1", "object": "Event", "description": "tracker.updated", "result": {"id": "trk_1"}}


@pytest.fixture
def world(session: Session, api: Api) -> World:
    world = make_world(session)
    session.commit()
    return world


def post_form(
    api: Api, path: str, form: Mapping[str, str], *, signed_for: str | None = None, **options: Any
) -> TestResponse:
    """Post as Twilio does, signed for the public address of ``signed_for`` (default: the path itself)."""
    url = config().public_base_url + (signed_for or path)
    headers = {"X-Twilio-Signature": twilio_signature(url, form)}
    return api.client.post(path, data=dict(form), content_type=FORM, headers=headers, **options)


def post_event(api: Api, body: bytes, signature: str | None = None) -> TestResponse:
    given = signature or easypost_signature(config().easypost_webhook_secret.reveal(), body)
    return api.client.post(EASYPOST, data=body, content_type="application/json", headers={"X-Hmac-Signature": given})


def stored(session: Session) -> list[WebhookDelivery]:
    session.expire_all()
    return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.received_at)))


def events(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Event)) or 0


def test_a_text_is_stored_sealed_and_answered_with_empty_twiml(api: Api, session: Session, world: World) -> None:
    form = inbound_form("my dog ate it & more")
    answer = post_form(api, INBOUND, form)
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert answer.text.endswith("<Response/>")
    (delivery,) = stored(session)
    assert (delivery.provider, delivery.owner_id, delivery.read_at) == ("twilio_inbound", world.operations.id, None)
    assert b"dog" not in (delivery.raw or b"")
    assert open_delivery(session, delivery.id, Hook.TWILIO_INBOUND).form().reveal() == form
    event = emitted(session, EventKind.SMS_RECEIVED)
    assert [(each["party"], each["subject"]) for each in event] == [("patient", ["message", str(delivery.id)])]


def test_a_text_that_comes_twice_is_kept_once(api: Api, session: Session, world: World) -> None:
    form = inbound_form("STOP")
    assert [post_form(api, INBOUND, form).status_code for _ in range(3)] == [200] * 3
    assert len(stored(session)) == 1
    assert len(emitted(session, EventKind.SMS_RECEIVED)) == 1


def test_a_status_report_is_kept_with_the_notice_and_attempt_of_its_address(
    api: Api, session: Session, world: World
) -> None:
    notice_id = new_id()
    form = {"MessageSid": "SM" + "a" * 32, "MessageStatus": "delivered"}
    answer = post_form(api, f"/hooks/twilio/status/{notice_id}?attempt=2", form)
    assert (answer.status_code, answer.data) == (204, b"")
    (delivery,) = stored(session)
    opened = open_delivery(session, delivery.id, Hook.TWILIO_STATUS)
    assert opened.context == {"notice": str(notice_id), "attempt": "2"}
    assert len(emitted(session, EventKind.SMS_STATUS_RECEIVED)) == 1


def test_each_status_of_a_text_is_kept_once(api: Api, session: Session, world: World) -> None:
    path = f"/hooks/twilio/status/{new_id()}"
    for status in ("sent", "delivered", "sent"):
        post_form(api, path, {"MessageSid": "SM" + "a" * 32, "MessageStatus": status})
    assert len(stored(session)) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"X-Twilio-Signature": "é"},
    ],
)
@pytest.mark.parametrize("path", [INBOUND, "/hooks/twilio/status/00000000-0000-7000-8000-000000000009"])
def test_without_twilios_signature_nothing_is_stored(
    api: Api, session: Session, world: World, path: str, headers: dict[str, str]
) -> None:
    before = events(session)
    answer = api.client.post(path, data=inbound_form("STOP"), headers=headers)
    assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")
    assert answer.get_json()["code"] == "signature_not_valid"
    assert (stored(session), events(session)) == ([], before)


def test_a_signature_for_another_address_or_other_words_is_refused(api: Api, session: Session, world: World) -> None:
    form = inbound_form("STOP")
    assert post_form(api, INBOUND, form, signed_for="/hooks/twilio/inbound?x=1").status_code == 403
    headers = {"X-Twilio-Signature": twilio_signature(config().public_base_url + INBOUND, form)}
    assert api.client.post(INBOUND, data={**form, "Body": "START"}, headers=headers).status_code == 403
    assert api.client.post(INBOUND, json={"Body": "STOP"}, headers=headers).status_code == 403
    assert api.client.post(INBOUND, data=b"\xff\xfe", headers=headers).status_code == 403
    assert stored(session) == []


@pytest.mark.parametrize("form", [{}, {"Body": "no sender"}, {"MessageSid": "'; DROP TABLE--", "From": "x"}])
def test_a_signed_text_that_is_none_is_stored_and_answered(
    api: Api, session: Session, world: World, form: dict[str, str]
) -> None:
    assert [post_form(api, INBOUND, form).status_code for _ in range(2)] == [200, 200]
    assert len(stored(session)) == 1


def test_a_signed_status_report_that_is_none_is_stored_and_answered(api: Api, session: Session, world: World) -> None:
    answer = post_form(api, f"/hooks/twilio/status/{new_id()}?attempt=soon", {"MessageStatus": "x" * 500})
    assert answer.status_code == 204
    assert len(stored(session)) == 1


def test_a_carrier_event_is_stored_once(api: Api, session: Session, world: World) -> None:
    body = json.dumps(EVENT).encode()
    assert [post_event(api, body).status_code for _ in range(2)] == [204, 204]
    (delivery,) = stored(session)
    assert open_delivery(session, delivery.id, Hook.EASYPOST).body.reveal() == body
    event = emitted(session, EventKind.CARRIER_EVENT_RECEIVED)
    assert [(each["party"], each["subject"]) for each in event] == [
        ("pharmacy", ["webhook_delivery", str(delivery.id)])
    ]


@pytest.mark.parametrize("signature", ["", "hmac-sha256-hex=00", "hmac-sha256-hex=é", "é"])
def test_without_easyposts_signature_nothing_is_stored(
    api: Api, session: Session, world: World, signature: str
) -> None:
    headers = {"X-Hmac-Signature": signature} if signature else {}
    answer = api.client.post(EASYPOST, data=json.dumps(EVENT), content_type="application/json", headers=headers)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert stored(session) == []


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"id": 7}', b"\xff\xfe", b"[" * 100_000])
def test_a_signed_event_that_is_none_is_stored_and_answered(
    api: Api, session: Session, world: World, body: bytes
) -> None:
    assert [post_event(api, body).status_code for _ in range(2)] == [204, 204]
    (delivery,) = stored(session)
    assert open_delivery(session, delivery.id, Hook.EASYPOST).body.reveal() == body


def test_an_oversized_body_is_refused(api: Api, session: Session, world: World) -> None:
    body = b"x" * (300 * 1024)
    assert post_event(api, body).status_code == 413
    answer = api.client.post(INBOUND, data=urlencode({"Body": "x" * len(body)}), content_type=FORM)
    assert answer.status_code == 413
    assert stored(session) == []


def test_too_many_fields_are_refused_and_never_an_error(api: Api, session: Session, world: World) -> None:
    form = {f"field{number}": "x" for number in range(2000)}
    assert post_form(api, INBOUND, form).status_code in {200, 413}


def test_a_webhook_takes_only_posts(api: Api, world: World) -> None:
    assert [api.client.get(path).status_code for path in (INBOUND, EASYPOST)] == [405, 405]


def test_before_there_is_a_desk_the_provider_is_told_to_come_back(api: Api, session: Session) -> None:
    answer = post_form(api, INBOUND, inbound_form("STOP"))
    assert answer.status_code == 503
