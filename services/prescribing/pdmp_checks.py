"""Checks of the prescription drug monitoring programme (PDMP): who looked, when, in which states, what was found.

The raw report is never stored (DOMAIN 5). A check is valid for ``prescribing.pdmp_valid_days``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import InvalidInput, RuleRefused
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.programme import Programme
from services.core.rules import Rule
from services.people.access import Action, visible_episode
from services.people.identifiers import state_code
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.prescribing.models import PdmpCheck
from services.prescribing.signing_rules import PDMP_IN_FUTURE, PDMP_TOO_OLD
from services.vault.boxes import box


class PdmpFinding(StrEnum):
    """What a check came to, in the words of whoever made it. ``concern`` asks the prescriber for a reason."""

    NOTHING_UNEXPECTED = "nothing_unexpected"
    EXPECTED_PRESCRIPTIONS = "expected_prescriptions"
    CONCERN = "concern"


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the PDMP, opened. ``states`` are USPS codes."""

    id: UUID
    episode_id: UUID
    checked_by: UUID
    checked_at: datetime
    states: frozenset[str]
    finding: PdmpFinding

    def checked_on(self, zone: str) -> date:
        """The calendar day of the check in a zone."""
        return self.checked_at.astimezone(read_zone(zone)).date()


def record_check(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    *,
    states: Collection[str],
    finding: PdmpFinding,
    checked_at: datetime | None = None,
) -> Check:
    """Put a check that the actor made on record; ``checked_at`` (aware) defaults to now.

    Raises ``InvalidInput`` on ``states``, ``RuleRefused`` on ``checked_at`` for a coming time, or one so long ago that
    the check counts for nothing any more.
    """
    episode = visible_episode(session, actor, Action.RECORD_PDMP_CHECK, episode_id)
    if not states:
        raise InvalidInput("Name at least one state.", field="states")
    codes = sorted({state_code(state, field="states") for state in states})
    now, programme = clock.now(), programme_of(session, episode)
    made_at = now if checked_at is None else checked_at
    if made_at > now:
        raise _refused(PDMP_IN_FUTURE, made_at, now, programme)
    if made_at < now - timedelta(days=programme.number("prescribing.pdmp_valid_days")):
        raise _refused(PDMP_TOO_OLD, made_at, now, programme)
    row = PdmpCheck(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        checked_by=actor.id,
        checked_at=made_at,
        recorded_at=now,
    )
    box(session, row.patient_id).seal(row, "result", {"states": codes, "finding": finding.value})
    session.add(row)
    session.flush()
    record(session, actor, "pdmp_check.record", "pdmp_check", row.id, episode_id=episode.id)
    return _opened(session, row)


def _refused(rule: Rule, made_at: datetime, now: datetime, programme: Programme) -> RuleRefused:
    finding = rule.finding(programme, checked_at=made_at.isoformat(), now=now.isoformat())
    return RuleRefused(finding.sentence, [finding], field="checked_at")


def list_checks(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[Check]:
    """The checks made for an episode, newest first, from behind the position ``after``; an audited read."""
    episode = visible_episode(session, actor, Action.RECORD_PDMP_CHECK, episode_id)
    query = select(PdmpCheck).where(PdmpCheck.episode_id == episode.id)
    query = page_of(query, PdmpCheck.checked_at, PdmpCheck.id, after=after, limit=limit)
    record(session, actor, "pdmp_check.list", "episode", episode.id, episode_id=episode.id)
    return [_opened(session, row) for row in session.scalars(query)]


def latest_check(session: Session, episode_id: UUID, *, until: datetime | None = None) -> Check | None:
    """The newest check of an episode, for rules; with ``until`` the newest that was made before that time."""
    query = select(PdmpCheck).where(PdmpCheck.episode_id == episode_id)
    if until is not None:
        query = query.where(PdmpCheck.checked_at < until)
    row = session.scalar(query.order_by(PdmpCheck.checked_at.desc(), PdmpCheck.recorded_at.desc()).limit(1))
    return None if row is None else _opened(session, row)


def raises_concern(session: Session, episode_id: UUID, programme: Programme) -> bool:
    """Whether any check that still counts raised a concern: a later one that saw nothing does not undo it."""
    since = clock.now() - timedelta(days=programme.number("prescribing.pdmp_valid_days"))
    query = select(PdmpCheck).where(PdmpCheck.episode_id == episode_id, PdmpCheck.checked_at >= since)
    return any(_opened(session, row).finding is PdmpFinding.CONCERN for row in session.scalars(query))


def _opened(session: Session, row: PdmpCheck) -> Check:
    result = box(session, row.patient_id).open(row, "result").reveal()
    return Check(
        row.id,
        row.episode_id,
        row.checked_by,
        row.checked_at,
        frozenset(result["states"]),
        PdmpFinding(result["finding"]),
    )
