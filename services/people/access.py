"""THE access table: action × role → the relationship that is needed. Default deny: what is not here is not allowed.

Whoever has no relationship at all to an episode gets ``NotFound``, as if it did not exist; whoever can see it but may
not do this gets ``NotAllowed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.errors import NotAllowed, NotFound
from services.people.models import Episode


class Relationship(StrEnum):
    """How an actor stands to what it asks for."""

    OWN_PATIENT = "own patient"  # therapist of record
    OWN_TEAM = "own team"  # the medical team of the episode
    OWN_PHARMACY = "own pharmacy"  # the pharmacy of the episode
    SELF = "self"  # the patient, or the account itself
    ANY = "any"  # needs no relationship: the action concerns no single patient


class Action(StrEnum):
    """Everything that somebody can ask the service to do."""

    REFER_CLIENT = "referral.create"
    READ_REFERRAL = "referral.read"
    READ_PATIENT = "patient.read"
    CHANGE_PATIENT = "patient.change"
    READ_PATIENT_CONTACT = "patient.read_contact"
    EXPORT_PATIENT = "patient.export"
    READ_EPISODE = "episode.read"
    CHANGE_EPISODE = "episode.change"
    READ_THERAPIST_PROFILE = "therapist_profile.read"
    CHANGE_THERAPIST_PROFILE = "therapist_profile.change"
    PROPOSE_MATCH = "match.propose"
    READ_MATCH = "match.read"
    CHOOSE_THERAPIST = "match.choose"
    ANSWER_MATCH = "match.answer"
    ISSUE_LINK = "link.issue"
    GIVE_CONSENT = "consent.give"
    READ_CONSENT = "consent.read"
    ANSWER_SCREENING = "screening.answer"
    READ_SCREENING = "screening.read"
    CLEAR_RISK = "risk.clear"
    READ_ELIGIBILITY = "eligibility.read"
    DECIDE_ELIGIBILITY = "eligibility.decide"
    DRAFT_PRESCRIPTION = "prescription.draft"
    CHANGE_PRESCRIPTION = "prescription.change"
    READY_PRESCRIPTION = "prescription.ready"
    AGREE_PRESCRIPTION = "prescription.agree"
    SIGN_PRESCRIPTION = "prescription.sign"
    REPORT_PRESCRIPTION = "prescription.report_signed"
    CONFIRM_PRESCRIPTION = "prescription.confirm_signed"
    CANCEL_PRESCRIPTION = "prescription.cancel"
    READ_PRESCRIPTION = "prescription.read"
    RECORD_PDMP_CHECK = "pdmp_check.record"
    RECORD_FILL = "fill.record"
    READ_FILL = "fill.read"
    CREATE_SHIPMENT = "shipment.create"
    CHANGE_SHIPMENT = "shipment.change"
    READ_SHIPMENT = "shipment.read"
    CONFIRM_RECEIPT = "receipt.confirm"
    DECIDE_COURSE = "course.decide"
    CLOSE_EPISODE = "episode.close"
    READ_COURSE = "course.read"
    REPORT_LOSS = "loss.report"
    RECORD_LOSS = "loss.record"
    READ_LOSS = "loss.read"
    RESOLVE_DIVERSION = "diversion_review.resolve"
    READ_DIVERSION = "diversion_review.read"
    BOOK_SESSION = "session.book"
    CHANGE_SESSION = "session.change"
    RUN_SESSION = "session.run"
    ANSWER_SESSION = "session.answer"
    READ_SESSION = "session.read"
    CLOSE_EMERGENCY = "session.close_emergency"
    ATTEND_START = "session.attend_start"
    DECIDE_MEDICINES = "session.decide_medicines"
    RECORD_TRANSPORT = "session.record_transport"
    RATE_SESSION = "session.rate"
    CHANGE_COMFORT = "comfort.change"
    READ_COMFORT = "comfort.read"
    EXTEND_ROUND = "round.extend"
    RECORD_STOCK = "stock.record"
    READ_STOCK = "stock.read"
    RECORD_VITALS = "vitals.record"
    READ_VITALS = "vitals.read"
    RECORD_ADVERSE_EVENT = "adverse_event.record"
    CLOSE_ADVERSE_EVENT = "adverse_event.close"
    READ_ADVERSE_EVENT = "adverse_event.read"
    REPORT_OUTCOME = "outcome.report"
    READ_OUTCOME = "outcome.read"
    REQUEST_ASSESSMENT = "assessment.request"
    ANSWER_ASSESSMENT = "assessment.answer"
    READ_ASSESSMENT = "assessment.read"
    DECIDE_RESPONSE = "response.decide"
    READ_COHORT = "cohort.read"
    WRITE_PSYCHOTHERAPY_NOTE = "psychotherapy_note.write"
    READ_PSYCHOTHERAPY_NOTE = "psychotherapy_note.read"
    REQUEST_REFILL = "refill_request.create"
    ANSWER_REFILL = "refill_request.answer"
    DECIDE_REFILL = "refill_request.decide"
    READ_REFILL = "refill_request.read"
    RECORD_CONTACT = "prescriber_contact.record"
    READ_INBOX = "task.list"
    WORK_TASK = "task.work"
    READ_NOTICE = "notice.read"
    READ_EPISODE_NOTICE = "notice.read_of_episode"
    READ_MESSAGE = "message.read"
    HOST_CIRCLE = "circle.host"
    READ_CIRCLE = "circle.read"
    INVITE_TO_CIRCLE = "circle.invite"
    ANSWER_CIRCLE = "circle.answer"
    READ_CIRCLE_PLACE = "circle_place.read"
    READ_PROMPTS = "journal.read_prompts"
    WRITE_JOURNAL = "journal.write"
    READ_JOURNAL = "journal.read"
    READ_QUESTION = "question.read"
    ANSWER_QUESTION = "question.answer"
    READ_AUDIT = "audit.read"
    MANAGE_ACCOUNTS = "account.manage"
    NOMINATE_SIGNER = "signing_grant.nominate"
    APPROVE_SIGNER = "signing_grant.approve"
    END_SIGNING_GRANT = "signing_grant.end"
    READ_SIGNING_GRANT = "signing_grant.read"
    READ_SIGNING_LOG = "signing_log.read"
    READ_SECURITY_REVIEW = "security_review.read"
    REVIEW_SECURITY = "security_review.review"
    READ_OWN_ACCOUNT = "account.read_own"
    MANAGE_OWN_TOKENS = "token.manage_own"
    SIGN_OUT = "token.sign_out"
    HANDLE_DEAD_LETTER = "dead_letter.handle"


_THERAPIST = {Role.THERAPIST: Relationship.OWN_PATIENT}
_PRESCRIBER = {Role.PRESCRIBER: Relationship.OWN_TEAM}
_MEDICAL = {Role.PRESCRIBER: Relationship.OWN_TEAM, Role.MEDICAL_STAFF: Relationship.OWN_TEAM}
_PHARMACY = {Role.PHARMACIST: Relationship.OWN_PHARMACY}
_PATIENT = {Role.PATIENT: Relationship.SELF}
_ANY_STAFF = {
    Role.THERAPIST: Relationship.ANY,
    Role.PRESCRIBER: Relationship.ANY,
    Role.MEDICAL_STAFF: Relationship.ANY,
    Role.PHARMACIST: Relationship.ANY,
    Role.OPERATIONS: Relationship.ANY,
}

POLICY: Final[Mapping[Action, Mapping[Role, Relationship]]] = {
    Action.REFER_CLIENT: {
        # Which of them may is for the programme to say (``referrals.by``).
        Role.THERAPIST: Relationship.ANY,
        Role.PRESCRIBER: Relationship.ANY,
        Role.MEDICAL_STAFF: Relationship.ANY,
    },
    Action.READ_REFERRAL: _THERAPIST | _MEDICAL,
    Action.READ_PATIENT: _THERAPIST | _MEDICAL | _PATIENT,
    Action.CHANGE_PATIENT: _THERAPIST | _PATIENT,
    Action.READ_PATIENT_CONTACT: _THERAPIST | _MEDICAL | _PHARMACY | _PATIENT,
    Action.EXPORT_PATIENT: _PATIENT | {Role.OPERATIONS: Relationship.ANY},
    Action.READ_EPISODE: _THERAPIST | _MEDICAL | _PHARMACY | _PATIENT,
    Action.CHANGE_EPISODE: _MEDICAL,
    Action.READ_THERAPIST_PROFILE: {
        Role.THERAPIST: Relationship.ANY,  # their own
        Role.PRESCRIBER: Relationship.ANY,
        Role.MEDICAL_STAFF: Relationship.ANY,
        Role.OPERATIONS: Relationship.ANY,
    },
    Action.CHANGE_THERAPIST_PROFILE: {Role.THERAPIST: Relationship.ANY, Role.OPERATIONS: Relationship.ANY},
    Action.PROPOSE_MATCH: _MEDICAL,
    # A therapist who was asked has no relationship to the patient yet, and sees only that they were asked.
    Action.READ_MATCH: _MEDICAL | _PATIENT | {Role.THERAPIST: Relationship.ANY},
    Action.CHOOSE_THERAPIST: _PATIENT,
    Action.ANSWER_MATCH: {Role.THERAPIST: Relationship.ANY},
    Action.ISSUE_LINK: _THERAPIST | _MEDICAL,
    Action.GIVE_CONSENT: _PATIENT,
    Action.READ_CONSENT: _THERAPIST | _MEDICAL | _PATIENT,
    Action.ANSWER_SCREENING: _PATIENT,
    Action.READ_SCREENING: _THERAPIST | _MEDICAL | _PATIENT,
    Action.CLEAR_RISK: _PRESCRIBER,
    Action.READ_ELIGIBILITY: _THERAPIST | _MEDICAL,
    Action.DECIDE_ELIGIBILITY: _PRESCRIBER,
    Action.DRAFT_PRESCRIPTION: _MEDICAL,
    Action.CHANGE_PRESCRIPTION: _MEDICAL,
    Action.READY_PRESCRIPTION: _PRESCRIBER,
    Action.AGREE_PRESCRIPTION: _PRESCRIBER,
    Action.SIGN_PRESCRIPTION: _PRESCRIBER,
    Action.REPORT_PRESCRIPTION: _MEDICAL,
    Action.CONFIRM_PRESCRIPTION: _PRESCRIBER,
    Action.CANCEL_PRESCRIPTION: _PRESCRIBER,
    Action.READ_PRESCRIPTION: _THERAPIST | _MEDICAL | _PHARMACY | _PATIENT,
    Action.RECORD_PDMP_CHECK: _MEDICAL,
    Action.RECORD_FILL: _PHARMACY,
    Action.READ_FILL: _MEDICAL | _PHARMACY,
    Action.CREATE_SHIPMENT: _PHARMACY,
    Action.CHANGE_SHIPMENT: _PHARMACY,
    Action.READ_SHIPMENT: _THERAPIST | _MEDICAL | _PHARMACY | _PATIENT,
    Action.CONFIRM_RECEIPT: _PATIENT,
    Action.DECIDE_COURSE: _PRESCRIBER,
    Action.CLOSE_EPISODE: _MEDICAL,
    Action.READ_COURSE: _THERAPIST | _MEDICAL | _PATIENT,
    Action.REPORT_LOSS: _THERAPIST | _PATIENT,
    Action.RECORD_LOSS: _PHARMACY,
    Action.READ_LOSS: _THERAPIST | _MEDICAL | _PHARMACY | _PATIENT,
    Action.RESOLVE_DIVERSION: _PRESCRIBER,
    Action.READ_DIVERSION: _THERAPIST | _MEDICAL,
    Action.BOOK_SESSION: _THERAPIST,
    Action.CHANGE_SESSION: _THERAPIST,
    Action.RUN_SESSION: _THERAPIST,
    Action.ANSWER_SESSION: _PATIENT,
    Action.READ_SESSION: _THERAPIST | _MEDICAL | _PATIENT,
    Action.CLOSE_EMERGENCY: _PRESCRIBER,
    Action.ATTEND_START: _PRESCRIBER,  # the physician checks in, nobody in their place
    Action.DECIDE_MEDICINES: _PRESCRIBER,
    Action.RECORD_TRANSPORT: _THERAPIST | _PATIENT,
    Action.RATE_SESSION: _THERAPIST | _PATIENT,
    Action.CHANGE_COMFORT: _PATIENT,
    Action.READ_COMFORT: _THERAPIST | _PATIENT,
    Action.EXTEND_ROUND: _MEDICAL,  # and of them who the programme says
    Action.RECORD_STOCK: _THERAPIST | _PATIENT,
    Action.READ_STOCK: _THERAPIST | _MEDICAL | _PATIENT,
    Action.RECORD_VITALS: _THERAPIST,
    Action.READ_VITALS: _THERAPIST | _MEDICAL,
    Action.RECORD_ADVERSE_EVENT: _THERAPIST | _MEDICAL,
    Action.CLOSE_ADVERSE_EVENT: _PRESCRIBER,
    Action.READ_ADVERSE_EVENT: _THERAPIST | _MEDICAL,
    Action.REPORT_OUTCOME: _THERAPIST,
    Action.READ_OUTCOME: _THERAPIST | _MEDICAL,
    Action.REQUEST_ASSESSMENT: _THERAPIST | _MEDICAL,
    Action.ANSWER_ASSESSMENT: _PATIENT,
    Action.READ_ASSESSMENT: _THERAPIST | _MEDICAL | _PATIENT,
    Action.DECIDE_RESPONSE: _PRESCRIBER,
    Action.READ_COHORT: {Role.PRESCRIBER: Relationship.ANY, Role.OPERATIONS: Relationship.ANY},
    Action.WRITE_PSYCHOTHERAPY_NOTE: _THERAPIST,
    Action.READ_PSYCHOTHERAPY_NOTE: _THERAPIST,
    Action.REQUEST_REFILL: _THERAPIST,
    Action.ANSWER_REFILL: _THERAPIST,
    Action.DECIDE_REFILL: _PRESCRIBER,
    Action.READ_REFILL: _THERAPIST | _MEDICAL,
    Action.RECORD_CONTACT: _PRESCRIBER,
    Action.READ_INBOX: _ANY_STAFF,
    Action.WORK_TASK: _ANY_STAFF,
    Action.READ_NOTICE: _ANY_STAFF | {Role.PATIENT: Relationship.ANY},
    Action.READ_EPISODE_NOTICE: _THERAPIST | _MEDICAL,
    Action.READ_MESSAGE: _THERAPIST | _MEDICAL | {Role.OPERATIONS: Relationship.ANY},
    Action.HOST_CIRCLE: {Role.THERAPIST: Relationship.ANY},  # the own circles
    Action.READ_CIRCLE: {Role.THERAPIST: Relationship.ANY, Role.PATIENT: Relationship.ANY},  # the own place alone
    Action.INVITE_TO_CIRCLE: _THERAPIST,
    Action.ANSWER_CIRCLE: _PATIENT,
    Action.READ_CIRCLE_PLACE: _THERAPIST | _MEDICAL,
    Action.READ_PROMPTS: _THERAPIST | _MEDICAL | _PATIENT,
    Action.WRITE_JOURNAL: _PATIENT,
    Action.READ_JOURNAL: _THERAPIST | _PATIENT,  # the therapist what was shared
    # Whoever a question was put before may see and answer it, and the care team may see it: ``questions.answering``.
    Action.READ_QUESTION: _ANY_STAFF | {Role.PATIENT: Relationship.ANY},
    Action.ANSWER_QUESTION: _ANY_STAFF,
    Action.READ_AUDIT: {Role.OPERATIONS: Relationship.ANY},
    Action.MANAGE_ACCOUNTS: {Role.OPERATIONS: Relationship.ANY},
    # Two people give access to signing, and either takes it away (21 CFR 1311.125).
    Action.NOMINATE_SIGNER: {Role.OPERATIONS: Relationship.ANY},
    Action.APPROVE_SIGNER: {Role.PRESCRIBER: Relationship.ANY},
    Action.END_SIGNING_GRANT: {Role.OPERATIONS: Relationship.ANY, Role.PRESCRIBER: Relationship.ANY},
    Action.READ_SIGNING_GRANT: {Role.OPERATIONS: Relationship.ANY, Role.PRESCRIBER: Relationship.ANY},
    Action.READ_SIGNING_LOG: {Role.PRESCRIBER: Relationship.ANY},  # one's own
    Action.READ_SECURITY_REVIEW: {Role.OPERATIONS: Relationship.ANY},
    Action.REVIEW_SECURITY: {Role.OPERATIONS: Relationship.ANY},
    Action.READ_OWN_ACCOUNT: _ANY_STAFF,
    Action.MANAGE_OWN_TOKENS: _ANY_STAFF,
    Action.SIGN_OUT: _ANY_STAFF | {Role.PATIENT: Relationship.ANY},
    Action.HANDLE_DEAD_LETTER: {Role.OPERATIONS: Relationship.ANY},
}


def relationship(actor: Actor, episode: Episode) -> Relationship | None:
    """How ``actor`` stands to an episode; None means the episode is invisible to it."""
    match actor.role:
        case Role.THERAPIST if episode.therapist_id == actor.id:
            return Relationship.OWN_PATIENT
        case Role.PRESCRIBER | Role.MEDICAL_STAFF if episode.medical_team_id == actor.organisation_id:
            return Relationship.OWN_TEAM
        case Role.PHARMACIST if episode.pharmacy_id == actor.organisation_id:
            return Relationship.OWN_PHARMACY
        case Role.PATIENT if episode.patient_id == actor.id and actor.episode_id in (None, episode.id):
            return Relationship.SELF
    return None


def authorize(actor: Actor, action: Action, episode: Episode | None = None) -> None:
    """Let ``actor`` do ``action``, on ``episode`` where it concerns one, or refuse.

    Raises ``NotFound`` when the episode is invisible to the actor and ``NotAllowed`` when it may be seen but not this
    done. The system itself may do what its workers and timers do.
    """
    if actor.role is Role.SYSTEM:
        return
    needed = POLICY.get(action, {}).get(actor.role)
    if episode is None:
        if needed is None:
            raise NotAllowed(f"A {actor.role.value} may not do this.", rule=f"access.{action}")
        return
    actual = relationship(actor, episode)
    if actual is None and needed is not Relationship.ANY:
        raise NotFound("There is no such record, or it is not yours to see.")
    if needed is None or needed not in (actual, Relationship.ANY):
        raise NotAllowed(f"A {actor.role.value} may not do this.", rule=f"access.{action}")


def visible_episode(session: Session, actor: Actor, action: Action, episode_id: UUID) -> Episode:
    """The episode, if ``actor`` may do ``action`` on it; raises as ``authorize`` does."""
    episode = session.get(Episode, episode_id)
    if episode is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    authorize(actor, action, episode)
    return episode
