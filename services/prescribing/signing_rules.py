"""Rules at the moment of signing: what must be on record before two factors count (DOMAIN 4 and 5).

The prescriber's papers are judged by ``services.people.paper_rules.licence_findings``, the draft itself by
``services.prescribing.rules.draft_findings``, the paper by ``field_rules``. Run them all again at signing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from services.core.errors import InvalidConfiguration
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.prescribing.fill_rules import last_fill_day
from services.prescribing.law import REQUIRED_FIELDS_SOURCE, SCHEDULE_III

_THE_LAW: Final = "The law leaves nothing to set."
_YES_OR_NO: Final = "It is there or it is not; there is no number to set."

ISSUE_DATE_NOT_SIGNING_DATE: Final = declare(
    "prescribing.issue_date_not_signing_date",
    Severity.STOP,
    REQUIRED_FIELDS_SOURCE,
    "A prescription is dated on the day it is signed, not before and not after.",
    fixed=_THE_LAW,
)
PDMP_MISSING: Final = declare(
    "prescribing.pdmp_missing",
    Severity.STOP,
    "DOMAIN 5",
    "No check of the prescription drug monitoring programme is on record.",
    setting="prescribing.pdmp_valid_days",
)
PDMP_IN_FUTURE: Final = declare(
    "prescribing.pdmp_in_future",
    Severity.STOP,
    "DOMAIN 5",
    "The check of the prescription drug monitoring programme is dated in the future.",
    setting="prescribing.pdmp_valid_days",
)
PDMP_TOO_OLD: Final = declare(
    "prescribing.pdmp_too_old",
    Severity.STOP,
    "DOMAIN 5",
    "The check of the prescription drug monitoring programme is older than {value} days.",
    setting="prescribing.pdmp_valid_days",
)
PDMP_OTHER_STATES: Final = declare(
    "prescribing.pdmp_other_states",
    Severity.REVIEW,
    "DOMAIN 5",
    "The prescription drug monitoring programme of the patient's own state was not asked.",
    fixed="The patient lives in one state.",
)
PDMP_CONCERN: Final = declare(
    "prescribing.pdmp_concern",
    Severity.REVIEW,
    "DOMAIN 5",
    "A check of the prescription drug monitoring programme raised a concern.",
    setting="prescribing.pdmp_valid_days",
)
PDMP_BEFORE_LOSS: Final = declare(
    "prescribing.pdmp_before_loss",
    Severity.STOP,
    "DOMAIN 8",
    "Medicine was lost after the last PDMP check: check again before more is prescribed.",
    fixed="After a loss the PDMP is asked again, however soon.",
)
NO_IN_PERSON_EVALUATION: Final = declare(
    "prescribing.no_in_person_evaluation",
    Severity.STOP,
    "21 USC 829(e), 90 FR 61301",
    "The telemedicine flexibilities have ended: record an in-person evaluation or a named exception.",
    setting="prescribing.telemedicine_flexibility_end",
)
TELEMEDICINE_EXCEPTION_UNKNOWN: Final = declare(
    "prescribing.telemedicine_exception_unknown",
    Severity.STOP,
    "21 USC 802(54)",
    "This is not one of the exceptions that the law names.",
    setting="prescribing.telemedicine_exceptions",
)
SECOND_PRESCRIBER_MISSING: Final = declare(
    "prescribing.second_prescriber_missing",
    Severity.STOP,
    "DOMAIN 4",
    "Above {value} mg per session a second prescriber must agree.",
    setting="prescribing.second_prescriber_over_mg",
)
SUICIDE_RISK_OPEN: Final = declare(
    "prescribing.suicide_risk_open",
    Severity.STOP,
    "DOMAIN 2.2",
    "A high suicide risk is open; a named prescriber must clear it before anything is prescribed.",
    fixed=_YES_OR_NO,
)
EPISODE_OVER: Final = declare(
    "prescribing.episode_over",
    Severity.STOP,
    "DOMAIN 4",
    "The treatment was discontinued: nothing is prescribed any more.",
    fixed="a state of the episode",
)
ELIGIBILITY_NOT_CURRENT: Final = declare(
    "prescribing.eligibility_not_current",
    Severity.STOP,
    "DOMAIN 3",
    "The episode has no current approval by a prescriber.",
    fixed="The approval itself says how long it holds.",
)
REFILL_NOT_APPROVED: Final = declare(
    "prescribing.refill_request_not_approved",
    Severity.STOP,
    "DOMAIN 4",
    "The refill request that this answers is not one of this episode which a prescriber approved.",
    fixed="An approval is there or it is not.",
)
PRESCRIBER_NOT_ON_TEAM: Final = declare(
    "prescribing.prescriber_not_on_team",
    Severity.STOP,
    "21 CFR 1306.05",
    "The named prescriber must be an active prescriber of the episode's medical team.",
    fixed=_YES_OR_NO,
)
ONE_PATIENT_AT_A_TIME: Final = declare(
    "prescribing.one_patient_at_a_time",
    Severity.STOP,
    "21 CFR 1311.140",
    "One two-factor act signs the prescriptions of one patient only.",
    fixed=_THE_LAW,
)
SIGNATURE_NOT_VALID: Final = declare(
    "prescribing.signature_not_valid",
    Severity.STOP,
    "21 CFR 1311",
    "This prescription was altered after it was signed. It is cancelled; nothing may be filled or shipped.",
    fixed=_THE_LAW,
)
NO_SIGNING_ACCESS: Final = declare(
    "prescribing.no_signing_access",
    Severity.STOP,
    "21 CFR 1311.125",
    "Two people have to give the prescriber access to signing first: one nominates, a DEA registrant approves.",
    fixed=_THE_LAW,
)
OUTSIDE_ISSUE_IN_FUTURE: Final = declare(
    "prescribing.outside_issue_in_future",
    Severity.STOP,
    REQUIRED_FIELDS_SOURCE,
    "A prescription signed elsewhere is recorded after its date of issue.",
    fixed=_THE_LAW,
)
OUTSIDE_ISSUE_OVER: Final = declare(
    "prescribing.outside_issue_over",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "Nothing can be filled any more on a prescription of that date.",
    setting="prescribing.months_to_fill",
)
FOLLOW_UP_MISSING: Final = declare(
    "prescribing.follow_up_missing",
    Severity.STOP,
    "DOMAIN 4",
    "After the first supply a prescriber speaks with the patient, when {value} sessions were held or "
    "{prescribing.follow_up_after_days} days went by, before more is prescribed or handed out.",
    setting="prescribing.follow_up_after_sessions",
)
PRESCRIBER_MISSING: Final = declare(
    "prescribing.prescriber_missing",
    Severity.STOP,
    "21 CFR 1306.05",
    "Name the prescriber who is to sign: the episode has none yet.",
    fixed="a prescription names who signs it",
)
REPLACES_OTHER_EPISODE: Final = declare(
    "prescribing.replaces_other_episode",
    Severity.STOP,
    "DOMAIN 5",
    "Only a prescription of the same episode can be replaced.",
    fixed="whose treatment it is",
)
NOTHING_TO_CHANGE: Final = declare(
    "prescribing.nothing_to_change",
    Severity.STOP,
    "DOMAIN 5",
    "Give at least one field to change.",
    fixed="a change changes something",
)
SECOND_IS_FIRST: Final = declare(
    "prescribing.second_prescriber_is_first",
    Severity.STOP,
    "DOMAIN 4",
    "The second prescriber must be somebody else.",
    fixed="two are two people",
)
NAMED_PRESCRIBER_ONLY: Final = declare(
    "prescribing.named_prescriber_only",
    Severity.STOP,
    "21 CFR 1306.05, 21 CFR 1311.140",
    "Only the named prescriber may do this.",
    fixed="The law leaves nothing to set.",
)
REASON_NEEDED: Final = declare(
    "prescribing.reason_needed",
    Severity.STOP,
    "DOMAIN 5",
    "A written reason is needed.",
    fixed="a text is there or it is not",
)
REASON_MISSING: Final = declare(
    "prescribing.reason_missing",
    Severity.STOP,
    "DOMAIN 4",
    "The named prescriber must record a decision with a reason for each of these findings.",
    fixed="a text is there or it is not",
)
CONTACT_IN_THE_FUTURE: Final = declare(
    "refills.contact_in_the_future",
    Severity.STOP,
    "DOMAIN 4",
    "A contact cannot lie in the future.",
    fixed="the clock",
)
SECURITY_REVIEWED: Final = declare(
    "prescribing.security_reviewed",
    Severity.STOP,
    "21 CFR 1311.150",
    "Somebody has reviewed these events already.",
    fixed="a review is made once",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningFacts:
    """What is known on the day of signing. Days are calendar days where the patient is; states USPS codes.

    ``session_mg`` is dose and booster, ``second_over_mg`` names the setting above which a second prescriber agrees.
    ``pdmp_checked_on`` is the day of the latest check, ``pdmp_states`` where it asked. ``telemedicine_exception`` is
    one of the names under ``prescribing.telemedicine_exceptions``. ``risk_blocked`` is an open high suicide risk that
    no named prescriber has cleared, ``may_sign`` the access that two people gave the prescriber.
    """

    signed_on: date
    issued_on: date
    patient_state: str
    session_mg: int
    second_over_mg: str = "prescribing.second_prescriber_over_mg"
    second_prescriber_agreed: bool = False
    pdmp_checked_on: date | None = None
    pdmp_states: frozenset[str] = frozenset()
    in_person_evaluated_on: date | None = None
    telemedicine_exception: str | None = None
    risk_blocked: bool = False
    may_sign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpFacts:
    """What the follow-up gate asks about one route; all times aware.

    ``taken_at`` are the dosing sessions held, in order; ``first_signed_at`` is when the first supply was signed, None
    before there was one. ``followed_up_at`` is the latest contact of a prescriber. ``replaces_sessions`` is the supply
    of a prescription that makes up for no more than was lost of another one, None for any other.
    """

    at: datetime
    first_signed_at: datetime | None
    taken_at: tuple[datetime, ...] = ()
    followed_up_at: datetime | None = None
    replaces_sessions: int | None = None


def signing_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """What keeps a prescription from being signed on that day; empty when nothing does."""
    return [
        *([] if facts.may_sign else [NO_SIGNING_ACCESS.finding(may_sign=False)]),
        *issue_date_findings(facts),
        *pdmp_findings(facts.pdmp_checked_on, facts.pdmp_states, facts.patient_state, facts.signed_on, programme),
        *telemedicine_findings(facts, programme),
        *second_prescriber_findings(facts, programme),
        *risk_findings(facts),
    ]


def issue_date_findings(facts: SigningFacts) -> list[Finding]:
    """The date of issue is the date signed."""
    if facts.issued_on == facts.signed_on:
        return []
    days: dict[str, Any] = {"issued_on": facts.issued_on.isoformat(), "signed_on": facts.signed_on.isoformat()}
    return [ISSUE_DATE_NOT_SIGNING_DATE.finding(**days)]


def pdmp_findings(
    checked_on: date | None, states: frozenset[str], patient_state: str, on: date, programme: Programme
) -> list[Finding]:
    """Whether the prescription drug monitoring programme was asked recently enough, and in the patient's state."""
    if checked_on is None:
        return [PDMP_MISSING.finding(programme, checked_on=None)]
    age_days = (on - checked_on).days
    if age_days < 0:
        return [PDMP_IN_FUTURE.finding(programme, age_days=age_days)]
    if age_days > programme.whole("prescribing.pdmp_valid_days"):
        return [PDMP_TOO_OLD.finding(programme, age_days=age_days)]
    if patient_state in states:
        return []
    return [PDMP_OTHER_STATES.finding(patient_state=patient_state, asked_in=sorted(states))]


