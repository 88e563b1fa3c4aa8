"""What the rules say about a prescription, and the prescriber's reasons where a rule asks for a decision.

Drafting looks at the prescription alone. Marking ready and signing look at everything: papers, PDMP, eligibility, risk.
A stop refuses; a review needs a reason written by the named prescriber, who nobody can stand in for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import RuleRefused
from services.core.findings import Finding, Severity, of_severity
from services.core.programme import Programme
from services.eligibility.decisions import eligibility_current
from services.people.paper_rules import licence_findings
from services.people.programmes import programme_of
from services.people.signing_grants import may_sign, papers_of
from services.people.states import EpisodeState
from services.people.zones import read_zone
from services.prescribing.cases import Case, Questions
from services.prescribing.contents import Content
from services.prescribing.doses import History, history_of
from services.prescribing.duplicates import duplicates
from services.prescribing.follow_ups import follow_up
from services.prescribing.later_records import last_loss_at, request_approved
from services.prescribing.limits import limit_findings
from services.prescribing.models import Fill, Prescription
from services.prescribing.pdmp_checks import Check, latest_check, raises_concern
from services.prescribing.replacements import makes_up_for_losses
from services.prescribing.routes import setting_of
from services.prescribing.rules import Draft, draft_findings
from services.prescribing.signing_rules import (
    ELIGIBILITY_NOT_CURRENT,
    EPISODE_OVER,
    PDMP_BEFORE_LOSS,
    PDMP_CONCERN,
    REASON_MISSING,
    REFILL_NOT_APPROVED,
    SigningFacts,
    exception_findings,
    risk_findings,
    signing_findings,
)
from services.screening import risk
from services.vault.boxes import Box

ASK_ALL: Final = Questions()


@dataclass(frozen=True, slots=True)
class Review:
    """Findings as they stood when last looked at, and reasons by rule id: ``text``, ``by`` (account), ``at``."""

    findings: Sequence[Mapping[str, Any]]
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    programme: str = ""
    inputs_hash: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The review as plain JSON types, for sealing."""
        return {
            "findings": list(self.findings),
            "reasons": dict(self.reasons),
            "programme": self.programme,
            "inputs_hash": self.inputs_hash,
        }


def review_of(own: Box, prescription: Prescription) -> Review:
    """The review stored with a prescription."""
    return Review(**own.open(prescription, "review").reveal())


def draft_of(content: Content, case: Case, history: History) -> Draft:
    """The draft as its rules read it, dated today."""
    return Draft(
        drug=content.drug,
        form=content.form,
        route=content.route,
        strength_mg=content.strength_mg,
        quantity_units=content.quantity_units,
        sessions_supply=content.sessions_supply,
        dose_mg=content.dose_mg,
        booster_mg=content.booster_mg,
        directions=content.directions,
        refills=content.refills,
        issued_on=case.today,
        patient_state=case.state,
        is_first=history.is_first,
        first_session_dose_mg=content.first_session_dose_mg,
        last_dose_mg=history.last_dose_mg,
        weight_kg=content.weight_kg,
        home_stock_sessions=history.home_mg / max(content.session_mg, 1),
    )


def review_draft(
    session: Session,
    case: Case,
    content: Content,
    questions: Questions = ASK_ALL,
    *,
    of: UUID | None = None,
    replaces: UUID | None = None,
) -> Review:
    """The review of a new or changed draft; ``of`` and ``replaces`` as in ``duplicates``.

    Raises ``RuleRefused`` when a rule stops it; reasons come later.
    """
    programme = programme_of(session, case.episode)
    asked = questions.has_history
    history = history_of(session, case.episode.id, case.box, content.route) if asked else History(is_first=True)
    draft = draft_of(content, case, history)
    findings = _findings_of_content(draft, content, programme)
    refuse_stops(findings, "This prescription cannot be drafted as it stands.")
    if questions.has_others:
        findings += duplicates(session, case, content, of=of, replaces=replaces)
    return _reviewed(findings, {}, draft, programme)


def check_open_to_prescribing(session: Session, case: Case, questions: Questions = ASK_ALL) -> None:
    """Refuse (``RuleRefused``) an episode without current eligibility, or with a suicide risk that blocks treatment."""
    findings = _standing_findings(session, case, questions)
    refuse_stops(findings, "Nothing may be prescribed in this episode now.")


