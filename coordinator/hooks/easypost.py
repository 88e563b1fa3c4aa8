"""What EasyPost posts: carrier events of our trackers (DOMAIN 8)."""

from __future__ import annotations

import json

from flask import Blueprint, Response, request

from coordinator.problems import problem
from services.core.config import config
from services.core.database import transaction
from services.messaging.deliveries import Hook, keep_delivery
from services.shipping.signatures import signature_is_valid

blueprint = Blueprint("easypost_hooks", __name__, url_prefix="/hooks")


@blueprint.post("/easypost")
def receive_carrier_event() -> Response:
    """Keep a carrier event and answer within EasyPost's 7 seconds."""
    body = request.get_data()
    if not signature_is_valid(request.headers.get("X-Hmac-Signature"), body, config().easypost_webhook_secret):
        return problem(401, "signature_not_valid", "This request is not signed by EasyPost.")
    with transaction() as session:
        keep_delivery(session, Hook.EASYPOST, body, _event_id(body))
    return Response(status=204)


def _event_id(body: bytes) -> str | None:
    """The id of the event (``evt_…``), by which a repeat is recognised; None when there is none to be found."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) else None
