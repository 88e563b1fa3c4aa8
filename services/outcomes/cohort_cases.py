"""The patients of a cohort, read in bulk: a few queries for each page of episodes, each value opened once (DOMAIN 6).

What leaves here names nobody; it is counted (``cohort_rules.py``) and then forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from services.core.programme import Programme
from services.eligibility.models import Referral
from services.outcomes.cohort_rules import CohortCase, FollowUp
from services.outcomes.models import OutcomeReport
from services.people.models import Episode, Patient
from services.screening import instruments
from services.screening.models import Screening
from services.screening.result_rules import read_result
from services.screening.scoring import Score
from services.sessions.adverse_event_rules import Effect, Grade
from services.sessions.models import AdverseEvent, Check, TherapySession
from services.vault.boxes import boxes_of

PAGE: Final = 250
_GRADES: Final = tuple(Grade)
_OF_SCORE: Final = tuple(each.name for each in fields(Score))

Row = TypeVar("Row", Screening, OutcomeReport, Referral, AdverseEvent, Patient, Check)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose figures: the patients whose first dose under any version of a programme lies in whole years (UTC).

    ``medical_team_id`` None means those of all teams.
    """

    programme: str
    first_year: int
    last_year: int
    medical_team_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Treated:
    episode_id: UUID
    patient_id: UUID
    first_dose_at: datetime


def treated(session: Session, scope: Scope) -> list[_Treated]:
    """The episodes of a scope, without anything of their content."""
    found = _treated(scope).subquery()
    rows = session.execute(select(found).order_by(found.c.id))
    return [_Treated(row.id, row.patient_id, row.at) for row in rows]


def count_treated(session: Session, scope: Scope) -> int:
    """How many episodes a scope has."""
    return session.scalar(select(func.count()).select_from(_treated(scope).subquery())) or 0


def _treated(scope: Scope) -> Select[tuple[UUID, UUID, datetime]]:
    first = (
        select(TherapySession.episode_id, func.min(TherapySession.dosed_at).label("at"))
        .where(TherapySession.dosed_at.is_not(None))
        .group_by(TherapySession.episode_id)
        .subquery()
    )
    # Each patient counts once, by the first episode that came to a dose: in one year, for one team.
    once = (
        select(Episode.id, Episode.patient_id, Episode.medical_team_id, first.c.at)
        .ext(distinct_on(Episode.patient_id))
        .join(first, first.c.episode_id == Episode.id)
        .where(Episode.programme_version.startswith(f"{scope.programme}-", autoescape=True))
        .order_by(Episode.patient_id, first.c.at, Episode.id)
        .subquery()
    )
    query = select(once.c.id, once.c.patient_id, once.c.at).where(
        once.c.at >= datetime(scope.first_year, 1, 1, tzinfo=UTC),
        once.c.at < datetime(scope.last_year + 1, 1, 1, tzinfo=UTC),
    )
    return query if scope.medical_team_id is None else query.where(once.c.medical_team_id == scope.medical_team_id)


def read_cases(
    session: Session, episodes: Sequence[_Treated], programme: Programme, size: int = PAGE
) -> Iterator[list[CohortCase]]:
    """The patients of some episodes, a page at a time. The caller has settled who may count, and audits."""
    for start in range(0, len(episodes), size):
        yield _Page(session, episodes[start : start + size], programme).cases()


