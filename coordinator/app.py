"""The Flask application: assembled here, and only here."""

from __future__ import annotations

import re
from typing import Final
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

from coordinator import health, problems
from coordinator.api import RESOURCES
from coordinator.api.documents import DocumentedApi
from coordinator.hooks import HOOKS
from coordinator.security import headers, rate_limits
from services.audit.records import request_id
from services.core.config import config
from services.core.logs import configure_logs
from services.core.programme import programme
from services.screening.instruments import check_asked
from services.wording import check_wording

MAX_BODY_BYTES: Final = 256 * 1024
DESCRIPTION: Final = (
    "Coordinates ketamine-assisted psychotherapy between therapist, medical team, pharmacy and patient. "
    "A 422 means that the request does not fit this document; a 409 means that a rule or the present state refuses it, "
    "and names the rule. Every POST takes an Idempotency-Key."
)


def create_app() -> Flask:
    """Build the application from the environment. Raises ``InvalidConfiguration`` when that is not complete."""
    configure_logs()
    settings = config()
    # A programme that asks for what nobody can be shown, a wrong content pack, words that may not be sent: all of it is
    # found now and not by a patient.
    check_asked(programme(settings.programme_file))
    check_wording(programme(settings.programme_file), settings.programme_file)
    app = Flask(__name__, static_folder=None)
    # An address with an empty part in it is no other address written badly: there is nothing there.
    app.url_map.merge_slashes = False
    app.config.update(
        API_TITLE="KAP Coordinator",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api/v1",
        OPENAPI_JSON_PATH="openapi.json",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "servers": [{"url": settings.public_base_url}],
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        },
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the provider in use has it; the base class does not
    app.before_request(_name_request)
    app.after_request(_log_request)
    app.teardown_request(_forget_request)
    api = DocumentedApi(app)
    for blueprint in RESOURCES:
        api.register_blueprint(blueprint)
    for hook in HOOKS:
        app.register_blueprint(hook)
    app.register_blueprint(health.blueprint)
    problems.register(app)
    headers.register(app)
    rate_limits.register(app)
    return app


log = structlog.get_logger()


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if re.fullmatch(r"[A-Za-z0-9-]{8,64}", given) else str(uuid4())
    request_id.set(g.request_id)


def _log_request(response: Response) -> Response:
    """One line per request: the route's pattern, never its values, query or body."""
    response.headers["X-Request-Id"] = g.get("request_id", "")
    rule = request.url_rule.rule if request.url_rule else "unmatched"
    log.info(
        "request_answered", method=request.method, route=rule, status=response.status_code, request=g.get("request_id")
    )
    return response


def _forget_request(error: BaseException | None) -> None:
    """What the thread does next is no part of this request."""
    request_id.set(None)