def telemedicine_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """After the flexibilities end, an in-person evaluation or a named exception must be on record."""
    setting = "prescribing.telemedicine_flexibility_end"
    try:
        last_day = date.fromisoformat(programme.text(setting))
    except ValueError:
        raise InvalidConfiguration(f"The setting '{setting}' must be a day such as 2026-12-31.") from None
    seen_in_person = facts.in_person_evaluated_on is not None and facts.in_person_evaluated_on <= facts.signed_on
    excepted = facts.telemedicine_exception in programme.choices("prescribing.telemedicine_exceptions")
    if facts.signed_on <= last_day or seen_in_person or excepted:
        return []
    seen_on = None if facts.in_person_evaluated_on is None else facts.in_person_evaluated_on.isoformat()
    exception = facts.telemedicine_exception
    return [
        NO_IN_PERSON_EVALUATION.finding(
            programme,
            signed_on=facts.signed_on.isoformat(),
            in_person_evaluated_on=seen_on,
            telemedicine_exception=exception,
        )
    ]


def exception_findings(exception: str | None, programme: Programme) -> list[Finding]:
    """Whether an exception from telemedicine's limits is one that the law names."""
    if exception is None or exception in programme.choices("prescribing.telemedicine_exceptions"):
        return []
    return [TELEMEDICINE_EXCEPTION_UNKNOWN.finding(programme, telemedicine_exception=exception)]


