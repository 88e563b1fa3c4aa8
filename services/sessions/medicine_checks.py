"""Medicines on the day: reconciled with the patient, decided on by the prescriber, held before the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding, Severity
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.eligibility.holds import Hold, holds_before_session
from services.eligibility.reviews import medicines_of
from services.eligibility.rules import may_override, medicine_findings
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.prescribing.cases import case_of
from services.screening.written_texts import heed
from services.sessions.lookups import locked_session, refuse, subject_of, take
from services.sessions.medicine_rules import HOLD_STANDS, NOTHING_TO_DECIDE, STOP_STANDS, Reconciled
from services.sessions.models import Check, TherapySession
from services.sessions.noted import Noted, latest_note, note, notes
from services.sessions.states import SessionStep
from services.vault.boxes import box

DECIDED_ON = frozenset({Severity.STOP, Severity.REVIEW})


@dataclass(frozen=True, slots=True)
class Decision:
    """What a prescriber says to a change of medicines, or to one that was not held."""

    allowed: bool
    reason: Personal[str]


def reconcile_medicines(
    session: Session,
    actor: Actor,
    session_id: UUID,
    medicines: Personal[Sequence[str]] | None,
    *,
    version: int | None = None,
) -> TherapySession:
    """The therapist goes through the list with the patient: None confirms it, a list takes its place.

    What is new on it is judged by the rules of interacting medicines; a new stop or review asks the prescriber. Raises
    ``IllegalTransition`` once something was taken, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.RECONCILE, actor)
    before = current_medicines(session, episode).reveal()
    now = before if medicines is None else tuple(" ".join(each.split()) for each in medicines.reveal())
    findings = _new_findings(session, episode, now)
    content = {
        "medicines": None if now is None else list(now),
        "confirmed": medicines is None,
        "findings": [finding.as_dict() for finding in findings],
    }
    note(session, actor, row, Noted.RECONCILIATION, content)
    heed(session, actor, episode, *(() if medicines is None else medicines.reveal()), subject=subject_of(row))
    record(session, actor, "session.reconcile_medicines", "session", row.id, episode_id=episode.id)
    if findings:
        emit(session, EventKind.MEDICINES_CHANGED, subject=subject_of(row), episode_id=episode.id)
    return row


def _new_findings(session: Session, episode: Episode, now: Sequence[str] | None) -> list[Finding]:
    """Stops and reviews that entries bring on which nobody decided yet."""
    programme = programme_of(session, episode)
    if now is None:
        return [each for each in medicine_findings(None, programme) if each.severity in DECIDED_ON]
    known = {each.casefold() for each in _settled(session, episode)}
    added = [each for each in now if each.casefold() not in known]
    found = [finding for each in added for finding in medicine_findings((each,), programme)]
    return [finding for finding in found if finding.severity in DECIDED_ON]


def _settled(session: Session, episode: Episode) -> Sequence[str]:
    """The newest list on which nobody has to decide any more: of the screening, or reconciled and allowed if need be.

    A list that still waits for a decision, or was refused, settles nothing, in whichever session it was made.
    """
    own = box(session, episode.patient_id)
    settled = medicines_of(session, episode.id).reveal() or ()
    waiting: dict[UUID, tuple[str, ...]] = {}
    for check in session.scalars(_lists(episode.id).order_by(Check.recorded_at, Check.id)):
        content = own.open(check, "content").reveal()
        if check.kind == Noted.MEDICINES_DECIDED:
            settled = waiting.pop(check.session_id, settled) if content["allowed"] else settled
        elif content["findings"]:
            waiting[check.session_id] = tuple(content["medicines"] or ())
        else:
            settled = tuple(content["medicines"] or ())
    return settled


def _lists(episode_id: UUID, *kinds: Noted) -> Select[Any]:
    query = select(Check).join(TherapySession, TherapySession.id == Check.session_id)
    wanted = kinds or (Noted.RECONCILIATION, Noted.MEDICINES_DECIDED)
    return query.where(TherapySession.episode_id == episode_id, Check.kind.in_(wanted))