def findings_for_signing(
    session: Session,
    case: Case,
    prescription: Prescription,
    content: Content,
    *,
    ready_at: datetime | None,
    issued_outside_on: date | None = None,
) -> tuple[list[Finding], Draft]:
    """Everything the rules have to say about signing this prescription today, and the draft they judged.

    ``ready_at`` is when it was marked ready, None while that is being done. ``issued_outside_on`` is the date of issue
    of one that was signed in another system: what had to hold then is asked as of that day.
    """
    programme = programme_of(session, case.episode)
    history = history_of(session, case.episode.id, case.box, content.route)
    draft = draft_of(content, case, history)
    on = case.today if issued_outside_on is None else issued_outside_on
    check = _check_on(session, case, on)
    facts = SigningFacts(
        signed_on=on,
        issued_on=on,
        patient_state=case.state,
        session_mg=content.session_mg,
        second_over_mg=setting_of(content.route, "second_prescriber_over_mg", programme),
        second_prescriber_agreed=prescription.agreed_by is not None,
        pdmp_checked_on=check.checked_on(case.zone) if check else None,
        pdmp_states=check.states if check else frozenset(),
        in_person_evaluated_on=content.in_person_evaluated_on,
        telemedicine_exception=content.telemedicine_exception,
        may_sign=issued_outside_on is not None or may_sign(session, prescription.prescriber_id),
    )
    is_made_up = makes_up_for_losses(session, case.box, prescription, content)
    made_up = content.sessions_supply * (content.refills + 1) if is_made_up else None
    findings = [
        *_findings_of_content(draft, content, programme),
        *_standing_findings(session, case),
        *_paper_findings(session, case, prescription, on, programme),
        *signing_findings(facts, programme),
        *request_findings(session, case, prescription.refill_request_id),
        *follow_up(session, case, content.route, history=history, replaces_sessions=made_up),
        *_pdmp_findings(session, prescription, check, programme),
        *duplicates(session, case, content, of=prescription.id, replaces=prescription.replaces_id, ready_at=ready_at),
    ]
    return findings, draft


def _paper_findings(
    session: Session, case: Case, prescription: Prescription, on: date, programme: Programme
) -> list[Finding]:
    """Licence and registration on the day of issue, and today: whoever lost them puts nothing in force any more."""
    papers = papers_of(session, prescription.prescriber_id)
    then = licence_findings(case.state, on, papers.licences, papers.registrations, programme)
    if on == case.today:
        return then
    known = {each.rule for each in then}
    now = licence_findings(case.state, case.today, papers.licences, papers.registrations, programme)
    return then + [each for each in now if each.rule not in known]


def _check_on(session: Session, case: Case, on: date) -> Check | None:
    """The newest check up to a day; none being there the newest of all, which then lies in that day's future."""
    day_after = datetime.combine(on + timedelta(days=1), time(), tzinfo=read_zone(case.zone))
    return latest_check(session, case.episode.id, until=day_after) or latest_check(session, case.episode.id)


def request_findings(session: Session, case: Case, request_id: UUID | None) -> list[Finding]:
    """Whether the refill request that a prescription names was approved in this episode. It need not name one."""
    if request_id is None or request_approved(session, case.episode.id, request_id):
        return []
    return [REFILL_NOT_APPROVED.finding(refill_request_id=str(request_id))]


def _pdmp_findings(
    session: Session, prescription: Prescription, check: Check | None, programme: Programme
) -> list[Finding]:
    """What the checks themselves say, and whether one came after whatever the patient lost last."""
    if check is None:
        return []
    findings = []
    if raises_concern(session, prescription.episode_id, programme):
        findings.append(PDMP_CONCERN.finding(programme, concern=True))
    undelivered = select(func.max(Fill.undelivered_at)).where(Fill.prescription_id == prescription.replaces_id)
    losses = (last_loss_at(session, prescription.patient_id), session.scalar(undelivered))
    lost_at = max((each for each in losses if each is not None), default=None)
    if lost_at is not None and check.checked_at < lost_at:
        times: dict[str, Any] = {"checked_at": check.checked_at.isoformat(), "lost_at": lost_at.isoformat()}
        findings.append(PDMP_BEFORE_LOSS.finding(**times))
    return findings


