"""Prescriptions before their signature: drafted by the medical team, marked ready by the prescriber; cancelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.models import Task
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.cases import Questions, case_of, check_named_prescriber, opened_case
from services.prescribing.contents import Content, content_of
from services.prescribing.models import Prescription
from services.prescribing.reviews import check_open_to_prescribing, request_findings, review_draft, review_ready
from services.prescribing.routes import is_shipped, supplied_by
from services.prescribing.signing_rules import (
    NAMED_PRESCRIBER_ONLY,
    NOTHING_TO_CHANGE,
    PRESCRIBER_MISSING,
    REASON_NEEDED,
    REPLACES_OTHER_EPISODE,
    SECOND_IS_FIRST,
)
from services.prescribing.states import (
    DRAFTS,
    PRESCRIPTION_TRANSITIONS,
    VALID,
    PrescriptionState,
    PrescriptionStep,
)
from services.screening.written_texts import heed
from services.vault.boxes import box

NOT_VISIBLE = "There is no such record, or it is not yours to see."


def draft(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    content: Content,
    *,
    prescriber_id: UUID | None = None,
    replaces_id: UUID | None = None,
    refill_request_id: UUID | None = None,
) -> Prescription:
    """Draft a prescription for ``prescriber_id`` to sign (default: the episode's prescriber, or the one who drafts).

    ``replaces_id`` names the prescription it takes the place of once signed: after a loss, or to change a signed one.
    ``refill_request_id`` names the approved request that it answers. Raises ``RuleRefused`` without a current
    eligibility, with a suicide risk that blocks treatment, or with the findings that stop this content. What only asks
    for review waits for the prescriber's reasons.
    """
    case, questions = opened_case(session, actor, Action.DRAFT_PRESCRIPTION, episode_id)
    episode = case.episode
    named = _named(actor, episode, prescriber_id)
    check_named_prescriber(session, actor, episode, named)
    check_open_to_prescribing(session, case, questions)
    unapproved = request_findings(session, case, refill_request_id)
    if unapproved:
        raise RuleRefused(unapproved[0].sentence, unapproved, field="refill_request_id")
    content = content.checked()
    review = review_draft(session, case, content, questions, replaces=replaces_id)
    row = Prescription(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        prescriber_id=named,
        drafted_by=actor.id,
        replaces_id=_replaceable(session, episode, replaces_id),
        refill_request_id=refill_request_id,
        state=PrescriptionState.DRAFTED,
        supplied=supplied_by(content.route, programme_of(session, episode)),
        drafted_at=clock.now(),
    )
    case.box.seal(row, "content", content.as_dict())
    case.box.seal(row, "review", review.as_dict())
    session.add(row)
    session.flush()
    record(session, actor, "prescription.draft", "prescription", row.id, episode_id=episode.id)
    _ask_for_signature(session, row)
    _settle_drafting(session, actor, row, questions)
    return row


def _settle_drafting(session: Session, actor: Actor, row: Prescription, questions: Questions) -> None:
    """Whoever was asked to draft, after the approval or a refill request, need not any more."""
    if questions.has_request:
        settle_tasks(session, actor, Subject("episode", row.episode_id), {TaskKind.DRAFT_PRESCRIPTION})
    if row.refill_request_id is None:
        return
    # It may only end tasks of this very episode.
    asked = select(Task.id).where(Task.subject_id == row.refill_request_id, Task.episode_id == row.episode_id)
    if session.scalar(asked.limit(1)) is not None:
        settle_tasks(session, actor, Subject("refill_request", row.refill_request_id), {TaskKind.DRAFT_PRESCRIPTION})


def _named(actor: Actor, episode: Episode, prescriber_id: UUID | None) -> UUID:
    named = prescriber_id or episode.prescriber_id or (actor.id if actor.role is Role.PRESCRIBER else None)
    if named is None:
        raise PRESCRIBER_MISSING.refused(field="prescriber_id", prescriber_id=None)
    return named


def _replaceable(session: Session, episode: Episode, replaces_id: UUID | None) -> UUID | None:
    if replaces_id is None:
        return None
    replaced = session.get(Prescription, replaces_id)
    if replaced is None or replaced.episode_id != episode.id:
        raise REPLACES_OTHER_EPISODE.refused(field="replaces_id", replaces_id=str(replaces_id))
    return replaced.id


def _ask_for_signature(session: Session, row: Prescription) -> None:
    emit(
        session,
        EventKind.PRESCRIPTION_DRAFTED,
        subject=Subject("prescription", row.id),
        episode_id=row.episode_id,
        owner=str(row.prescriber_id),
    )


def change(
    session: Session, actor: Actor, prescription_id: UUID, changes: Mapping[str, Any], *, version: int | None = None
) -> Prescription:
    """Change a prescription that is not signed yet; it is a draft again and its reasons are asked for anew.

    ``changes`` holds fields of ``Content`` and ``prescriber_id``. Raises ``RuleRefused`` as ``draft`` does,
    ``IllegalTransition`` once it is signed (cancel it with a reason instead), ``StaleVersion``.
    """
    row, episode = locked_prescription(session, actor, Action.CHANGE_PRESCRIPTION, prescription_id, version)
    after = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), PrescriptionStep.CHANGE, actor.role)
    if not changes:
        raise NOTHING_TO_CHANGE.refused(changes=0)
    case = case_of(session, episode)
    fields = dict(changes)
    named = fields.pop("prescriber_id", None) or row.prescriber_id
    check_named_prescriber(session, actor, episode, named)
    check_open_to_prescribing(session, case)
    content = content_of(case.box, row).changed(**fields).checked()
    review = review_draft(session, case, content, of=row.id, replaces=row.replaces_id)
    row.supplied = supplied_by(content.route, programme_of(session, episode))
    case.box.seal(row, "content", content.as_dict())
    case.box.seal(row, "review", review.as_dict())
    row.state, row.ready_at, row.agreed_by, row.outside = after, None, None, None
    renamed, row.prescriber_id = row.prescriber_id != named, named
    session.flush()
    record(
        session,
        actor,
        "prescription.change",
        "prescription",
        row.id,
        episode_id=episode.id,
        changed=sorted(changes),
    )
    if renamed:
        settle_tasks(session, SYSTEM, _subject(row), {TaskKind.SIGN_PRESCRIPTION}, TaskStep.CANCEL)
        _ask_for_signature(session, row)
    return row


def mark_ready(
    session: Session,
    actor: Actor,
    prescription_id: UUID,
    reasons: Mapping[str, Personal[str]],
    *,
    version: int | None = None,
) -> Prescription:
    """The named prescriber has read it and means to sign it (21 CFR 1311.140); doing it again adds ``reasons``.

    ``reasons`` answer findings that ask for review, by rule id. Raises ``RuleRefused`` with what is stopped or lacks a
    reason, ``NotAllowed`` for anybody but the named prescriber, ``StaleVersion``.
    """
    row, episode = locked_prescription(session, actor, Action.READY_PRESCRIPTION, prescription_id, version)
    check_is_named(actor, row)
    after = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), PrescriptionStep.MARK_READY, actor.role)
    case = case_of(session, episode)
    given = {rule: reason_text(reason, "reasons") for rule, reason in reasons.items()}
    content = content_of(case.box, row)
    review = review_ready(session, case, row, content, given, actor.id)
    case.box.seal(row, "review", review.as_dict())
    row.state, row.ready_at, row.outside = after, clock.now(), None
    session.flush()
    record(
        session,
        actor,
        "prescription.mark_ready",
        "prescription",
        row.id,
        episode_id=episode.id,
        reasons=len(review.reasons),  # which ones would tell what the patient has
    )
    heed(session, actor, episode, *given.values(), subject=_subject(row))
    return row


def agree(session: Session, actor: Actor, prescription_id: UUID, *, version: int | None = None) -> Prescription:
    """A second prescriber agrees to a very high dose (DOMAIN 4). Any change afterwards takes the agreement away.

    Raises ``NotAllowed`` for the named prescriber, ``RuleRefused`` once it is signed or ended.
    """
    row, episode = locked_prescription(session, actor, Action.AGREE_PRESCRIPTION, prescription_id, version)
    if actor.id == row.prescriber_id:
        raise SECOND_IS_FIRST.forbidden(is_named=True)
    if PrescriptionState(row.state) not in DRAFTS:
        raise RuleRefused("Only a prescription that is not signed yet can be agreed to.", rule="prescription.states")
    row.agreed_by = actor.id
    session.flush()
    record(session, actor, "prescription.agree", "prescription", row.id, episode_id=episode.id)
    return row


def cancel(
    session: Session, actor: Actor, prescription_id: UUID, reason: Personal[str], *, version: int | None = None
) -> Prescription:
    """Cancel a prescription before it has ended. To change a signed one, cancel it and draft anew.

    Raises ``IllegalTransition`` when it has ended, ``StaleVersion``.
    """
    row, episode = locked_prescription(session, actor, Action.CANCEL_PRESCRIPTION, prescription_id, version)
    box(session, row.patient_id).seal(row, "end_reason", reason_text(reason))
    end(session, actor, row, PrescriptionStep.CANCEL)
    session.flush()
    heed(session, actor, episode, reason, subject=_subject(row))
    return row


def end(session: Session, actor: Actor, row: Prescription, step: PrescriptionStep, code: str | None = None) -> None:
    """Cancel or supersede a locked prescription: open tasks fall away, and whoever could have used it hears of it."""
    was_valid = PrescriptionState(row.state) in VALID
    row.state = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), step, actor.role)
    row.ended_at = clock.now()
    session.flush()
    record(session, actor, f"prescription.{step}", "prescription", row.id, episode_id=row.episode_id, code=code)
    kinds = {TaskKind.SIGN_PRESCRIPTION, TaskKind.CONFIRM_SIGNATURE, TaskKind.FILL_PRESCRIPTION}
    settle_tasks(session, SYSTEM, _subject(row), kinds, TaskStep.CANCEL)
    cancel_timers(session, _subject(row))
    if was_valid:
        kind = EventKind.PRESCRIPTION_CANCELLED if is_shipped(row) else EventKind.ORDER_CANCELLED
        emit(session, kind, subject=_subject(row), episode_id=row.episode_id)


def locked_prescription(
    session: Session, actor: Actor, action: Action, prescription_id: UUID, version: int | None = None
) -> tuple[Prescription, Episode]:
    """The prescription, held against others until the commit, and its episode, if ``actor`` may do ``action``.

    Raises as ``authorize`` does, ``NotFound`` too for a draft that the actor's role does not see, ``StaleVersion``.
    """
    row = session.get(Prescription, prescription_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, action, row.episode_id)
    check_sees(actor, row)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this prescription since you read it.", field="version")
    return row, episode


def check_sees(actor: Actor, row: Prescription) -> None:
    """A prescription that was never signed exists for the medical team only (``NotFound`` for others)."""
    if row.signature is None and actor.role not in (Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.SYSTEM):
        raise NotFound(NOT_VISIBLE)


def check_is_named(actor: Actor, row: Prescription) -> None:
    """Only the practitioner whose name it bears marks a prescription ready and signs it (``NotAllowed``)."""
    if actor.id != row.prescriber_id:
        raise NAMED_PRESCRIBER_ONLY.forbidden(is_named=False)


def reason_text(reason: Personal[str], field: str = "reason") -> str:
    """A written reason without outer blanks. Raises ``RuleRefused`` when there is nothing else."""
    text = reason.reveal().strip()
    if not text:
        raise REASON_NEEDED.refused(field=field, reason=None)
    return text


def _subject(row: Prescription) -> Subject:
    return Subject("prescription", row.id)