def decide_medicines(
    session: Session, actor: Actor, session_id: UUID, decision: Decision, *, version: int | None = None
) -> TherapySession:
    """The prescriber lets a session be held with the changed medicines, or not, and says why.

    Raises ``RuleRefused`` when nothing waits for it or a stop stands that nobody overrides, ``IllegalTransition``,
    ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.DECIDE_MEDICINES, session_id, version)
    take(row, SessionStep.DECIDE_MEDICINES, actor)
    changed = latest_note(session, row, Noted.RECONCILIATION)
    if changed is None or not changed.content["findings"]:
        refuse(NOTHING_TO_DECIDE.finding(waiting=0))
    stops = [each["rule"] for each in changed.content["findings"] if each["severity"] == Severity.STOP]
    if decision.allowed and not all(may_override(rule) for rule in stops):
        refuse(STOP_STANDS.finding(stops=stops), field="allowed")
    content = {"allowed": decision.allowed, "reason": decision.reason.reveal().strip()}
    note(session, actor, row, Noted.MEDICINES_DECIDED, content)
    heed(session, actor, episode, decision.reason, subject=subject_of(row))
    settle_tasks(session, actor, subject_of(row), {TaskKind.REVIEW_MEDICINES})
    record(session, actor, "session.decide_medicines", "session", row.id, episode_id=episode.id)
    return row


def allow_unheld(
    session: Session, actor: Actor, session_id: UUID, rule: str, reason: Personal[str], *, version: int | None = None
) -> TherapySession:
    """The prescriber lets a class of medicines, by its eligibility ``rule``, be taken before a session, and says why.

    Raises ``RuleRefused`` when nothing of that class is to be held or everybody holds it, ``IllegalTransition``,
    ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.DECIDE_MEDICINES, session_id, version)
    take(row, SessionStep.DECIDE_MEDICINES, actor)
    held = {hold.rule: hold for hold in holds_of(session, episode)}
    if rule not in held:
        refuse(NOTHING_TO_DECIDE.finding(rule_of_class=rule), field="rule")
    if held[rule].of_everybody:
        refuse(HOLD_STANDS.finding(programme_of(session, episode), rule_of_class=rule), field="rule")
    note(session, actor, row, Noted.HOLD_ALLOWED, {"rule": rule, "reason": reason.reveal().strip()})
    heed(session, actor, episode, reason, subject=subject_of(row))
    record(session, actor, "session.allow_unheld", "session", row.id, episode_id=episode.id)
    return row


def _newest_list(episode: Episode) -> Select[Any]:
    query = _lists(episode.id, Noted.RECONCILIATION)
    return query.order_by(Check.recorded_at.desc(), Check.id.desc()).limit(1)


def current_medicines(session: Session, episode: Episode) -> Personal[tuple[str, ...] | None]:
    """The list as it was last reconciled in a session of the episode, else as the patient gave it in the screening."""
    latest = session.scalar(_newest_list(episode))
    if latest is None:
        return medicines_of(session, episode.id)
    medicines = box(session, episode.patient_id).open(latest, "content").reveal()["medicines"]
    return Personal(None if medicines is None else tuple(medicines))


def holds_of(session: Session, episode: Episode) -> list[Hold]:
    """What this patient must hold before a session, and everybody. The caller has settled who may know."""
    return holds_before_session(current_medicines(session, episode).reveal() or (), programme_of(session, episode))


def allowed_unheld(session: Session, row: TherapySession) -> set[str]:
    """The rules of the classes that the prescriber let be taken on."""
    return {each.content["rule"] for each in notes(session, row, Noted.HOLD_ALLOWED)}


def reconciled(session: Session, row: TherapySession) -> Reconciled | None:
    """How the list of medicines stands for a session; None when nobody looked at it.

    What another session of the episode found, and no prescriber allowed, stands until the list is gone through again.
    """
    return _stand(session, row) or _left_open(session, session.get_one(Episode, row.episode_id))


def _left_open(session: Session, episode: Episode) -> Reconciled | None:
    """What the newest list of the episode, of whichever session, still waits for or was refused."""
    latest = session.scalar(_newest_list(episode))
    if latest is None:
        return None
    before = _stand(session, session.get_one(TherapySession, latest.session_id))
    if before is None or not before.must_decide or before.allowed:
        return None
    still = _new_findings(session, episode, current_medicines(session, episode).reveal())
    return replace(before, today=False) if still else None


def _stand(session: Session, row: TherapySession) -> Reconciled | None:
    """How the list stands that was gone through in a session; None when it was not."""
    latest = latest_note(session, row, Noted.RECONCILIATION)
    if latest is None:
        return None
    decided = latest_note(session, row, Noted.MEDICINES_DECIDED)
    is_newer = decided is not None and decided.at >= latest.at
    return Reconciled(
        today=_is_today(session, row, latest.at),
        must_decide=bool(latest.content["findings"]),
        allowed=decided.content["allowed"] if decided is not None and is_newer else None,
    )


def _is_today(session: Session, row: TherapySession, at: datetime) -> bool:
    zone = read_zone(case_of(session, session.get_one(Episode, row.episode_id)).zone)
    return at.astimezone(zone).date() == clock.now().astimezone(zone).date()
