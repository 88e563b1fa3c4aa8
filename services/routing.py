"""THE coordination on one page: what happened → who must know → what follows.

Each event is sealed once for every party named here. That party's worker opens it and carries out the effects in order:

``Task``    a task for an owner, due after the named setting (its ending tells the unit), kept open until done
``Sms``     a text message to the patient, within the caps and quiet hours
``Inform``  an in-app notice to an owner: nothing to do, good to know
``Page``    a text to the people on call of the owner's organisation: somebody must look now
``Call``    a use case that the party's worker runs, such as reading a text message that came in
``Errand``  a call to an outside service, made after the transaction from the row that the use case left behind
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.core.vocabulary import EventKind as E
from services.core.vocabulary import NoticeKind as N
from services.core.vocabulary import Party, Priority
from services.core.vocabulary import TaskKind as T


class Owner(StrEnum):
    """Who owns a task or reads a notice, found on the episode. An absent person falls back to the organisation."""

    THERAPIST = "therapist"
    PRESCRIBER = "prescriber"
    MEDICAL_TEAM = "medical_team"
    PHARMACY = "pharmacy"
    OPERATIONS = "operations"
    ADDRESSEE = "addressee"  # the owner named inside the event


class Work(StrEnum):
    """Use cases that a worker runs; ``workers/effects.py`` names the function of each."""

    READ_CARRIER_EVENT = "read_carrier_event"
    READ_SMS = "read_sms"
    READ_SMS_STATUS = "read_sms_status"
    END_PRESCRIPTION = "end_prescription"
    NOTE_TRANSMISSION = "note_transmission"
    CHECK_SILENCE = "check_silence"
    REMIND_OF_SESSION = "remind_of_session"
    PLAN_ASSESSMENTS = "plan_assessments"
    REMIND_OF_ASSESSMENT = "remind_of_assessment"
    REMIND_OF_CIRCLE = "remind_of_circle"


@dataclass(frozen=True, slots=True)
class Task:
    """Open a task."""

    kind: T
    owner: Owner
    due: str
    priority: Priority = Priority.ROUTINE


@dataclass(frozen=True, slots=True)
class Sms:
    """Text the patient; ``kind`` None means the kind is named inside the event."""

    kind: N | None


@dataclass(frozen=True, slots=True)
class Inform:
    """Leave an in-app notice."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class Page:
    """Text whoever is on call."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class Call:
    """Let the worker run a use case."""

    work: Work


@dataclass(frozen=True, slots=True)
class Errand:
    """Let the worker run the party's errands as soon as this transaction is committed."""


Effect = Task | Sms | Inform | Page | Call | Errand

_THERAPIST, _MEDICAL, _PHARMACY = Party.THERAPIST, Party.MEDICAL_TEAM, Party.PHARMACY
_PATIENT, _OPERATIONS = Party.PATIENT, Party.OPERATIONS
_URGENT, _STAT = Priority.URGENT, Priority.STAT

