"""The facts behind a refill request, gathered from the whole record, and what the gate makes of them (DOMAIN 4).

The rules are in ``rules.py``; what stands here only looks things up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor
from services.core.errors import RuleRefused
from services.core.findings import Finding
from services.eligibility.decisions import approved_at, approved_until
from services.eligibility.reviews import without_inputs
from services.outcomes.reports import scales_taken_on
from services.outcomes.responses import owes_response_decision
from services.people.access import Action
from services.people.models import Episode
from services.people.paper_rules import valid_on
from services.people.programmes import programme_of
from services.people.signing_grants import papers_of
from services.people.states import EpisodeState
from services.people.zones import read_zone
from services.prescribing.cases import Case, visible_case
from services.prescribing.contacts import last_contact_at
from services.prescribing.contents import Content, content_of
from services.prescribing.doses import course_of
from services.prescribing.fill_rules import FillFacts, PrescriptionFacts
from services.prescribing.follow_ups import follow_up_on
from services.prescribing.models import Fill, Prescription
from services.prescribing.pdmp_checks import latest_check
from services.prescribing.routes import Supplied
from services.prescribing.states import VALID, PrescriptionState
from services.prescribing.supplies import supply_of
from services.refills.models import RefillAct, RefillRequest
from services.refills.rules import (
    COUNT_MISSING,
    EARLIEST_DATE,
    FILL_OUTSTANDING,
    NOTHING_HANDED_OUT,
    RefillFacts,
    SessionRecord,
    earliest_date,
    evaluate,
)
from services.screening.risk import has_flags
from services.sessions.adverse_events import has_open_adverse_events, open_high_adverse_events
from services.sessions.histories import held_dosing_sessions
from services.sessions.ledgers import Ledger, ledger
from services.sessions.rounds import is_round_full
from services.sessions.rules import interval_days
from services.shipping.diversions import has_review
from services.vault.boxes import Box

IN_CARE = frozenset({EpisodeState.ELIGIBLE, EpisodeState.IN_TREATMENT, EpisodeState.IN_MAINTENANCE})


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """What the gate says at one moment, with all that is needed to replay it. Clinical data: ``repr`` shows nothing.

    ``facts`` is None while nothing was ever handed out. ``findings`` names each unmet condition, ``earliest_on`` the
    first day without them (None while nobody can say). ``prescription`` and ``fills`` are those that a next fill would
    be handed out on, as ``rules.decide_supply`` reads them; ``prescription_id`` is its id.
    """

    facts: RefillFacts | None
    findings: tuple[Finding, ...]
    earliest_on: date | None
    programme_version: str
    prescription_id: UUID | None
    prescription: PrescriptionFacts | None
    fills: Sequence[FillFacts]

    @property
    def is_met(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.findings

    def refuse_unmet(self, sentence: str) -> None:
        """Raise ``RuleRefused`` with every unmet condition and the earliest day, if there is one."""
        if self.is_met:
            return
        when = "Nobody can say yet when it can pass."
        findings = list(without_inputs(self.findings))
        if self.earliest_on is not None:
            day = self.earliest_on.isoformat()
            earliest = replace(EARLIEST_DATE.finding(says={"day": day}), value=day)
            when = earliest.sentence
            findings.append(earliest)
        raise RuleRefused(f"{sentence} 'findings' names each condition that is not met. {when}", findings)

    def facts_as_dict(self) -> dict[str, Any] | None:
        """The facts as plain JSON types, for storing sealed and for answering the API."""
        if self.facts is None:
            return None
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self.facts), default=str))
        return plain

    def seal_into(self, own: Box, row: RefillRequest | RefillAct) -> None:
        """Keep the evaluation in ``row``, its clinical parts sealed."""
        facts = self.facts_as_dict()
        own.seal(row, "facts", facts)
        own.seal(row, "inputs_hash", hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest())
        own.seal(row, "findings", [finding.as_dict() for finding in self.findings])
        row.programme_version = self.programme_version


def findings_from(stored: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """The findings that ``Gate.seal_into`` kept."""
    return tuple(Finding.from_dict(each) for each in stored)


def facts_from(stored: Mapping[str, Any]) -> RefillFacts:
    """The facts that ``Gate.seal_into`` kept. Raises ``TypeError`` when they lack what the rules ask for today."""
    given = dict(stored)
    for each in fields(RefillFacts):
        if each.type in ("date", "date | None") and given.get(each.name) is not None:
            given[each.name] = date.fromisoformat(given[each.name])
    given["scales_on"] = {
        scale: None if day is None else date.fromisoformat(day) for scale, day in stored["scales_on"].items()
    }
    given["sessions"] = tuple(
        SessionRecord(**{**held, "held_on": date.fromisoformat(held["held_on"])}) for held in stored["sessions"]
    )
    return RefillFacts(**given)


def read_gate(session: Session, actor: Actor, episode_id: UUID) -> Gate:
    """The gate as it stands now, without asking, for therapist and medical team; an audited read."""
    case = visible_case(session, actor, Action.READ_REFILL, episode_id)
    record(session, actor, "refill_gate.read", "episode", case.episode.id, episode_id=case.episode.id)
    return evaluate_gate(session, case, prescriber_id=case.episode.prescriber_id)


def evaluate_gate(session: Session, case: Case, *, prescriber_id: UUID | None, recount_needed: bool = True) -> Gate:
    """Let today's rules speak over today's facts. The caller has settled who may know.

    ``prescriber_id`` is whose papers count: the episode's prescriber for asking, the one who decides for approving. A
    count from before the last dose does when ``recount_needed`` is False: then what was taken since is reckoned off.
    """
    programme = programme_of(session, case.episode)
    stock = ledger(session, case.episode.id)
    supply = _supply(session, case)
    if supply.content is None or stock.balance.dispensed <= 0:
        nothing = NOTHING_HANDED_OUT.finding(dispensed_units=float(stock.balance.dispensed))
        return Gate(None, (nothing,), None, programme.version, None, None, ())
    standing = session.execute(_STANDING, {"episode": case.episode.id}).one()
    facts = _facts(session, case, prescriber_id, supply.content, stock, standing)
    course = course_of(session, case.episode.id, case.box, supply.content.route)
    findings = [
        *evaluate(facts, programme),
        *supply.findings,
        *follow_up_on(session, case, course, standing.contact_at),
    ]
    if recount_needed and stock.remaining_reported is None:
        findings.append(COUNT_MISSING.finding(expected_units=stock.remaining_expected))
    return Gate(
        facts=facts,
        findings=tuple(findings),
        earliest_on=earliest_date(facts, programme),
        programme_version=programme.version,
        prescription_id=None if supply.current is None else supply.current.id,
        prescription=supply.prescription,
        fills=supply.fills,
    )


@dataclass(frozen=True, slots=True, repr=False)
class _Supply:
    """What the patient has it from: ``content`` of what was handed out last, and the prescription still in force.

    ``findings`` says so while an authorized fill is still to be handed out.
    """

    content: Content | None
    current: Prescription | None
    prescription: PrescriptionFacts | None
    fills: tuple[FillFacts, ...]
    findings: tuple[Finding, ...] = ()


def _supply(session: Session, case: Case) -> _Supply:
    received = session.scalar(_LAST_RECEIVED, {"episode": case.episode.id})
    content = None if received is None else content_of(case.box, received)
    current = session.scalar(_IN_FORCE, {"episode": case.episode.id})
    if current is None or current.issued_on is None:
        return _Supply(content, None, None, ())
    supply = supply_of(session, case.box, current)
    started, authorized = supply.fills_started, supply.fills_authorized
    is_outstanding = current.state == PrescriptionState.SIGNED or supply.next_is_authorized
    outstanding = FILL_OUTSTANDING.finding(fills_started=started, fills_authorized=authorized)
    fills = tuple(supply.handed_out)
    return _Supply(content, current, supply.prescribed, fills, (outstanding,) if is_outstanding else ())


_LAST_RECEIVED: Final = (
    select(Prescription)
    .join(Fill, Fill.prescription_id == Prescription.id)
    .where(Fill.episode_id == bindparam("episode"), Fill.undelivered_at.is_(None))
    .order_by(Fill.id.desc())
    .limit(1)
)
_IN_FORCE: Final = (
    select(Prescription)
    .where(
        Prescription.episode_id == bindparam("episode"),
        Prescription.state.in_(sorted(VALID)),
        Prescription.supplied == Supplied.SHIPPED,  # what the clinic gives is never refilled
    )
    .order_by(Prescription.signed_at.desc(), Prescription.id.desc())
    .limit(1)
)


def _facts(
    session: Session, case: Case, prescriber_id: UUID | None, content: Content, stock: Ledger, standing: Any
) -> RefillFacts:
    episode, today = case.episode, case.today
    remaining = stock.remaining_expected if stock.remaining_reported is None else stock.remaining_reported
    papers = valid_here(session, prescriber_id, case)
    return RefillFacts(
        on=today,
        maintenance=episode.state == EpisodeState.IN_MAINTENANCE,
        eligibility_current=episode.state in IN_CARE and standing.until is not None and standing.until >= today,
        has_therapist=episode.therapist_id is not None,
        dispensed_units=float(stock.balance.dispensed - stock.balance.overdrawn),
        taken_units=float(stock.balance.taken),
        remaining_units=max(remaining, 0),
        wasted_units=float(stock.balance.wasted),
        lost_units=float(stock.balance.lost),
        returned_units=float(stock.balance.returned),
        diversion_review_open=standing.under_review,
        units_per_session=content.session_mg / content.strength_mg,
        sessions=_sessions(session, case),
        scales_on=scales_taken_on(session, episode, case.zone),
        open_high_adverse_event=standing.adverse_event and bool(open_high_adverse_events(session, episode.id)),
        risk_flag=standing.at_risk,
        # Deciding that somebody is eligible is a contact too.
        prescriber_contact_on=_latest_day(case, standing.contact_at, standing.approved_at),
        pdmp_checked_on=_pdmp_checked_on(session, case),
        licence_valid=papers.licensed,
        dea_valid=papers.registered,
        interval_days=interval_days(content.limits, programme_of(session, episode)),
        response_undecided=standing.undecided,
        round_full=is_round_full(session, case),
    )


# One query for all that is a date or a yes: the gate asks nearly every package, and each round trip costs as much as
# judging the answers.
_STANDING: Final = select(
    approved_until(Episode.id).label("until"),
    approved_at(Episode.id).label("approved_at"),
    last_contact_at(Episode.id).label("contact_at"),
    has_flags(Episode.id).label("at_risk"),
    has_open_adverse_events(Episode.id).label("adverse_event"),
    has_review(Episode.id).label("under_review"),
    owes_response_decision(Episode.id).label("undecided"),
).where(Episode.id == bindparam("episode"))


def _latest_day(case: Case, *moments: datetime | None) -> date | None:
    """The day, where the patient is, of the latest of some moments."""
    latest = max((moment for moment in moments if moment is not None), default=None)
    return None if latest is None else latest.astimezone(read_zone(case.zone)).date()


def _sessions(session: Session, case: Case) -> tuple[SessionRecord, ...]:
    zone = read_zone(case.zone)
    return tuple(
        SessionRecord(
            held_on=held.held_at.astimezone(zone).date(),
            vitals_recorded=held.vitals_recorded,
            integration_done=held.integration_done,
        )
        for held in held_dosing_sessions(session, case.episode.id)
    )


def _pdmp_checked_on(session: Session, case: Case) -> date | None:
    """The day of the newest check, if it looked in the patient's state."""
    check = latest_check(session, case.episode.id)
    return check.checked_on(case.zone) if check is not None and case.state in check.states else None


@dataclass(frozen=True, slots=True)
class ValidHere:
    """Whether somebody may practise (``licensed``), and prescribe (``registered``), in the patient's state today."""

    licensed: bool
    registered: bool


def valid_here(session: Session, account_id: UUID | None, case: Case) -> ValidHere:
    """What the papers of an account allow for a patient; nothing for nobody."""
    if account_id is None:
        return ValidHere(licensed=False, registered=False)
    papers = papers_of(session, account_id)
    return ValidHere(
        licensed=any(each.state == case.state and valid_on(each, case.today) for each in papers.licences),
        registered=any(each.state == case.state and valid_on(each, case.today) for each in papers.registrations),
    )
