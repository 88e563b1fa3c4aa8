"""The follow-up gate: after a first supply a prescriber speaks with the patient before there is more (DOMAIN 4)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from services.core import clock
from services.core.findings import Finding
from services.people.programmes import programme_of
from services.prescribing.cases import Case
from services.prescribing.contacts import followed_up_at
from services.prescribing.doses import Course, History, course_of
from services.prescribing.routes import Route
from services.prescribing.signing_rules import FollowUpFacts, follow_up_findings


def follow_up(
    session: Session,
    case: Case,
    route: Route,
    *,
    history: History | None = None,
    replaces_sessions: int | None = None,
) -> list[Finding]:
    """What the gate says today of one route: the reason why nothing more may be prescribed or handed out, or nothing.

    ``history`` spares asking for it again, ``replaces_sessions`` is the supply of what takes another one's place.
    """
    course = history or course_of(session, case.episode.id, case.box, route)
    contact_at = followed_up_at(session, case.episode.id)
    return follow_up_on(session, case, course, contact_at, replaces_sessions=replaces_sessions)


def follow_up_on(
    session: Session,
    case: Case,
    course: Course | History,
    contact_at: datetime | None,
    *,
    replaces_sessions: int | None = None,
) -> list[Finding]:
    """As ``follow_up``, of what is known already; ``contact_at`` is when a prescriber last spoke with the patient."""
    facts = FollowUpFacts(
        at=clock.now(),
        first_signed_at=course.first_signed_at,
        taken_at=course.taken_at,
        followed_up_at=contact_at,
        replaces_sessions=replaces_sessions,
    )
    return follow_up_findings(facts, programme_of(session, case.episode))
