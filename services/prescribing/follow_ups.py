"""The follow-up gate: after a first supply a prescriber speaks with the patient before there is more (DOMAIN 4)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.core import clock
from services.core.findings import Finding
from services.people.programmes import programme_of
from services.prescribing.cases import Case
from services.prescribing.contacts import followed_up_at
from services.prescribing.doses import History, course_of
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
    known = history or course_of(session, case.episode.id, case.box, route)
    facts = FollowUpFacts(
        at=clock.now(),
        first_signed_at=known.first_signed_at,
        taken_at=known.taken_at,
        followed_up_at=followed_up_at(session, case.episode.id),
        replaces_sessions=replaces_sessions,
    )
    return follow_up_findings(facts, programme_of(session, case.episode))