def second_prescriber_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """Very high doses need a second prescriber's agreement."""
    setting = facts.second_over_mg
    if facts.session_mg <= programme.number(setting) or facts.second_prescriber_agreed:
        return []
    return [SECOND_PRESCRIBER_MISSING.finding(programme, setting=setting, session_mg=facts.session_mg)]


def risk_findings(facts: SigningFacts) -> list[Finding]:
    """An open high suicide risk blocks prescribing until a named prescriber clears it."""
    return [SUICIDE_RISK_OPEN.finding(risk_blocked=True)] if facts.risk_blocked else []


def outside_findings(issued_on: date, on: date, programme: Programme) -> list[Finding]:
    """Why a prescription issued elsewhere on a day cannot be recorded on another."""
    days: dict[str, Any] = {"issued_on": issued_on.isoformat(), "on": on.isoformat()}
    if issued_on > on:
        return [OUTSIDE_ISSUE_IN_FUTURE.finding(**days)]
    last_day = last_fill_day(issued_on, programme)
    return [OUTSIDE_ISSUE_OVER.finding(programme, last_day=last_day.isoformat(), **days)] if on > last_day else []


def follow_up_findings(facts: FollowUpFacts, programme: Programme) -> list[Finding]:
    """Whether a prescriber followed up on the first supply (DOMAIN 4: at 30 days or 2 sessions) before there is more.

    The earlier of the two opens the gate, and the contact counts from then on. Before either came about any contact
    since the first signature will do: whoever asks early still needs one. What makes up for something lost within the
    size of a first supply is not more.
    """
    if facts.first_signed_at is None:
        return []
    made_up = facts.replaces_sessions
    if made_up is not None and made_up <= programme.number("prescribing.first_supply_sessions"):
        return []
    by_time = facts.first_signed_at + timedelta(days=programme.number("prescribing.follow_up_after_days"))
    by_sessions = facts.taken_at[programme.whole("prescribing.follow_up_after_sessions") - 1 :]
    since = min((moment for moment in (by_time, *by_sessions) if moment <= facts.at), default=facts.first_signed_at)
    if facts.followed_up_at is not None and facts.followed_up_at >= since:
        return []
    return [FOLLOW_UP_MISSING.finding(programme, since=since.isoformat())]
