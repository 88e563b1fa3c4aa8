"""Refill requests: the therapist counts, asks, and answers what the prescriber wants to know (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.attempts import Refused
from services.people.models import Episode
from services.prescribing.cases import Case, visible_case
from services.refills.gate import Gate, evaluate_gate, findings_from
from services.refills.models import RefillAct, RefillRequest
from services.refills.rules import REQUEST_OPEN, TEXT_NEEDED
from services.refills.states import OPEN_STATES, REFILL_TRANSITIONS, RefillState, RefillStep
from services.screening.written_texts import heed
from services.sessions.ledgers import Occasion, record_count
from services.vault.boxes import box

INVISIBLE = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, repr=False)
class ReadAct:
    """One act on a request with its reason, question or answer opened."""

    act: RefillAct
    reason: Personal[str | None]


@dataclass(frozen=True, slots=True, repr=False)
class ReadRequest:
    """A request with its sealed content opened.

    ``facts`` (``rules.RefillFacts`` as plain JSON types) and ``findings`` are those it was made on.
    """

    request: RefillRequest
    comment: Personal[str | None]
    facts: Personal[dict[str, Any]]
    findings: tuple[Finding, ...]
    acts: tuple[ReadAct, ...]


def request_refill(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    *,
    remaining_units: Personal[float] | None = None,
    comment: Personal[str] | None = None,
) -> ReadRequest | Refused:
    """Ask the prescriber for the next supply.

    ``remaining_units`` is what was counted at the patient's home, and goes on record; without it the last count does,
    if nothing was taken since. Raises as ``authorize`` does, ``Conflict`` while another request of the episode is
    undecided, and ``RuleRefused`` with a finding for each condition that is not met and the earliest day. Gives
    ``Refused`` (commit, then ``require()``) with the same when the count was not what the ledger says.
    """
    case = visible_case(session, actor, Action.REQUEST_REFILL, episode_id)
    _check_none_open(session, case)
    is_off = False
    if remaining_units is not None:
        counted = record_count(session, actor, case.episode.id, remaining_units.reveal(), Occasion.REFILL)
        is_off = bool(counted.count_findings)
    gate = evaluate_gate(session, case, prescriber_id=case.episode.prescriber_id)
    try:
        gate.refuse_unmet("A refill cannot be asked for yet.")
    except RuleRefused as refusal:
        if not is_off:
            raise
        return Refused(refusal)  # the count and the review it raised stay on record
    row = RefillRequest(
        id=new_id(),
        patient_id=case.episode.patient_id,
        episode_id=case.episode.id,
        state=RefillState.REQUESTED,
        requested_by=actor.id,
        requested_at=clock.now(),
        prescription_id=gate.prescription_id,
    )
    text = None if comment is None else comment.reveal().strip()
    case.box.seal(row, "comment", text or None)
    gate.seal_into(case.box, row)
    session.add(row)
    session.flush()
    record(
        session,
        actor,
        "refill_request.create",
        "refill_request",
        row.id,
        episode_id=row.episode_id,
        programme=row.programme_version,
    )
    emit(session, EventKind.REFILL_REQUESTED, subject=subject_of(row), episode_id=row.episode_id)
    heed(session, actor, case.episode, text, subject=subject_of(row))
    return opened(session, row)


def _check_none_open(session: Session, case: Case) -> None:
    row = RefillRequest
    query = select(row.id).where(row.episode_id == case.episode.id, row.state.in_(sorted(OPEN_STATES)))
    if session.scalar(query.limit(1)) is not None:
        raise REQUEST_OPEN.conflict(episode_id=str(case.episode.id))


def answer_request(
    session: Session, actor: Actor, request_id: UUID, answer: Personal[str], *, version: int | None = None
) -> ReadRequest:
    """Answer what the prescriber asked; the request lies with the one who asked again.

    Raises ``RuleRefused`` on ``answer`` when it is blank, ``IllegalTransition``, ``StaleVersion``.
    """
    row, _ = held_request(session, actor, Action.ANSWER_REFILL, request_id, version)
    after = REFILL_TRANSITIONS.advance(RefillState(row.state), RefillStep.ANSWER, actor.role)
    text = needed_text(answer, "answer")
    row.state = after
    note_act(session, actor, row, RefillStep.ANSWER, text)
    settle_tasks(session, actor, subject_of(row), {TaskKind.ANSWER_REFILL})
    emit(
        session,
        EventKind.REFILL_ANSWERED,
        subject=subject_of(row),
        episode_id=row.episode_id,
        owner=str(row.owner_id),
    )
    return opened(session, row)


def read_request(session: Session, actor: Actor, request_id: UUID) -> ReadRequest:
    """One request with its acts; an audited read. Raises as ``authorize`` does."""
    row = session.get(RefillRequest, request_id)
    if row is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.READ_REFILL, row.episode_id)
    record(session, actor, "refill_request.read", "refill_request", row.id, episode_id=episode.id)
    return opened(session, row)


def list_requests(
    session: Session, actor: Actor, episode_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> Sequence[RefillRequest]:
    """The requests of an episode, newest first, without their content, from behind the position ``after``."""
    episode = visible_episode(session, actor, Action.READ_REFILL, episode_id)
    row = RefillRequest
    query = select(row).where(row.episode_id == episode.id)
    return session.scalars(page_of(query, row.requested_at, row.id, after=after, limit=limit)).all()


def held_request(
    session: Session, actor: Actor, action: Action, request_id: UUID, version: int | None
) -> tuple[RefillRequest, Case]:
    """The request, locked against others until the commit, and its case, if ``actor`` may do ``action``.

    Raises as ``authorize`` does, and ``StaleVersion``.
    """
    row = session.get(RefillRequest, request_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(INVISIBLE)
    case = visible_case(session, actor, action, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this request since you read it.", field="version")
    return row, case


def note_act(
    session: Session,
    actor: Actor,
    row: RefillRequest,
    step: RefillStep,
    reason: str | None = None,
    *,
    to: UUID | None = None,
    gate: Gate | None = None,
) -> None:
    """Keep what was done to a request, sealed, and audit it; the request itself has been changed already."""
    act = RefillAct(
        id=new_id(),
        request_id=row.id,
        patient_id=row.patient_id,
        episode_id=row.episode_id,
        step=step,
        acted_by=actor.id,
        acted_at=clock.now(),
        to_id=to,
    )
    own = box(session, row.patient_id)
    own.seal(act, "reason", reason)
    if gate is not None:
        gate.seal_into(own, act)
    session.add(act)
    session.flush()
    record(session, actor, f"refill_request.{step}", "refill_request", row.id, episode_id=row.episode_id, to=to)
    heed(session, actor, session.get_one(Episode, row.episode_id), reason, subject=subject_of(row))


def needed_text(text: Personal[str], field: str) -> str:
    """A text that may not be blank, trimmed. Raises ``RuleRefused`` on ``field``."""
    shown = text.reveal().strip()
    if not shown:
        raise TEXT_NEEDED.refused(field=field, text=None)
    return shown


def opened(session: Session, row: RefillRequest) -> ReadRequest:
    """A request with its content; the caller has settled who may see it."""
    own = box(session, row.patient_id)
    acts = session.scalars(select(RefillAct).where(RefillAct.request_id == row.id).order_by(RefillAct.id)).all()
    return ReadRequest(
        request=row,
        comment=own.open(row, "comment"),
        facts=own.open(row, "facts"),
        findings=findings_from(own.open(row, "findings").reveal()),
        acts=tuple(ReadAct(act, own.open(act, "reason")) for act in acts),
    )


def subject_of(row: RefillRequest) -> Subject:
    """What tasks and events about a request name."""
    return Subject("refill_request", row.id)
