"""The audit trail, for the operations desk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, Moment, Text, page_schema
from services.audit import readings
from services.audit.models import AuditRecord
from services.audit.readings import TrailFilter
from services.core.actors import Role
from services.people.access import Action

blueprint = resource("audit", "The audit trail: who did what to what, when, with which outcome. Never any content.")

ACTION = r"^[a-z_]{1,40}(\.[a-z_]{1,40})?$"


class AuditRecordOut(Schema):
    """One act. ``detail`` holds codes and ids; ``chain`` and ``sequence`` are its place in the tamper-evident chain."""

    id = fields.UUID(required=True)
    at = fields.AwareDateTime(required=True)
    actor_id = fields.UUID(required=True)
    actor_role = Choice(Role, required=True)
    action = fields.String(required=True)
    subject_kind = fields.String(required=True)
    subject_id = fields.UUID(required=True, allow_none=True)
    episode_id = fields.UUID(required=True, allow_none=True)
    outcome = fields.String(required=True)
    detail = fields.Dict(keys=fields.String(), required=True)
    chain = fields.Integer(required=True)
    sequence = fields.Integer(required=True)


class TrailIn(cursors.PageIn):
    """Which acts to show: ``since`` counts, ``until`` does not."""

    episode_id = Id()
    actor_id = Id()
    action = Text(81, pattern=ACTION)
    since = Moment()
    until = Moment()


@endpoint(
    blueprint,
    "GET",
    "/audit",
    action=Action.READ_AUDIT,
    query=TrailIn,
    answer=page_schema(AuditRecordOut, "AuditPageOut"),
)
def read_audit(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """The audit trail, newest first. Reading it is itself put on the trail."""
    wanted = {name: query[name] for name in ("episode_id", "actor_id", "action", "since", "until") if name in query}
    after = cursors.decode(query.get("cursor"))
    found: Sequence[AuditRecord] = readings.read_trail(
        call.session, call.actor, TrailFilter(**wanted), after=after, limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda row: (row.at, row.id))
