"""What Twilio posts: texts that came in, and what became of texts that went out (DOMAIN 7)."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from flask import Blueprint, Response, request

from coordinator.problems import problem
from services.core.config import config
from services.core.database import transaction
from services.messaging.deliveries import Hook, keep_delivery
from services.messaging.signatures import valid_twilio_json_signature, valid_twilio_signature

blueprint = Blueprint("twilio_hooks", __name__, url_prefix="/hooks/twilio")

FORM: Final = "application/x-www-form-urlencoded"
NO_REPLY: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


@blueprint.post("/inbound")
def receive_text() -> Response:
    """Keep a text that came in. The answer to it, if any, is sent as a text of our own, not as TwiML."""
    body = request.get_data()
    if not _signed(body):
        return _refusal()
    with transaction() as session:
        keep_delivery(session, Hook.TWILIO_INBOUND, body, request.form.get("MessageSid"))
    return Response(NO_REPLY, content_type="text/xml; charset=utf-8")


@blueprint.post("/status/<uuid:notice_id>")
def receive_status(notice_id: UUID) -> Response:
    """Keep a status report of a text that went out. The address tells which, and which attempt it was."""
    body = request.get_data()
    if not _signed(body):
        return _refusal()
    context = {"notice": str(notice_id)}
    attempt = request.args.get("attempt", "")
    if re.fullmatch(r"[0-9]{1,4}", attempt):
        context["attempt"] = attempt
    with transaction() as session:
        keep_delivery(session, Hook.TWILIO_STATUS, body, _report_id(), context)
    return Response(status=204)


def _report_id() -> str | None:
    """A report has no id of its own: its message and its word are what repeats."""
    sid, status = request.form.get("MessageSid"), request.form.get("MessageStatus")
    return f"{sid}:{status}" if sid and status else None


def _signed(body: bytes) -> bool:
    settings = config()
    query = request.query_string.decode("latin-1")
    url = settings.public_base_url + request.path + (f"?{query}" if query else "")
    token, signature = settings.twilio_auth_token, request.headers.get("X-Twilio-Signature")
    if request.mimetype == FORM:
        return valid_twilio_signature(token, url, request.form.to_dict(flat=False), signature)
    return valid_twilio_json_signature(token, url, body, signature)


def _refusal() -> Response:
    return problem(403, "signature_not_valid", "This request is not signed by Twilio for this address.")
