"""Decisions on refill requests: a prescriber licensed in the patient's state approves, declines, asks or forwards.

The row of the request is locked while it is decided: of two prescribers at the same instant the second finds it
decided. Only an approval authorizes a fill (``services/prescribing/fills.py``) or asks for a new prescription.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action
from services.people.attempts import Refused
from services.people.models import Account
from services.people.programmes import programme_of
from services.prescribing.cases import Case
from services.prescribing.fills import authorize_next_fill
from services.refills.gate import evaluate_gate, valid_here
from services.refills.models import RefillRequest
from services.refills.requests import ReadRequest, held_request, needed_text, note_act, opened, subject_of
from services.refills.rules import FORWARD_TO_COLLEAGUE, LICENCE_NOT_VALID, Supply, decide_supply
from services.refills.states import REFILL_TRANSITIONS, RefillState, RefillStep

DECIDING = {TaskKind.DECIDE_REFILL, TaskKind.ANSWER_REFILL}


def approve(
    session: Session,
    actor: Actor,
    request_id: UUID,
    *,
    changed: bool,
    reason: Personal[str] | None = None,
    version: int | None = None,
) -> ReadRequest | Refused:
    """Approve a request under the facts of this moment: the next fill where the law allows it, else a new prescription.

    ``changed`` says that dose, strength or directions shall change, which always needs a new prescription. Raises
    ``RuleRefused`` with each condition that is not met any more, ``IllegalTransition``, ``StaleVersion``; gives
    ``Refused`` (commit, then ``require()``) when the prescription to be filled was altered after it was signed.
    """
    row, case = held_request(session, actor, Action.DECIDE_REFILL, request_id, version)
    after = REFILL_TRANSITIONS.advance(RefillState(row.state), RefillStep.APPROVE, actor.role)
    gate = evaluate_gate(session, case, prescriber_id=actor.id, recount_needed=False)
    gate.refuse_unmet("This request cannot be approved now.")
    way = decide_supply(gate.prescription, gate.fills, case.today, programme_of(session, case.episode), changed=changed)
    if way.supply is Supply.NEXT_FILL and way.is_refill and gate.prescription_id is not None:
        authorized = authorize_next_fill(session, actor, gate.prescription_id, row.id)
        if isinstance(authorized, Refused):
            return authorized
    row.supply, row.prescription_id = way.supply, gate.prescription_id
    _decide(session, actor, row, after)
    text = None if reason is None else reason.reveal().strip()
    note_act(session, actor, row, RefillStep.APPROVE, text or None, gate=gate)
    _tell_approved(session, row)
    return opened(session, row)


def _decide(session: Session, actor: Actor, row: RefillRequest, after: RefillState) -> None:
    row.state, row.decided_by, row.decided_at = after, actor.id, clock.now()
    settle_tasks(session, actor, subject_of(row), DECIDING)


def _tell_approved(session: Session, row: RefillRequest) -> None:
    if row.supply != Supply.NEXT_FILL or row.prescription_id is None:
        emit(session, EventKind.REFILL_APPROVED, subject=subject_of(row), episode_id=row.episode_id)
        return
    # The pharmacy fills prescriptions and does not see requests; the others hear of the request.
    filled, kind = Subject("prescription", row.prescription_id), EventKind.REFILL_FILL_APPROVED
    emit(session, kind, subject=filled, episode_id=row.episode_id, to=[Party.PHARMACY])
    emit(session, kind, subject=subject_of(row), episode_id=row.episode_id, to=[Party.THERAPIST, Party.PATIENT])


def decline(
    session: Session, actor: Actor, request_id: UUID, reason: Personal[str], *, version: int | None = None
) -> ReadRequest:
    """Decline a request, with the reason. Raises ``RuleRefused``, ``IllegalTransition``, ``StaleVersion``."""
    row, case = held_request(session, actor, Action.DECIDE_REFILL, request_id, version)
    after = REFILL_TRANSITIONS.advance(RefillState(row.state), RefillStep.DECLINE, actor.role)
    _check_licence(session, actor.id, case)
    text = needed_text(reason, "reason")
    _decide(session, actor, row, after)
    note_act(session, actor, row, RefillStep.DECLINE, text)
    emit(session, EventKind.REFILL_DECLINED, subject=subject_of(row), episode_id=row.episode_id)
    return opened(session, row)


def ask(
    session: Session, actor: Actor, request_id: UUID, question: Personal[str], *, version: int | None = None
) -> ReadRequest:
    """Ask the therapist for more before deciding; the answer comes back to the actor.

    Raises ``RuleRefused``, ``IllegalTransition``, ``StaleVersion``.
    """
    row, case = held_request(session, actor, Action.DECIDE_REFILL, request_id, version)
    after = REFILL_TRANSITIONS.advance(RefillState(row.state), RefillStep.ASK, actor.role)
    _check_licence(session, actor.id, case)
    text = needed_text(question, "question")
    row.state, row.owner_id = after, actor.id
    note_act(session, actor, row, RefillStep.ASK, text)
    settle_tasks(session, actor, subject_of(row), {TaskKind.DECIDE_REFILL})
    emit(session, EventKind.REFILL_RETURNED, subject=subject_of(row), episode_id=row.episode_id)
    return opened(session, row)


def forward(
    session: Session, actor: Actor, request_id: UUID, to: UUID, reason: Personal[str], *, version: int | None = None
) -> ReadRequest:
    """Hand a request to a colleague: another active prescriber of the team, licensed in the patient's state.

    Raises ``RuleRefused`` on ``to``, ``IllegalTransition``, ``StaleVersion``.
    """
    row, case = held_request(session, actor, Action.DECIDE_REFILL, request_id, version)
    after = REFILL_TRANSITIONS.advance(RefillState(row.state), RefillStep.FORWARD, actor.role)
    _check_colleague(session, actor, case, to)
    text = needed_text(reason, "reason")
    row.state, row.owner_id = after, to
    note_act(session, actor, row, RefillStep.FORWARD, text, to=to)
    settle_tasks(session, actor, subject_of(row), {TaskKind.DECIDE_REFILL}, TaskStep.CANCEL)
    emit(session, EventKind.REFILL_FORWARDED, subject=subject_of(row), episode_id=row.episode_id, owner=str(to))
    return opened(session, row)


def _check_colleague(session: Session, actor: Actor, case: Case, to: UUID) -> None:
    colleague = session.get(Account, to)
    if (
        colleague is None
        or colleague.id == actor.id
        or colleague.role != Role.PRESCRIBER
        or colleague.organisation_id != case.episode.medical_team_id
        or colleague.disabled_at is not None
    ):
        raise FORWARD_TO_COLLEAGUE.refused(field="to", to=str(to))
    _check_licence(session, colleague.id, case, field="to")


def _check_licence(session: Session, account_id: UUID, case: Case, *, field: str | None = None) -> None:
    """Licensed in the patient's state today (DOMAIN 5)."""
    if not valid_here(session, account_id, case).licensed:
        sentence = "Only a prescriber licensed in the patient's state decides on a refill."
        raise RuleRefused(sentence, [LICENCE_NOT_VALID.finding(licence_valid=False)], field=field)