class _Page:
    """What belongs to a page of episodes, opened."""

    def __init__(self, session: Session, page: Sequence[_Treated], programme: Programme) -> None:
        self._session = session
        self._page = page
        self._programme = programme
        self._boxes = boxes_of(session, [each.patient_id for each in page])
        self._follow_up = timedelta(days=programme.whole("outcomes.cohort.follow_up_days"))

    def cases(self) -> list[CohortCase]:
        """One case for each episode."""
        referrals = {row.episode_id: row for row in self._rows(Referral, Referral.episode_id)}
        born = {row.id: row for row in self._rows(Patient, Patient.id, of_patients=True)}
        doses, sessions = self._doses()
        scores = self._scores()
        effects = self._effects()
        ratings = self._ratings(sessions)
        found = []
        for each in self._page:
            own, referral = self._boxes[each.patient_id], referrals.get(each.episode_id)
            before, after = self._split(scores[each.episode_id], each.first_dose_at, doses[each.episode_id])
            strongest = list(ratings[each.episode_id].values())
            found.append(
                CohortCase(
                    indication=None if referral is None else str(own.open(referral, "diagnosis").reveal()),
                    age=_age(own.open(born[each.patient_id], "birth_date").reveal(), each.first_dose_at.date()),
                    waited_days=None if referral is None else (each.first_dose_at - referral.created_at).days,
                    baselines=before,
                    follow_ups=after,
                    effects=effects[each.episode_id],
                    dissociation=sum(strongest) / len(strongest) if strongest else None,
                )
            )
        for row in (*referrals.values(), *born.values()):
            self._session.expunge(row)
        return found

    def _rows(self, model: type[Row], column: Any, *, of_patients: bool = False) -> list[Row]:
        wanted = [each.patient_id if of_patients else each.episode_id for each in self._page]
        return list(self._session.scalars(select(model).where(column.in_(wanted))))

    def _opened(self, rows: Sequence[Row], owner: Mapping[UUID, UUID], column: str) -> Iterator[tuple[Row, Any]]:
        """Each row with one of its sealed columns opened; the row is let go of afterwards."""
        for row in rows:
            yield row, self._boxes[owner[row.id]].open(row, column).reveal()
            self._session.expunge(row)

    def _doses(self) -> tuple[dict[UUID, list[datetime]], dict[UUID, UUID]]:
        """When the dosing sessions of each episode began, and whose each session is."""
        query = select(TherapySession.id, TherapySession.episode_id, TherapySession.dosed_at)
        ids = [each.episode_id for each in self._page]
        rows = self._session.execute(
            query.where(TherapySession.episode_id.in_(ids), TherapySession.dosed_at.is_not(None))
        ).all()
        doses: dict[UUID, list[datetime]] = defaultdict(list)
        for _, episode_id, at in rows:
            if at is not None:
                doses[episode_id].append(at)
        return doses, {session_id: episode_id for session_id, episode_id, _ in rows}

    def _scores(self) -> dict[UUID, list[tuple[datetime, str, dict[str, Any]]]]:
        """When each score of an episode was answered, of which instrument, as it was kept."""
        found: dict[UUID, list[tuple[datetime, str, dict[str, Any]]]] = defaultdict(list)
        screened = [row for row in self._rows(Screening, Screening.episode_id) if row.completed_at is not None]
        answered = {row.id: self._boxes[row.patient_id].open(row, "answers").reveal() or {} for row in screened}
        for screening, results in self._opened(screened, {row.id: row.patient_id for row in screened}, "results"):
            for name, kept in (results or {"scores": {}})["scores"].items():
                at = datetime.fromisoformat(answered[screening.id][name]["answered_at"])
                found[screening.episode_id].append((at, name, kept))
        reports = [row for row in self._rows(OutcomeReport, OutcomeReport.episode_id) if row.results is not None]
        for report, results in self._opened(reports, {row.id: row.patient_id for row in reports}, "results"):
            for name, kept in results["scores"].items():
                found[report.episode_id].append((report.answered_at, name, kept))
        return found

    def _split(
        self, scores: Sequence[tuple[datetime, str, dict[str, Any]]], first_dose: datetime, doses: Sequence[datetime]
    ) -> tuple[dict[str, int], dict[str, FollowUp]]:
        """The last totals before the first dose, and the last ones in the follow-up."""
        before: dict[str, int] = {}
        after: dict[str, FollowUp] = {}
        for at, name, kept in sorted(scores, key=lambda each: each[0]):
            if kept["total"] is None:
                continue
            if at < first_dose:
                before[name] = kept["total"]
            elif at <= first_dose + self._follow_up:
                held = sum(dose < at for dose in doses)
                after[name] = FollowUp(kept["total"], held, self._is_positive(name, kept))
        return before, after

    def _is_positive(self, name: str, kept: Mapping[str, Any]) -> bool | None:
        score = Score(**{part: kept[part] for part in _OF_SCORE})
        return read_result(instruments.get(name), score, self._programme).positive

    def _effects(self) -> dict[UUID, dict[str, str]]:
        """The worst grade of each effect in an episode."""
        found: dict[UUID, dict[str, str]] = defaultdict(dict)
        rows = self._rows(AdverseEvent, AdverseEvent.episode_id)
        for row, content in self._opened(rows, {row.id: row.patient_id for row in rows}, "content"):
            effect, grade = content.get("effect", Effect.OTHER.value), Grade(content["grade"])
            known = found[row.episode_id].get(effect)
            worst = max(grade, Grade(known) if known else grade, key=_GRADES.index)
            found[row.episode_id][effect] = worst.value
        return found

    def _ratings(self, sessions: Mapping[UUID, UUID]) -> dict[UUID, dict[UUID, int]]:
        """The strongest dissociation in each dosing session of an episode."""
        found: dict[UUID, dict[UUID, int]] = defaultdict(dict)
        rows = list(self._session.scalars(select(Check).where(Check.session_id.in_(list(sessions)))))
        for row, content in self._opened(rows, {row.id: row.patient_id for row in rows}, "content"):
            rating = (content.get("ratings") or {}).get("dissociation")
            if rating is not None:
                of_episode = found[sessions[row.session_id]]
                of_episode[row.session_id] = max(rating, of_episode.get(row.session_id, 0))
        return found


def _age(born: str, on: date) -> int:
    birthday = date.fromisoformat(born)
    return on.year - birthday.year - ((on.month, on.day) < (birthday.month, birthday.day))
