"""Finding sessions for a use case: one held for a step, those that count for the cadence; refusing with findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn
from uuid import UUID

from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding, Severity, of_severity
from services.messaging.outbox import Subject
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.sessions.models import TherapySession
from services.sessions.states import SessionStep, advanced

NOT_VISIBLE = "There is no such record, or it is not yours to see."


def locked_session(
    session: Session, actor: Actor, action: Action, session_id: UUID, version: int | None = None
) -> tuple[TherapySession, Episode]:
    """The session, held against others until the commit, and its episode, if ``actor`` may do ``action``.

    Raises as ``authorize`` does, and ``StaleVersion``.
    """
    row = session.get(TherapySession, session_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, action, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this session since you read it.", field="version")
    return row, episode


def visible_session(session: Session, actor: Actor, action: Action, session_id: UUID) -> tuple[TherapySession, Episode]:
    """The session and its episode, for reading; raises as ``authorize`` does."""
    row = session.get(TherapySession, session_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    return row, visible_episode(session, actor, action, row.episode_id)


def take(row: TherapySession, step: SessionStep, actor: Actor) -> None:
    """Let a session take a step. Raises ``IllegalTransition`` and ``NotAllowed``."""
    row.state = advanced(row.kind, row.state, step, actor.role)


def subject_of(row: TherapySession) -> Subject:
    """What events, tasks and timers about a session are about."""
    return Subject("session", row.id)


def refuse_stops(findings: Iterable[Finding], sentence: str, *, field: str | None = None) -> None:
    """Raise ``RuleRefused`` with every stop among ``findings``, if there is one.

    The facts that were looked at stay in: who books or runs the session is the therapist, who may see them.
    """
    stops = of_severity(findings, Severity.STOP)
    if stops:
        raise RuleRefused(sentence, stops, field=field)


def refuse(finding: Finding, *, field: str | None = None) -> NoReturn:
    """Raise ``RuleRefused`` with one finding, the facts that were looked at among it as in ``refuse_stops``."""
    raise RuleRefused(finding.sentence, [finding], field=field)
