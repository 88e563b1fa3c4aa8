"""Reviews: a completed screening becomes a case, the rules speak over it, and the medical team reads what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.eligibility.facts import BloodPressure, Facts
from services.eligibility.medicine_names import unclear
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.eligibility.referrals import diagnosis_of
from services.eligibility.rules import evaluate, rule_set_version
from services.eligibility.states import ReviewState
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.organisations import organisation_of
from services.people.patients import details_of
from services.people.programmes import programme_in_force
from services.screening.answer_sheets import AnswerSheet, Part
from services.screening.history import read_history
from services.screening.models import Screening
from services.screening.screenings import ReadScreening, complete_screening, sheet_of, view_of
from services.vault.boxes import box


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """What the rules say about a case at one moment, with all that is needed to replay it. Clinical data."""

    facts: Facts
    findings: tuple[Finding, ...]
    programme_version: str
    rule_set_version: str

    def seal_into(self, session: Session, row: EligibilityReview | EligibilityDecision) -> None:
        """Store the evaluation in ``row``, its clinical parts sealed."""
        own = box(session, row.patient_id)
        own.seal(row, "inputs", self.facts.as_dict())
        own.seal(row, "inputs_hash", self.facts.digest())
        own.seal(row, "findings", [finding.as_dict() for finding in self.findings])
        row.programme_version, row.rule_set_version = self.programme_version, self.rule_set_version


@dataclass(frozen=True, slots=True, repr=False)
class ReadReview:
    """A review as far as its reader may see it.

    The medical team sees findings and reasons. The therapist needs the outcome and the overall reason to go on caring
    for the client, not the medical history behind it: ``findings`` and ``reasons`` are None (45 CFR 164.502(b)).
    """

    review: EligibilityReview
    findings: tuple[Finding, ...] | None
    decision: EligibilityDecision | None
    reason: Personal[str | None]
    reasons: Personal[dict[str, Any]] | None


def submit_screening(
    session: Session, actor: Actor, screening_id: UUID, *, version: int | None = None
) -> ReadScreening:
    """Complete a screening and let the eligibility rules speak over it; the medical team gets the review.

    Raises ``RuleRefused`` with a finding for each thing that is missing, ``StaleVersion``, ``IllegalTransition``.
    """
    screening = complete_screening(session, actor, screening_id, version=version)
    episode = session.get_one(Episode, screening.episode_id)
    evaluation = evaluate_case(session, episode, screening)
    review = EligibilityReview(
        id=new_id(),
        patient_id=screening.patient_id,
        episode_id=screening.episode_id,
        screening_id=screening.id,
        state=ReviewState.REQUESTED,
        evaluated_at=clock.now(),
    )
    evaluation.seal_into(session, review)
    session.add(review)
    session.flush()
    record(
        session,
        actor,
        "eligibility.evaluate",
        "eligibility_review",
        review.id,
        episode_id=episode.id,
        programme=evaluation.programme_version,
        rules=evaluation.rule_set_version,
    )
    return view_of(session, actor, screening)


def evaluate_case(session: Session, episode: Episode, screening: Screening) -> Evaluation:
    """Let today's rules speak over today's facts of a case. The caller has settled who may know.

    The programme is the one in force today: the decision is made under it and pins the episode to it.
    """
    programme = programme_in_force(session, episode)
    facts = _facts(session, episode, sheet_of(session, screening), programme)
    return Evaluation(facts, tuple(evaluate(facts, programme)), programme.version, rule_set_version())


def _facts(session: Session, episode: Episode, sheet: AnswerSheet, programme: Programme) -> Facts:
    patient = details_of(session, episode.patient_id)
    statements = sheet.values.get(Part.STATEMENTS, {})
    medicines = sheet.values.get(Part.MEDICINES)
    return Facts(
        on=clock.now().astimezone(sheet.zone).date(),
        birth_date=patient.birth_date.reveal(),
        state=patient.address.reveal().state,
        states_of_operation=frozenset(organisation_of(session, episode.medical_team_id).states_of_operation),
        diagnosis=diagnosis_of(session, episode.id),
        has_therapist=episode.therapist_id is not None,
        # Whoever comes without one is matched with one, where the programme does so.
        will_have_therapist=True if episode.therapist_id is None and programme.value("matching.offered") else None,
        blood_pressures=tuple(_pressure(reading) for reading in sheet.values.get(Part.BLOOD_PRESSURES, ())),
        history=read_history(sheet.values.get(Part.HISTORY, {})),
        contraception_stated=statements.get("contraception_stated"),
        remission_months=statements.get("remission_months"),
        medicines=None if medicines is None else tuple(medicines),
        phq9=sheet.score(Part.PHQ9).total,
        gad7=sheet.score(Part.GAD7).total,
        cssrs=sheet.cssrs_level(),
        dast10=sheet.score(Part.DAST10).total,
        audit_c_positive=sheet.result(Part.AUDIT_C, programme).positive,
        mdq_positive=sheet.result(Part.MDQ, programme).positive,
    )


def medicines_of(session: Session, episode_id: UUID) -> Personal[tuple[str, ...] | None]:
    """The medicines of the newest completed screening, as the patient gave them, for ``holds.holds``.

    None when no screening was completed or the question was left out. The caller has settled who may know.
    """
    try:
        review = latest_review(session, episode_id)
    except NotFound:
        return Personal(None)
    given = box(session, review.patient_id).open(review, "inputs").reveal()["medicines"]
    return Personal(None if given is None else tuple(given))


def unclear_medicines(session: Session, found: ReadScreening) -> list[tuple[str, tuple[str, ...]]]:
    """Each medicine of a screening whose name may be misspelt, with what to ask: "did you mean …?".

    Empty for a reader who does not see the answers.
    """
    names = None if found.sheet is None else found.sheet.values.get(Part.MEDICINES)
    if not names:
        return []
    episode = session.get_one(Episode, found.screening.episode_id)
    return unclear(names, programme_in_force(session, episode))


def _pressure(reading: dict[str, Any]) -> BloodPressure:
    return BloodPressure(reading["systolic"], reading["diastolic"], datetime.fromisoformat(reading["taken_at"]))


def latest_review(session: Session, episode_id: UUID) -> EligibilityReview:
    """The newest review of an episode. Raises ``NotFound`` before the first screening is completed."""
    query = select(EligibilityReview).where(EligibilityReview.episode_id == episode_id)
    newest = query.order_by(EligibilityReview.evaluated_at.desc(), EligibilityReview.id.desc()).limit(1)
    review = session.scalar(newest)
    if review is None:
        raise NotFound("There is nothing to review yet: the screening is not completed.")
    return review


def read_review(session: Session, actor: Actor, episode_id: UUID) -> ReadReview:
    """The newest review of an episode; an audited read. Raises as ``authorize`` does, and ``NotFound`` without one.

    While it waits for a decision the findings are those of this moment, which the decision will be held against; once
    decided they are those it was made on.
    """
    episode = visible_episode(session, actor, Action.READ_ELIGIBILITY, episode_id)
    review = latest_review(session, episode.id)
    record(session, actor, "eligibility.read", "eligibility_review", review.id, episode_id=episode.id)
    return opened(session, actor, review)


def opened(session: Session, actor: Actor, review: EligibilityReview) -> ReadReview:
    """A review with as much of its content as ``actor`` may see, who may see that it exists."""
    decision = decision_on(session, review.id)
    is_medical = actor.role in (Role.PRESCRIBER, Role.MEDICAL_STAFF)
    reasons: Personal[dict[str, Any]] = Personal({})
    if decision is not None:
        reasons = box(session, decision.patient_id).open(decision, "reasons")
    return ReadReview(
        review=review,
        findings=_findings(session, review, decision) if is_medical else None,
        decision=decision,
        reason=Personal(reasons.reveal().get("reason")),
        reasons=reasons if is_medical else None,
    )


def decision_on(session: Session, review_id: UUID) -> EligibilityDecision | None:
    """The decision on a review, if it was made."""
    return session.scalar(select(EligibilityDecision).where(EligibilityDecision.review_id == review_id))


def _findings(session: Session, review: EligibilityReview, decision: EligibilityDecision | None) -> tuple[Finding, ...]:
    if review.state == ReviewState.REQUESTED:
        episode = session.get_one(Episode, review.episode_id)
        return evaluate_case(session, episode, session.get_one(Screening, review.screening_id)).findings
    source = review if decision is None else decision
    stored: list[dict[str, Any]] = box(session, source.patient_id).open(source, "findings").reveal()
    return tuple(Finding.from_dict(each) for each in stored)


def without_inputs(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings as a refusal may name them: the inputs are clinical data and stay out of problem documents."""
    return tuple(replace(finding, inputs={}) for finding in findings)
