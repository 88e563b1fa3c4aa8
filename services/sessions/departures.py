"""How a patient leaves a dosing session: through the discharge gate, or before it (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.messaging.outbox import emit
from services.people.access import Action
from services.people.consents import may_be_texted
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.prescribing.cases import case_of
from services.screening.written_texts import heed
from services.sessions.afterwards import begin_afterwards
from services.sessions.discharge_rules import DischargeFacts, discharge_gate
from services.sessions.lookups import locked_session, refuse_stops, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.monitoring import end_watch, watch_facts
from services.sessions.noted import Noted, note
from services.sessions.orders import limits_of_session
from services.sessions.rules import may_drive_at
from services.sessions.states import SessionStep
from services.sessions.vitals import latest_reading
from services.sessions.watch_rules import can_be_explained, watch_findings
from services.vault.boxes import box


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How the patient is when wanting to leave. ``missed_because`` says why a look or a reading was missed, if any."""

    oriented: bool
    walks_unaided: bool
    vomiting: bool
    escort_present: bool
    missed_because: Personal[str] | None = None


def pass_discharge(
    session: Session, actor: Actor, session_id: UUID, departure: Departure, *, version: int | None = None
) -> TherapySession:
    """Ask the discharge gate. What was missed of the watching holds it until somebody says why, and that is kept.

    Raises ``RuleRefused`` naming each condition that is not met, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.PASS_DISCHARGE, actor)
    facts = DischargeFacts(
        at=clock.now(),
        last_dose_at=row.last_dose_at,
        reading=latest_reading(session, row),
        oriented=departure.oriented,
        walks_unaided=departure.walks_unaided,
        vomiting=departure.vomiting,
        escort_present=departure.escort_present,
    )
    limits, programme = limits_of_session(session, actor, row, episode), programme_of(session, episode)
    watched = watch_facts(session, row, row.dosed_at or facts.at, facts.at)
    missed = watch_findings(watched, programme)
    is_explained = departure.missed_because is not None and can_be_explained(missed)
    findings = [*discharge_gate(facts, limits, programme), *(() if is_explained else missed)]
    refuse_stops(findings, "The patient may not go home yet.")
    if missed and departure.missed_because is not None:
        _explain(session, actor, row, missed, departure.missed_because)
    heed(session, actor, episode, departure.missed_because, subject=subject_of(row))
    session.flush()
    record(session, actor, "session.pass_discharge", "session", row.id, episode_id=episode.id)
    return row


def _explain(
    session: Session, actor: Actor, row: TherapySession, missed: Sequence[Finding], because: Personal[str]
) -> None:
    content = {"missed": [finding.rule for finding in missed], "because": because.reveal().strip()}
    note(session, actor, row, Noted.EXPLANATION, content)
    record(session, actor, "session.explain_missed", "session", row.id, episode_id=row.episode_id)


def discharge(session: Session, actor: Actor, session_id: UUID, *, version: int | None = None) -> TherapySession:
    """The patient goes home with the escort, and gets the instructions; integration is due from now on.

    Raises ``IllegalTransition`` before the gate was passed, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.DISCHARGE, actor)
    row.ended_at = clock.now()
    session.flush()
    record(session, actor, "session.discharge", "session", row.id, episode_id=episode.id)
    kind = EventKind.SESSION_DISCHARGED
    emit(session, kind, subject=subject_of(row), episode_id=episode.id, to=[Party.THERAPIST])
    _send_home(session, actor, row, episode, kind)
    return row


def abort(
    session: Session, actor: Actor, session_id: UUID, reason: Personal[str], *, version: int | None = None
) -> TherapySession:
    """The patient left before the discharge gate. The prescriber hears of it the same day.

    Raises ``IllegalTransition`` when nothing was taken (cancel instead) or the session is over, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.ABORT, actor)
    row.ended_at = clock.now()
    box(session, row.patient_id).seal(row, "reason", {"red_flags": [], "texts": [reason.reveal().strip()]})
    session.flush()
    record(session, actor, "session.abort", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=subject_of(row))
    kind = EventKind.SESSION_ABORTED
    emit(session, kind, subject=subject_of(row), episode_id=episode.id, to=[Party.MEDICAL_TEAM])
    _send_home(session, actor, row, episode, kind)
    return row


def _send_home(session: Session, actor: Actor, row: TherapySession, episode: Episode, kind: EventKind) -> None:
    """The patient's instructions (no driving, whom to call) stand behind a link; the text itself says nothing."""
    data: Mapping[str, str] = {}
    if may_be_texted(session, row.patient_id):
        data = {"link": path_of(issue_link(session, actor, episode, LinkKind.SIGN_IN))}
    emit(session, kind, subject=subject_of(row), episode_id=episode.id, to=[Party.PATIENT], **data)
    end_watch(session, actor, row)
    begin_afterwards(session, episode, row, clock.now())


def drives_from(session: Session, row: TherapySession, episode: Episode) -> datetime | None:
    """When the patient may drive again, in the patient's zone; None when nothing was taken."""
    if row.last_dose_at is None:
        return None
    zone = read_zone(case_of(session, episode).zone)
    return may_drive_at(row.last_dose_at, zone, programme_of(session, episode)).astimezone(zone)
