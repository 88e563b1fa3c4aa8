"""Signing: EPCS-style two-factor signing with a digital signature over the canonical content. Not certified EPCS.

21 CFR 1311 asks for certification by a third party before live electronic signing (1311.300). What it asks of the act
is followed: the display and its statement, both factors at that moment, one patient at a time, the named practitioner
only, a digital signature, an archive, and that anything altered afterwards is found and does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import SYSTEM, Actor
from services.core.errors import InvalidConfiguration, InvalidInput, NotFound, RuleRefused, UnreadableSeal
from services.core.findings import Finding
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.models import OPEN_TASK, Task
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import set_timer
from services.people.access import Action, visible_episode
from services.people.attempts import Refused
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.sign_in import verify_second_factor
from services.people.zones import read_zone
from services.prescribing.cases import Case, case_of
from services.prescribing.contents import Content, content_of
from services.prescribing.field_rules import SIGNING_DISPLAY, required_field_findings
from services.prescribing.fill_rules import last_fill_day
from services.prescribing.law import SIGNING_STATEMENT, SIGNING_STATEMENT_SOURCE
from services.prescribing.models import Prescription
from services.prescribing.papers import as_written_now, canonical, document_of, paper_of, signed_document
from services.prescribing.prescriptions import (
    NOT_VISIBLE,
    check_is_named,
    end,
    locked_prescription,
)
from services.prescribing.reviews import findings_for_signing, refuse_stops, refuse_unreasoned, review_of
from services.prescribing.routes import is_shipped
from services.prescribing.signing_rules import ONE_PATIENT_AT_A_TIME, SIGNATURE_NOT_VALID
from services.prescribing.states import PRESCRIPTION_TRANSITIONS, PrescriptionState, PrescriptionStep
from services.vault.boxes import box
from services.vault.keyring import keyring

NOT_CERTIFIED: Final = (
    "This is EPCS-style signing. The application is not certified for the electronic prescribing of controlled "
    "substances under 21 CFR part 1311."
)
AT_ONCE_AT_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class SigningDisplay:
    """What the practitioner reads before signing (1311.140(a)(3)). ``findings`` say what stands in the way today."""

    prescription: Prescription
    fields: Personal[Mapping[str, Any]]
    statement: str
    statement_source: str
    not_certified: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Signed:
    """Prescriptions that one two-factor act signed."""

    prescriptions: Sequence[Prescription]


def signing_display(session: Session, actor: Actor, prescription_id: UUID) -> SigningDisplay:
    """What must be shown before signing; an audited read, for the named prescriber only."""
    row = session.get(Prescription, prescription_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.SIGN_PRESCRIPTION, row.episode_id)
    check_is_named(actor, row)
    PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), PrescriptionStep.SIGN, actor.role)
    case = case_of(session, episode)
    content = content_of(case.box, row)
    findings, _ = findings_for_signing(session, case, row, content, ready_at=row.ready_at)
    paper = paper_of(session, row, content, case, case.today)
    record(session, actor, "prescription.read_signing_display", "prescription", row.id, episode_id=episode.id)
    return SigningDisplay(
        row,
        Personal({name: paper[name] for name in SIGNING_DISPLAY}),
        SIGNING_STATEMENT,
        SIGNING_STATEMENT_SOURCE,
        NOT_CERTIFIED,
        [*findings, *required_field_findings(paper)],
    )


def sign(
    session: Session,
    actor: Actor,
    prescription_ids: Collection[UUID],
    code: Secret[str],
    *,
    password: Secret[str],
) -> Signed | Refused:
    """Sign ready prescriptions of one patient by one two-factor act: password and a fresh authenticator code.

    Everything is checked again as of today, and only then the factors, so that no code is spent on what could not be
    signed. Wrong factors are counted: let the transaction commit and call ``require()`` on ``Refused``. Raises
    ``RuleRefused`` with the findings, ``IllegalTransition``, ``NotAllowed`` for anybody but the named prescriber.
    """
    rows = _locked_of_one_patient(session, actor, prescription_ids)
    prepared = [prepare(session, actor, row, episode, PrescriptionStep.SIGN) for row, episode in rows]
    proof = verify_second_factor(session, actor.id, code, password=password)
    if isinstance(proof, Refused):
        return proof
    for row, case, content, paper in prepared:
        put_in_force(session, actor, PrescriptionStep.SIGN, row, case, content, paper, proof.proven_at)
    return Signed([row for row, *_ in prepared])


def _locked_of_one_patient(
    session: Session, actor: Actor, prescription_ids: Collection[UUID]
) -> list[tuple[Prescription, Episode]]:
    wanted = sorted(set(prescription_ids))
    if not 1 <= len(wanted) <= AT_ONCE_AT_MOST:
        raise InvalidInput(f"Sign 1 to {AT_ONCE_AT_MOST} prescriptions at once.", field="prescription_ids")
    # In the order of their ids, so that two who sign the same ones never wait for each other in a circle.
    rows = [locked_prescription(session, actor, Action.SIGN_PRESCRIPTION, one) for one in wanted]
    for row, _ in rows:
        check_is_named(actor, row)
    patients = len({row.patient_id for row, _ in rows})
    if patients > 1:
        finding = ONE_PATIENT_AT_A_TIME.finding(patients=patients)
        raise RuleRefused(finding.sentence, [finding], field="prescription_ids")
    return rows


def prepare(
    session: Session,
    actor: Actor,
    row: Prescription,
    episode: Episode,
    step: PrescriptionStep,
    issued_outside_on: date | None = None,
) -> tuple[Prescription, Case, Content, dict[str, Any]]:
    """Check one prescription as of today, or as of the day on which it was issued in another system.

    Raises ``RuleRefused`` with everything that keeps it from being in force.
    """
    PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), step, actor.role)
    case = case_of(session, episode)
    content = content_of(case.box, row)
    findings, _ = findings_for_signing(
        session, case, row, content, ready_at=row.ready_at, issued_outside_on=issued_outside_on
    )
    paper = paper_of(session, row, content, case, issued_outside_on or case.today)
    refuse_stops([*findings, *required_field_findings(paper)], "This prescription cannot be signed today.")
    refuse_unreasoned(findings, review_of(case.box, row).reasons, actor.id)
    return row, case, content, paper


def put_in_force(
    session: Session,
    actor: Actor,
    step: PrescriptionStep,
    row: Prescription,
    case: Case,
    content: Content,
    paper: Mapping[str, Any],
    signed_at: datetime,
) -> None:
    """Date, sign and archive a prescription that was prepared, and tell whoever fills it or gives it."""
    row.state = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), step, actor.role)
    # The display of a moment ago said today; the act itself decides the day, should midnight lie between.
    row.signed_at, row.issued_on = signed_at, date.fromisoformat(paper["issued_on"])
    row.expires_on = last_fill_day(row.issued_on, programme_of(session, case.episode))
    document = canonical(document_of(row, content, paper, case.box.open(row, "outside").reveal()))
    keys = keyring().prescription_keys
    row.signing_key = keys.active
    row.signature = Ed25519PrivateKey.from_private_bytes(keys[keys.active]).sign(document)
    row.signed_content = case.box.seal_bytes(row, "signed_content", document)
    session.flush()
    record(
        session, actor, f"prescription.{step}", "prescription", row.id, episode_id=row.episode_id, key=row.signing_key
    )
    subject = Subject("prescription", row.id)
    settle_tasks(session, actor, subject, {TaskKind.SIGN_PRESCRIPTION, TaskKind.CONFIRM_SIGNATURE})
    kind = EventKind.PRESCRIPTION_SIGNED if is_shipped(row) else EventKind.ORDER_SIGNED
    emit(session, kind, subject=subject, episode_id=row.episode_id)
    first_day_after = row.expires_on + timedelta(days=1)
    over_at = datetime.combine(first_day_after, time(), tzinfo=read_zone(case.zone))
    set_timer(session, EventKind.PRESCRIPTION_EXPIRED, case.episode, subject, over_at)
    if row.replaces_id is not None:
        _supersede(session, actor, row.replaces_id, case.episode)


def _supersede(session: Session, actor: Actor, replaced_id: UUID, episode: Episode) -> None:
    """The replaced prescription, unless it has ended already, makes room for the one that was just signed.

    Signing it is the prescriber's decision on what was lost.
    """
    replaced = session.get_one(Prescription, replaced_id, with_for_update=True, populate_existing=True)
    if (PrescriptionState(replaced.state), PrescriptionStep.SUPERSEDE) in PRESCRIPTION_TRANSITIONS.table:
        end(session, actor, replaced, PrescriptionStep.SUPERSEDE)
    asked = select(Task.subject_kind, Task.subject_id).where(
        Task.owner_id.in_({actor.id, episode.prescriber_id or actor.id, episode.medical_team_id}),
        Task.kind == TaskKind.DECIDE_REPLACEMENT,
        Task.episode_id == episode.id,
        OPEN_TASK,
    )
    for kind, subject_id in session.execute(asked).all():
        if subject_id is not None:
            settle_tasks(session, actor, Subject(kind, subject_id), {TaskKind.DECIDE_REPLACEMENT})


def verify_signature(session: Session, row: Prescription) -> bool:
    """Whether a prescription is, to the last field, what its practitioner signed.

    False for one that was never signed, whose archive or content does not open, whose signature does not hold, or
    whose stored fields say anything else than the signed document.
    """
    if row.signature is None or row.signing_key is None or row.signed_content is None:
        return False
    own = box(session, row.patient_id)
    try:
        key = Ed25519PrivateKey.from_private_bytes(keyring().prescription_keys[row.signing_key]).public_key()
        key.verify(row.signature, own.open_bytes(row, "signed_content", row.signed_content))
        signed = signed_document(own, row).reveal()
        content = content_of(own, row)
        stored = document_of(row, content, signed["paper"], own.open(row, "outside").reveal())
    except (InvalidSignature, UnreadableSeal, InvalidConfiguration, KeyError, TypeError, ValueError):
        return False
    return canonical(stored) == canonical(as_written_now(signed))


def refuse_altered(session: Session, actor: Actor, row: Prescription) -> Refused | None:
    """Cancel a locked prescription whose signature does not hold, and give the refusal; None when all is well.

    The cancellation must stay although the request is refused: let the transaction commit, then call ``require()``.
    """
    if verify_signature(session, row):
        return None
    record(
        session,
        actor,
        "prescription.verify",
        "prescription",
        row.id,
        episode_id=row.episode_id,
        outcome="failed",
        code="signature_not_valid",
    )
    if (PrescriptionState(row.state), PrescriptionStep.CANCEL) in PRESCRIPTION_TRANSITIONS.table:
        end(session, SYSTEM, row, PrescriptionStep.CANCEL, "signature_not_valid")
    finding = SIGNATURE_NOT_VALID.finding(prescription_id=str(row.id))
    return Refused(RuleRefused(finding.sentence, [finding]))
