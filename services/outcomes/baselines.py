"""The baseline: the last score of each instrument before the first dose, which every outcome is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.outcomes.models import OutcomeReport
from services.people.models import Episode
from services.screening.answer_sheets import INSTRUMENTS
from services.screening.models import Screening
from services.screening.screenings import sheet_of
from services.sessions.histories import held_dosing_sessions
from services.vault.boxes import box


@dataclass(frozen=True, slots=True)
class BaselineScore:
    """A total and when its answers were given. Clinical data: ``repr`` shows nothing."""

    total: int
    answered_at: datetime

    def __repr__(self) -> str:
        return "<baseline score>"


def baseline(session: Session, episode_id: UUID) -> Mapping[str, BaselineScore]:
    """The last total of each instrument (by its id) before the first dose of an episode, or until now without one.

    It may come from a screening or from an outcome report. The caller has settled who may know.
    """
    first_dose = first_dose_at(session, episode_id)
    latest: dict[str, BaselineScore] = {}
    for instrument, score in (*_screened(session, episode_id), *_reported(session, episode_id)):
        if first_dose is not None and score.answered_at >= first_dose:
            continue
        known = latest.get(instrument)
        if known is None or known.answered_at <= score.answered_at:
            latest[instrument] = score
    return latest


def latest_totals(session: Session, episode_id: UUID) -> Mapping[str, BaselineScore]:
    """The newest reported total of each instrument (by its id), by when it was answered.

    The caller has settled who may know.
    """
    latest: dict[str, BaselineScore] = {}
    for instrument, score in _reported(session, episode_id):
        known = latest.get(instrument)
        if known is None or known.answered_at <= score.answered_at:
            latest[instrument] = score
    return latest


def first_dose_at(session: Session, episode_id: UUID) -> datetime | None:
    """When the first dose of an episode was taken; None before it."""
    held = held_dosing_sessions(session, episode_id)
    return held[0].held_at if held else None


def latest_results(session: Session, episode_id: UUID) -> Mapping[str, datetime]:
    """When each instrument (by its id) last gave a result, at the screening or since.

    The screener of the intake stands for the one that asks since the last visit, too. The caller has settled who may
    know.
    """
    latest: dict[str, datetime] = {}

    def note(instrument: str, answered_at: datetime) -> None:
        latest[instrument] = max(answered_at, latest.get(instrument, answered_at))

    completed = select(Screening).where(Screening.episode_id == episode_id, Screening.completed_at.is_not(None))
    for row in session.scalars(completed).all():
        answers = box(session, row.patient_id).open(row, "answers").reveal()
        for part in INSTRUMENTS:
            if part.value in answers:
                note(_AT_FOLLOW_UP.get(part.value, part.value), datetime.fromisoformat(answers[part]["answered_at"]))
    patient_id = session.get_one(Episode, episode_id).patient_id
    for scales, answered_at in scales_given(session, episode_id, patient_id):
        for scale in scales:
            note(scale, answered_at)
    return latest


def scales_given(session: Session, episode_id: UUID, patient_id: UUID) -> Iterator[tuple[list[str], datetime]]:
    """The instruments that gave a result in each report of an episode, and when they were answered, newest first.

    Each is opened only when it is asked for. The caller has settled who may know.
    """
    row, own = OutcomeReport, box(session, patient_id)
    reports = select(row.id, row.scales, row.answered_at).where(row.episode_id == episode_id)
    for report_id, scales, answered_at in session.execute(reports.order_by(row.answered_at.desc(), row.id.desc())):
        # A row that is in no session, made for its place in the table alone.
        yield own.open(row(id=report_id, scales=scales), "scales").reveal(), answered_at


_AT_FOLLOW_UP: Final = {"cssrs": "cssrs_since_last_visit"}


def _screened(session: Session, episode_id: UUID) -> Iterator[tuple[str, BaselineScore]]:
    completed = select(Screening).where(Screening.episode_id == episode_id, Screening.completed_at.is_not(None))
    for row in session.scalars(completed.order_by(Screening.round)).all():
        scores = box(session, row.patient_id).open(row, "results").reveal()["scores"]
        answered_at = sheet_of(session, row).answered_at
        for part in INSTRUMENTS:
            total: int | None = scores.get(part.value, {}).get("total")
            if total is not None:
                yield part.value, BaselineScore(total, answered_at[part])


def _reported(session: Session, episode_id: UUID) -> Iterator[tuple[str, BaselineScore]]:
    reports = select(OutcomeReport).where(OutcomeReport.episode_id == episode_id, OutcomeReport.results.is_not(None))
    for row in session.scalars(reports.order_by(OutcomeReport.reported_at, OutcomeReport.id)).all():
        results: dict[str, Any] = box(session, row.patient_id).open(row, "results").reveal()
        for instrument, score in results["scores"].items():
            if score["total"] is not None:
                yield instrument, BaselineScore(score["total"], row.answered_at)