# fmt: off
ROUTES: Final[Mapping[E, Mapping[Party, tuple[Effect, ...]]]] = {
    # Referral, screening and decision
    E.REFERRAL_CREATED: {
        _PATIENT: (Sms(N.FORMS_LINK),),
        _MEDICAL: (Inform(Owner.MEDICAL_TEAM),)},
    E.SCREENING_UNANSWERED: {
        _THERAPIST: (Task(T.CONTACT_PATIENT, Owner.THERAPIST, "sla.two_days_hours"),),
        _PATIENT: (Sms(N.FORMS_REMINDER),)},
    E.SCREENING_COMPLETED: {
        _MEDICAL: (Task(T.REVIEW_ELIGIBILITY, Owner.MEDICAL_TEAM, "sla.review_hours"),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.RISK_FLAGGED: {
        _MEDICAL: (Task(T.TRIAGE_RISK, Owner.PRESCRIBER, "sla.same_day_hours", _URGENT),),
        _THERAPIST: (Task(T.CHECK_ON_PATIENT, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.RISK_PAGED: {
        _MEDICAL: (Task(T.TRIAGE_RISK, Owner.PRESCRIBER, "sla.immediate_minutes", _STAT), Page(Owner.MEDICAL_TEAM)),
        _THERAPIST: (Task(T.CHECK_ON_PATIENT, Owner.THERAPIST, "sla.immediate_minutes", _STAT), Page(Owner.THERAPIST))},
    E.TEXT_CRISIS: {  # a patient wrote it, and was shown where to get help; the same as E.SMS_CRISIS
        _THERAPIST: (Task(T.CHECK_ON_PATIENT, Owner.THERAPIST, "sla.immediate_minutes", _STAT), Page(Owner.THERAPIST)),
        _MEDICAL: (Task(T.CHECK_ON_PATIENT, Owner.PRESCRIBER, "sla.immediate_minutes", _STAT),
                   Page(Owner.MEDICAL_TEAM))},
    E.TEXT_CONCERNING: {  # a clinician wrote it in the record
        _THERAPIST: (Task(T.ASK_CSSRS, Owner.THERAPIST, "sla.same_day_hours", _URGENT),),
        _MEDICAL: (Task(T.ASK_CSSRS, Owner.PRESCRIBER, "sla.same_day_hours", _URGENT),)},
    E.ELIGIBILITY_APPROVED: {
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.DECISION_MADE), Call(Work.PLAN_ASSESSMENTS)),
        _MEDICAL: (Task(T.DRAFT_PRESCRIPTION, Owner.PRESCRIBER, "sla.next_day_hours"),)},
    E.ELIGIBILITY_DECLINED: {
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.DECISION_MADE),)},
    E.INFORMATION_REQUESTED: {
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.MORE_INFORMATION),)},

    # Finding a therapist
    E.THERAPIST_NEEDED: {
        _MEDICAL: (Task(T.PROPOSE_THERAPISTS, Owner.MEDICAL_TEAM, "sla.match_hours"),)},
    E.MATCH_PROPOSED: {_PATIENT: (Sms(N.MATCH_PROPOSED),)},
    E.MATCH_CHOSEN: {
        _THERAPIST: (Task(T.ANSWER_MATCH, Owner.ADDRESSEE, "sla.match_answer_hours"),)},
    E.MATCH_DECLINED: {_MEDICAL: (Inform(Owner.MEDICAL_TEAM),)},
    E.MATCH_REOPENED: {  # to be chosen anew by somebody who is not texted
        _MEDICAL: (Task(T.CONTACT_PATIENT, Owner.MEDICAL_TEAM, "sla.two_days_hours"),)},
    E.MATCH_MADE: {
        _MEDICAL: (Inform(Owner.MEDICAL_TEAM),),
        _PATIENT: (Sms(N.MATCH_MADE),)},

    # Prescription, fill and shipment
    E.PRESCRIPTION_DRAFTED: {
        _MEDICAL: (Task(T.SIGN_PRESCRIPTION, Owner.ADDRESSEE, "sla.next_day_hours"),)},  # the named prescriber
    E.PRESCRIPTION_REPORTED: {  # signed in a system elsewhere, as somebody says
        _MEDICAL: (Task(T.CONFIRM_SIGNATURE, Owner.ADDRESSEE, "sla.same_day_hours"),)},  # the named prescriber
    E.PRESCRIPTION_SIGNED: {
        _PHARMACY: (Call(Work.NOTE_TRANSMISSION), Task(T.FILL_PRESCRIPTION, Owner.PHARMACY, "sla.fill_hours"),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.PRESCRIPTION_CANCELLED: {
        _PHARMACY: (Task(T.STOP_FILLING, Owner.PHARMACY, "sla.immediate_minutes", _STAT),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.ORDER_SIGNED: {  # given in the clinic: nothing to fill or to ship
        _MEDICAL: (Inform(Owner.MEDICAL_TEAM),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.ORDER_CANCELLED: {
        _MEDICAL: (Inform(Owner.MEDICAL_TEAM),),
        _THERAPIST: (Task(T.RECHECK_SESSION_DATE, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.SIGNER_NOMINATED: {  # another DEA registrant of the team approves, or who was named
        _MEDICAL: (Task(T.APPROVE_SIGNER, Owner.ADDRESSEE, "sla.two_days_hours"),)},
    E.SIGNING_LOG_READY: {  # of the month that is over
        _MEDICAL: (Inform(Owner.ADDRESSEE),)},
    E.SECURITY_REVIEW_DUE: {
        _OPERATIONS: (Task(T.REVIEW_SECURITY, Owner.OPERATIONS, "sla.security_review_hours"),)},
    E.SIGNER_WITHDRAWN: {
        _MEDICAL: (Inform(Owner.ADDRESSEE),)},  # the practitioner
    E.SIGNING_ACCESS_ENDED: {
        _MEDICAL: (Inform(Owner.ADDRESSEE),),
        _OPERATIONS: (Task(T.RENEW_SIGNING_ACCESS, Owner.OPERATIONS, "sla.same_day_hours", _URGENT),)},
    E.PRESCRIPTION_EXPIRED: {  # a timer set at signing
        _PHARMACY: (Call(Work.END_PRESCRIPTION),)},
    E.FILL_RECORDED: {
        _PHARMACY: (Task(T.SHIP_FILL, Owner.PHARMACY, "sla.next_day_hours"),)},
    E.SHIPMENT_CREATED: {
        _PHARMACY: (Errand(),),
        _PATIENT: (Sms(N.PACKAGE_PREPARING),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SHIPMENT_IN_TRANSIT: {
        _PATIENT: (Sms(N.PACKAGE_IN_TRANSIT),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SHIPMENT_OUT_FOR_DELIVERY: {
        _PATIENT: (Sms(N.PACKAGE_OUT_FOR_DELIVERY),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SHIPMENT_DELIVERED: {
        _PATIENT: (Sms(N.PACKAGE_DELIVERED),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SHIPMENT_DELAYED: {
        _PATIENT: (Sms(N.PACKAGE_DELAYED),),
        _THERAPIST: (Task(T.RECHECK_SESSION_DATE, Owner.THERAPIST, "sla.next_day_hours"),)},
    E.SHIPMENT_ADDRESS_PROBLEM: {
        _PATIENT: (Sms(N.PACKAGE_PROBLEM),),
        _PHARMACY: (Task(T.VERIFY_ADDRESS, Owner.PHARMACY, "sla.same_day_hours", _URGENT),)},
    E.SHIPMENT_AWAITING_PICKUP: {
        _PATIENT: (Sms(N.PACKAGE_AWAITING_PICKUP),),
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.pickup_hours"),)},
    E.SHIPMENT_RETURNED: {
        _PATIENT: (Sms(N.PACKAGE_PROBLEM),),
        _PHARMACY: (Task(T.QUARANTINE_RETURN, Owner.PHARMACY, "sla.same_day_hours", _URGENT),),
        _MEDICAL: (Task(T.DECIDE_REPLACEMENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),),
        _THERAPIST: (Task(T.RECHECK_SESSION_DATE, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.SHIPMENT_LOST: {
        _PATIENT: (Sms(N.PACKAGE_PROBLEM),),
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.immediate_minutes", _STAT),),
        _MEDICAL: (Task(T.DECIDE_REPLACEMENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),),
        _THERAPIST: (Task(T.RECHECK_SESSION_DATE, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.LOSS_DISCOVERED: {  # the event names the legal due times, by the pharmacy's own calendar
        _PHARMACY: (
            Task(T.NOTIFY_DEA, Owner.PHARMACY, "sla.dea_notice_business_days", _URGENT),
            Task(T.FILE_FORM_106, Owner.PHARMACY, "sla.form_106_days")),
        _MEDICAL: (Task(T.DECIDE_REPLACEMENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.DIVERSION_SUSPECTED: {
        _MEDICAL: (Task(T.REVIEW_DIVERSION, Owner.MEDICAL_TEAM, "sla.same_day_hours", _URGENT),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.DIVERSION_RESOLVED: {
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SHIPMENT_DAMAGED: {
        _PATIENT: (Sms(N.PACKAGE_PROBLEM),),
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.same_day_hours", _URGENT),),
        _MEDICAL: (Task(T.DECIDE_REPLACEMENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),)},
    E.SHIPMENT_FAILED: {
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.same_day_hours", _URGENT),)},
    E.SHIPMENT_UNSCANNED: {
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.same_day_hours"),)},
    E.SHIPMENT_UNSIGNED: {
        _PHARMACY: (Task(T.REVIEW_DELIVERY, Owner.PHARMACY, "sla.same_day_hours"),)},
    E.SHIPMENT_SILENCE_DUE: {  # a timer that runs until the parcel has arrived
        _PHARMACY: (Call(Work.CHECK_SILENCE),)},
    E.RECEIPT_CONFIRMED: {
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.RECEIPT_DISPUTED: {
        _PHARMACY: (Task(T.TRACE_SHIPMENT, Owner.PHARMACY, "sla.immediate_minutes", _STAT),),
        _MEDICAL: (Task(T.DECIDE_REPLACEMENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),),
        _THERAPIST: (Task(T.RECHECK_SESSION_DATE, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.RECEIPT_UNCONFIRMED: {
        _PATIENT: (Sms(N.RECEIPT_REMINDER),)},
    E.RECEIPT_CALL_DUE: {
        _PHARMACY: (Task(T.CALL_ABOUT_RECEIPT, Owner.PHARMACY, "sla.same_day_hours"),)},

    # Sessions
    E.SESSION_BOOKED: {_PATIENT: (Sms(N.SESSION_BOOKED),)},
    E.SESSION_MOVED: {_PATIENT: (Sms(N.SESSION_MOVED),)},
    E.SESSION_CANCELLED: {_PATIENT: (Sms(N.SESSION_CANCELLED),)},
    E.SESSION_REMINDER_DUE: {_PATIENT: (Call(Work.REMIND_OF_SESSION),)},  # a timer; the session may have moved since
    E.SESSION_CONFIRMED: {_THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SESSION_RESCHEDULE_ASKED: {
        _THERAPIST: (Task(T.RESCHEDULE_SESSION, Owner.THERAPIST, "sla.next_day_hours"),)},
    E.SESSION_DISCHARGED: {
        _PATIENT: (Sms(N.AFTER_SESSION),),
        _THERAPIST: (Inform(Owner.THERAPIST),)},
    E.SESSION_ABORTED: {  # the patient left before the discharge gate
        _PATIENT: (Sms(N.AFTER_SESSION),),
        _MEDICAL: (Task(T.CHECK_ON_PATIENT, Owner.PRESCRIBER, "sla.same_day_hours", _URGENT),)},
    E.PHYSICIAN_WANTED: {  # a timer before a session whose dose demands it
        _MEDICAL: (Task(T.ATTEND_START, Owner.MEDICAL_TEAM, "sla.same_day_hours"),)},
    E.PHYSICIAN_AWAITED: {  # the session is about to begin
        _MEDICAL: (Task(T.ATTEND_START, Owner.MEDICAL_TEAM, "sla.immediate_minutes", _STAT),)},
    E.MEDICINES_CHANGED: {  # on the day of a session, which waits for the decision
        _MEDICAL: (Task(T.REVIEW_MEDICINES, Owner.PRESCRIBER, "sla.immediate_minutes", _URGENT),)},
    E.LOOK_MISSED: {  # a timer that each look at the patient sets anew
        _THERAPIST: (Task(T.WATCH_PATIENT, Owner.THERAPIST, "sla.immediate_minutes", _STAT),)},
    E.VIDEO_LOST: {  # of a remote session, at a look
        _THERAPIST: (Task(T.WATCH_PATIENT, Owner.THERAPIST, "sla.immediate_minutes", _STAT),),
        _MEDICAL: (Inform(Owner.PRESCRIBER),)},
    E.VITALS_REFUSED: {
        _MEDICAL: (Task(T.REVIEW_VITALS, Owner.PRESCRIBER, "sla.same_day_hours", _URGENT),)},
    E.EMERGENCY_DECLARED: {
        _MEDICAL: (Task(T.RESPOND_TO_EMERGENCY, Owner.PRESCRIBER, "sla.immediate_minutes", _STAT),
                   Page(Owner.MEDICAL_TEAM))},
    E.ADVERSE_EVENT_RECORDED: {
        _MEDICAL: (Task(T.REVIEW_ADVERSE_EVENT, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),)},
    E.ADVERSE_EVENT_PAGED: {
        _MEDICAL: (Task(T.REVIEW_ADVERSE_EVENT, Owner.PRESCRIBER, "sla.immediate_minutes", _STAT),
                   Page(Owner.MEDICAL_TEAM))},
    E.CHECK_IN_DUE: {
        _THERAPIST: (Task(T.CHECK_IN, Owner.THERAPIST, "sla.same_day_hours"),)},
    E.INTEGRATION_DUE: {
        _THERAPIST: (Task(T.RECORD_INTEGRATION, Owner.THERAPIST, "sla.next_day_hours"),),
        _PATIENT: (Sms(N.INTEGRATION_REMINDER),)},
    E.INTEGRATION_OVERDUE: {
        _THERAPIST: (Task(T.RECORD_INTEGRATION, Owner.THERAPIST, "sla.same_day_hours", _URGENT),)},
    E.INTEGRATION_ESCALATED: {
        _MEDICAL: (Task(T.CHECK_ON_PATIENT, Owner.PRESCRIBER, "sla.same_day_hours", _URGENT),),
        _OPERATIONS: (Task(T.CHASE_OVERDUE_TASK, Owner.OPERATIONS, "sla.same_day_hours", _URGENT),)},

    # Circles and journals
    E.CIRCLE_INVITED: {_PATIENT: (Sms(N.CIRCLE_INVITED),)},
    E.CIRCLE_ANSWERED: {_THERAPIST: (Inform(Owner.THERAPIST),)},
    E.CIRCLE_REMINDER_DUE: {_PATIENT: (Call(Work.REMIND_OF_CIRCLE),)},  # a timer; it ends with the place
    E.CIRCLE_CANCELLED: {_PATIENT: (Sms(N.CIRCLE_CANCELLED),)},
    E.JOURNAL_SHARED: {_THERAPIST: (Inform(Owner.THERAPIST),)},

    # Outcomes and refills
    E.OUTCOME_REPORTED: {_MEDICAL: (Inform(Owner.PRESCRIBER),)},
    E.OUTCOME_DETERIORATED: {
        _MEDICAL: (Task(T.REVIEW_OUTCOME, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),)},
    E.TREATMENT_RECORDED: {_PATIENT: (Call(Work.PLAN_ASSESSMENTS),)},
    E.ASSESSMENT_DUE: {_PATIENT: (Call(Work.PLAN_ASSESSMENTS),)},  # a timer that runs as long as the episode
    E.ASSESSMENT_REQUESTED: {_PATIENT: (Sms(N.ASSESSMENT_LINK),)},
    E.ASSESSMENT_REMINDER_DUE: {_PATIENT: (Call(Work.REMIND_OF_ASSESSMENT),)},  # a timer; it may be answered by then
    E.ASSESSMENT_UNANSWERED: {
        _THERAPIST: (Task(T.CONTACT_PATIENT, Owner.THERAPIST, "sla.two_days_hours"),)},
    E.ASSESSMENT_COMPLETED: {_THERAPIST: (Inform(Owner.THERAPIST),)},
    E.RESPONSE_MISSING: {
        _MEDICAL: (Task(T.REVIEW_RESPONSE, Owner.PRESCRIBER, "sla.two_days_hours"),)},
    E.RESPONSE_DECISION_NEEDED: {
        _MEDICAL: (Task(T.DECIDE_RESPONSE, Owner.PRESCRIBER, "sla.next_day_hours", _URGENT),)},
    E.RESPONSE_DECIDED: {_THERAPIST: (Inform(Owner.THERAPIST),)},
    E.REFILL_REQUESTED: {
        _MEDICAL: (Task(T.DECIDE_REFILL, Owner.PRESCRIBER, "sla.next_day_hours"),)},
    E.REFILL_FORWARDED: {
        _MEDICAL: (Task(T.DECIDE_REFILL, Owner.ADDRESSEE, "sla.next_day_hours"),)},
    E.REFILL_RETURNED: {  # the prescriber asks for more
        _THERAPIST: (Task(T.ANSWER_REFILL, Owner.THERAPIST, "sla.two_days_hours"),)},
    E.REFILL_ANSWERED: {
        _MEDICAL: (Task(T.DECIDE_REFILL, Owner.ADDRESSEE, "sla.next_day_hours"),)},  # whoever asked
    E.REFILL_APPROVED: {
        _MEDICAL: (Task(T.DRAFT_PRESCRIPTION, Owner.PRESCRIBER, "sla.next_day_hours"),),
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.REFILL_DECIDED),)},
    E.REFILL_FILL_APPROVED: {
        _PHARMACY: (Task(T.FILL_PRESCRIPTION, Owner.PHARMACY, "sla.fill_hours"),),
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.REFILL_DECIDED),)},
    E.MAINTENANCE_AGREED: {
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.DECISION_MADE),)},
    E.EPISODE_DISCONTINUED: {
        _MEDICAL: (Task(T.HOLD_CLOSING_FOLLOW_UP, Owner.PRESCRIBER, "sla.closing_follow_up_days"),),
        _THERAPIST: (Inform(Owner.THERAPIST), Task(T.COUNT_LEFTOVERS, Owner.THERAPIST, "sla.two_days_hours")),
        _PATIENT: (Sms(N.DECISION_MADE),)},
    E.REFILL_DECLINED: {
        _THERAPIST: (Inform(Owner.THERAPIST),),
        _PATIENT: (Sms(N.REFILL_DECIDED),)},

    # Messages in and out
    E.SMS_RECEIVED: {_PATIENT: (Call(Work.READ_SMS),)},
    E.SMS_STATUS_RECEIVED: {_PATIENT: (Call(Work.READ_SMS_STATUS),)},
    E.SMS_ANSWERED: {_PATIENT: (Sms(None),)},
    E.SMS_UNCLEAR: {_OPERATIONS: (Task(T.READ_MESSAGE, Owner.OPERATIONS, "sla.same_day_hours"),)},
    E.SMS_CRISIS: {
        _THERAPIST: (Task(T.CHECK_ON_PATIENT, Owner.THERAPIST, "sla.immediate_minutes", _STAT), Page(Owner.THERAPIST)),
        _MEDICAL: (Task(T.CHECK_ON_PATIENT, Owner.PRESCRIBER, "sla.immediate_minutes", _STAT),
                   Page(Owner.MEDICAL_TEAM))},
    E.SMS_CRISIS_UNPLACED: {  # from nobody with an open episode
        _OPERATIONS: (Task(T.READ_MESSAGE, Owner.OPERATIONS, "sla.immediate_minutes", _STAT), Page(Owner.OPERATIONS))},
    E.QUESTION_ASKED: {  # emitted to one of them, whoever the rules name
        _THERAPIST: (Task(T.ANSWER_QUESTION, Owner.THERAPIST, "sla.question_hours"),),
        _MEDICAL: (Task(T.ANSWER_QUESTION, Owner.MEDICAL_TEAM, "sla.question_hours"),),
        _PHARMACY: (Task(T.ANSWER_QUESTION, Owner.PHARMACY, "sla.question_hours"),),
        _OPERATIONS: (Task(T.ANSWER_QUESTION, Owner.OPERATIONS, "sla.question_hours"),)},
    E.QUESTION_OF_SYMPTOMS: {
        _MEDICAL: (Task(T.ANSWER_QUESTION, Owner.MEDICAL_TEAM, "sla.question_symptom_hours", _URGENT),)},
    E.QUESTION_FORWARDED: {  # to one of them as well
        _THERAPIST: (Task(T.ANSWER_QUESTION, Owner.ADDRESSEE, "sla.question_hours"),),
        _MEDICAL: (Task(T.ANSWER_QUESTION, Owner.ADDRESSEE, "sla.question_hours"),),
        _PHARMACY: (Task(T.ANSWER_QUESTION, Owner.ADDRESSEE, "sla.question_hours"),),
        _OPERATIONS: (Task(T.ANSWER_QUESTION, Owner.ADDRESSEE, "sla.question_hours"),)},
    E.QUESTION_ANSWERED: {_PATIENT: (Sms(None),)},
    E.CARRIER_EVENT_RECEIVED: {_PHARMACY: (Call(Work.READ_CARRIER_EVENT),)},
    E.SIGN_IN_CODE_ASKED: {_PATIENT: (Sms(N.SIGN_IN_CODE),)},
    E.NOTICE_UNDELIVERED: {
        _THERAPIST: (Task(T.CONTACT_PATIENT, Owner.THERAPIST, "sla.next_day_hours"),)},
    E.NOTICE_FATE_UNKNOWN: {
        _OPERATIONS: (Task(T.RECONCILE_NOTICE, Owner.OPERATIONS, "sla.same_day_hours"),)},
    E.PAGE_UNDELIVERED: {
        _OPERATIONS: (Task(T.RECONCILE_NOTICE, Owner.OPERATIONS, "sla.immediate_minutes", _STAT),)},

    # Keeping work from getting lost
    E.TASK_REMINDED: {
        _THERAPIST: (Inform(Owner.ADDRESSEE),),
        _MEDICAL: (Inform(Owner.ADDRESSEE),),
        _PHARMACY: (Inform(Owner.ADDRESSEE),),
        _OPERATIONS: (Inform(Owner.ADDRESSEE),)},
    E.TASK_ESCALATED: {
        _OPERATIONS: (Task(T.CHASE_OVERDUE_TASK, Owner.OPERATIONS, "sla.same_day_hours", _URGENT),
                      Page(Owner.OPERATIONS))},
    E.LETTER_DIED: {
        _OPERATIONS: (Task(T.HANDLE_DEAD_LETTER, Owner.OPERATIONS, "sla.same_day_hours", _URGENT),)},
}
# fmt: on


def parties_of(kind: E) -> tuple[Party, ...]:
    """The parties that must know of an event."""
    return tuple(ROUTES[kind])
