"""May a dosing session begin: consent, receipt, chaperone, fasting, safeguards of a remote session (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import in_hours, in_minutes
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.sessions.places import Site

_YES_OR_NO: Final = "a yes or no"


def _condition(rule_id: str, sentence: str, source: str = "DOMAIN 4") -> Rule:
    """A condition that is met or not; there is no number in it."""
    return declare(rule_id, Severity.STOP, source, sentence, fixed=_YES_OR_NO)


RECEIPT_MISSING: Final = _condition(
    "sessions.receipt_missing", "The patient has not confirmed receipt, count and seal.", "DOMAIN 4, DOMAIN 8"
)
CONSENT_MISSING: Final = _condition("sessions.consent_missing", "There is no consent to the treatment.")
TRAINING_MISSING: Final = _condition(
    "sessions.training_missing", "No KAP training of the therapist is on record.", "DOMAIN 1"
)
SUICIDE_RISK_OPEN: Final = _condition(
    "sessions.suicide_risk_open", "A high suicide risk is open; a prescriber must clear it.", "DOMAIN 2.2"
)
ELIGIBILITY_NOT_CURRENT: Final = declare(
    "sessions.eligibility_not_current",
    Severity.STOP,
    "DOMAIN 3",
    "The episode has no current approval by a prescriber.",
    setting="eligibility.valid_days",
)
PRESCRIPTION_MISSING: Final = _condition(
    "sessions.prescription_missing", "There is no signed prescription in force for this patient."
)
TREATMENT_ENDED: Final = declare(
    "sessions.treatment_ended",
    Severity.STOP,
    "DOMAIN 4",
    "The treatment was discontinued: nothing is taken any more.",
    fixed="a state of the episode",
)
NOT_ITS_TIME: Final = declare(
    "sessions.not_its_time",
    Severity.STOP,
    "DOMAIN 4",
    "The session is booked for another time; move it first.",
    setting="sessions.start_window_hours",
)
READINESS_OLD: Final = declare(
    "sessions.readiness_old",
    Severity.STOP,
    "DOMAIN 4",
    "Readiness was recorded too long ago; record it anew.",
    setting="sessions.readiness_valid_hours",
)
CHAPERONE_MISSING: Final = declare(
    "sessions.chaperone_missing",
    Severity.STOP,
    "DOMAIN 3.1, DOMAIN 4",
    "There is no chaperone; without one there is no session.",
    setting="sessions.chaperone_sites",
)
STAFF_MISSING: Final = declare(
    "sessions.staff_missing",
    Severity.STOP,
    "DOMAIN 4",
    "Without a chaperone somebody of the staff stays with the patient all the time.",
    setting="sessions.chaperone_sites",
)
CHAPERONE_LATE: Final = declare(
    "sessions.chaperone_late",
    Severity.STOP,
    "DOMAIN 4",
    "The chaperone arrives {value} minutes before the medicine is taken; wait.",
    setting="sessions.chaperone_arrives_before_minutes",
)
CHAPERONE_UNNAMED: Final = _condition("sessions.chaperone_unnamed", "The chaperone's name is not on record.")
CHAPERONE_PHONE_MISSING: Final = _condition(
    "sessions.chaperone_phone_missing", "The chaperone's phone was not exchanged."
)
CHAPERONE_ABSENT: Final = _condition("sessions.chaperone_absent", "The chaperone is not present.")
CHAPERONE_NOT_SOBER: Final = _condition("sessions.chaperone_not_sober", "Nobody attested that the chaperone is sober.")
CHAPERONE_TOO_YOUNG: Final = declare(
    "sessions.chaperone_too_young",
    Severity.STOP,
    "DOMAIN 4",
    "The chaperone must be {value} or older.",
    setting="sessions.chaperone_age_least",
)
FASTING_FOOD: Final = declare(
    "sessions.fasting_food",
    Severity.STOP,
    "DOMAIN 4",
    "No food for {value} h before the dose; ask when the last was, or wait.",
    setting="sessions.fasting_food_hours",
)
FASTING_WATER: Final = declare(
    "sessions.fasting_water",
    Severity.STOP,
    "DOMAIN 4",
    "No water for {value} h before the dose; ask when the last was, or wait.",
    setting="sessions.fasting_water_hours",
)
REMOTE_VIDEO_MISSING: Final = _condition("sessions.remote_video_missing", "The therapist is not on video.")
REMOTE_CUFF_MISSING: Final = _condition("sessions.remote_cuff_missing", "There is no blood-pressure cuff.")
REMOTE_ADDRESS_MISSING: Final = _condition("sessions.remote_address_missing", "Confirm the address for an emergency.")
REMOTE_PHONE_MISSING: Final = _condition("sessions.remote_phone_missing", "Confirm the phone for an emergency.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaperoneFacts:
    """The sober adult who stays with the patient. ``sober_attested`` is the chaperone's or therapist's word for it.

    ``arrived_at`` (aware) is ``None`` when nobody said.
    """

    named: bool
    age_years: int | None
    phone_exchanged: bool
    present: bool
    sober_attested: bool
    arrived_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFacts:
    """What a session without the therapist in the room needs as well."""

    therapist_on_video: bool
    blood_pressure_cuff: bool
    emergency_address_confirmed: bool
    emergency_phone_confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessFacts:
    """What is known when a dosing session is about to begin at ``at``.

    ``receipt_confirmed`` is true where nothing is shipped. ``chaperone`` is ``None`` while there is none, ``remote``
    when everybody is in the room. Times of the last food and water are aware, ``None`` when nobody asked.
    ``risk_blocked`` is an open high suicide risk, ``therapist_trained`` KAP training on record. ``given_by_clinic``: it
    is the clinic that gives what is taken, nothing was shipped. ``staff_stays`` counts where no chaperone is needed.
    """

    at: datetime
    site: Site
    receipt_confirmed: bool
    treatment_consent: bool
    chaperone: ChaperoneFacts | None
    last_food_at: datetime | None
    last_water_at: datetime | None
    staff_stays: bool = False
    given_by_clinic: bool = False
    remote: RemoteFacts | None = None
    risk_blocked: bool = False
    therapist_trained: bool = True


_CONDITIONS: Final = {
    RECEIPT_MISSING: ("receipt_confirmed", True),
    CONSENT_MISSING: ("treatment_consent", True),
    TRAINING_MISSING: ("therapist_trained", True),
    SUICIDE_RISK_OPEN: ("risk_blocked", False),
}
_OF_CHAPERONE: Final = {
    CHAPERONE_UNNAMED: ("named", True),
    CHAPERONE_PHONE_MISSING: ("phone_exchanged", True),
    CHAPERONE_ABSENT: ("present", True),
    CHAPERONE_NOT_SOBER: ("sober_attested", True),
}
_OF_REMOTE: Final = {
    REMOTE_VIDEO_MISSING: ("therapist_on_video", True),
    REMOTE_CUFF_MISSING: ("blood_pressure_cuff", True),
    REMOTE_ADDRESS_MISSING: ("emergency_address_confirmed", True),
    REMOTE_PHONE_MISSING: ("emergency_phone_confirmed", True),
}


def readiness_findings(facts: ReadinessFacts, programme: Programme) -> list[Finding]:
    """Each condition for starting that is not met, as a stop; empty when vitals may be taken."""
    return [
        *_unmet(facts, _CONDITIONS),
        *_company_findings(facts, programme),
        *_fasting_findings(FASTING_FOOD, facts.last_food_at, facts.at, programme),
        *_fasting_findings(FASTING_WATER, facts.last_water_at, facts.at, programme),
        *(_unmet(facts.remote, _OF_REMOTE) if facts.remote is not None else ()),
    ]


def _company_findings(facts: ReadinessFacts, programme: Programme) -> list[Finding]:
    """Nobody is alone with what was taken: a chaperone is there, or the staff of a clinic for what the clinic gives."""
    if facts.given_by_clinic and facts.site.value not in programme.choices("sessions.chaperone_sites"):
        site = facts.site.value
        return [] if facts.staff_stays else [STAFF_MISSING.finding(programme, site=site, staff_stays=False)]
    if facts.chaperone is None:
        return [CHAPERONE_MISSING.finding(programme, site=facts.site.value, chaperone=None)]
    return _chaperone_findings(facts.chaperone, facts.at, programme)


def _chaperone_findings(chaperone: ChaperoneFacts, at: datetime, programme: Programme) -> list[Finding]:
    findings = _unmet(chaperone, _OF_CHAPERONE)
    least = programme.whole("sessions.chaperone_age_least")
    if chaperone.age_years is None or chaperone.age_years < least:
        findings.append(CHAPERONE_TOO_YOUNG.finding(programme, age_years=chaperone.age_years))
    early = timedelta(minutes=programme.number("sessions.chaperone_arrives_before_minutes"))
    if chaperone.present and (chaperone.arrived_at is None or at - chaperone.arrived_at < early):
        here = None if chaperone.arrived_at is None else in_minutes(at - chaperone.arrived_at)
        findings.append(CHAPERONE_LATE.finding(programme, here_for_minutes=here))
    return findings


def _fasting_findings(rule: Rule, last_at: datetime | None, at: datetime, programme: Programme) -> list[Finding]:
    if last_at is not None and at - last_at >= timedelta(hours=programme.number(str(rule.setting))):
        return []
    return [rule.finding(programme, hours_since=None if last_at is None else in_hours(at - last_at))]


def _unmet(facts: object, conditions: Mapping[Rule, tuple[str, bool]]) -> list[Finding]:
    """A finding for each of ``facts`` that is not what its rule wants it to be."""
    found = ((rule, name, getattr(facts, name), wanted) for rule, (name, wanted) in conditions.items())
    return [rule.finding(**{name: value}) for rule, name, value, wanted in found if value is not wanted]


def window_findings(starts_at: datetime, now: datetime, programme: Programme) -> list[Finding]:
    """A session begins about when it was booked: its cadence, its reminder and its chaperone were arranged for then."""
    if abs(now - starts_at) <= timedelta(hours=programme.number("sessions.start_window_hours")):
        return []
    return [NOT_ITS_TIME.finding(programme, hours_apart=in_hours(abs(now - starts_at)))]


def recorded_findings(ready_at: datetime | None, now: datetime, programme: Programme) -> list[Finding]:
    """Readiness that was never recorded, or too long ago for a start."""
    if ready_at is not None and now - ready_at <= timedelta(hours=programme.number("sessions.readiness_valid_hours")):
        return []
    return [READINESS_OLD.finding(programme, hours_ago=None if ready_at is None else in_hours(now - ready_at))]