def review_ready(
    session: Session,
    case: Case,
    prescription: Prescription,
    content: Content,
    reasons: Mapping[str, str],
    by: UUID,
) -> Review:
    """The review that goes with marking a prescription ready.

    ``reasons`` are the named prescriber's, by rule id; those given before still count. Raises ``RuleRefused`` when the
    draft itself is stopped or a review has no reason. What only stops signing (a PDMP check still to be made) is kept
    in the findings and refuses then.
    """
    programme = programme_of(session, case.episode)
    findings, draft = findings_for_signing(session, case, prescription, content, ready_at=None)
    before = review_of(case.box, prescription)
    drafted = {finding.rule for finding in _findings_of_content(draft, content, programme)}
    refuse_stops((each for each in findings if each.rule in drafted), "This prescription cannot be marked ready.")
    asked = {finding.rule for finding in of_severity(findings, Severity.REVIEW)}
    for rule in reasons.keys() - asked:
        raise RuleRefused("No review asks for this reason.", field="reasons", rule=rule)
    given = {rule: {"text": text, "by": str(by), "at": clock.now().isoformat()} for rule, text in reasons.items()}
    merged = {rule: reason for rule, reason in {**before.reasons, **given}.items() if rule in asked}
    refuse_unreasoned(findings, merged, by)
    return _reviewed(findings, merged, draft, programme)


def refuse_stops(findings: Iterable[Finding], sentence: str) -> None:
    """Raise ``RuleRefused`` with every stop among ``findings``, if there is one."""
    stops = of_severity(findings, Severity.STOP)
    if stops:
        raise RuleRefused(sentence, stops)


def refuse_unreasoned(findings: Iterable[Finding], reasons: Mapping[str, Mapping[str, str]], by: UUID) -> None:
    """Raise ``RuleRefused`` with every review among ``findings`` for which ``by`` recorded no reason."""
    open_reviews = [
        finding
        for finding in of_severity(findings, Severity.REVIEW)
        if reasons.get(finding.rule, {}).get("by") != str(by)
    ]
    if open_reviews:
        raise RuleRefused(REASON_MISSING.sentence, open_reviews, field="reasons", rule=REASON_MISSING.id)


def _findings_of_content(draft: Draft, content: Content, programme: Programme) -> list[Finding]:
    """What the rules say about the content alone."""
    return [
        *draft_findings(draft, programme),
        *limit_findings(content.limits, programme),
        *exception_findings(content.telemedicine_exception, programme),
    ]


def _standing_findings(session: Session, case: Case, questions: Questions = ASK_ALL) -> list[Finding]:
    """Eligibility and suicide risk, as they stand now."""
    findings = []
    if questions is ASK_ALL:
        is_current = eligibility_current(session, case.episode.id, case.today)
    else:
        is_current = questions.approved_until is not None and questions.approved_until >= case.today
    if not is_current:
        findings.append(ELIGIBILITY_NOT_CURRENT.finding(on=case.today.isoformat(), approved=False))
    if case.episode.state in (EpisodeState.DISCONTINUED, EpisodeState.CLOSED):
        findings.append(EPISODE_OVER.finding(state=case.episode.state))
    if questions.has_risk and risk.blocking(session, case.episode.id).blocks_treatment:
        today = case.today
        facts = SigningFacts(signed_on=today, issued_on=today, patient_state="", session_mg=0, risk_blocked=True)
        findings.extend(risk_findings(facts))
    return findings


def _reviewed(
    findings: Sequence[Finding], reasons: Mapping[str, Mapping[str, str]], draft: Draft, programme: Programme
) -> Review:
    facts = {name: getattr(draft, name) for name in Draft.__slots__}
    inputs = json.dumps(facts, sort_keys=True, default=str).encode()
    return Review(
        findings=[finding.as_dict() for finding in findings],
        reasons=dict(reasons),
        programme=programme.version,
        inputs_hash=hashlib.sha256(inputs).hexdigest(),
    )
