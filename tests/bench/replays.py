"""Stored eligibility decisions by the thousand, each under a data key of its own, and the replay of them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from services.core.database import Base, transaction
from services.core.ids import new_id
from services.core.programme import programme
from services.eligibility.facts import BloodPressure, Condition, Facts, RiskLevel, Status
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.eligibility.rules import evaluate
from services.people.models import Episode, Patient
from services.screening.models import Screening
from services.vault.boxes import first_box

AT_ONCE = 500
MEDICINES = ("Sertraline 50 mg tablets", "Xanax 0.5 mg as needed", "lisinopril 10 mg", "Xannax", "Adderall XR 20 mg")

CHANGED = """[programme]
name = "default"
version = "stricter"
extends = "default"

[eligibility.blood_pressure]
systolic_stop_from = 150
"""


def a_case(systolic: int = 122) -> Facts:
    """A realistic case with medicines: some answers unknown, one finding of each weight."""
    taken_at = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
    history = dict.fromkeys(Condition, Status.ABSENT)
    return Facts(
        on=date(2026, 11, 2),
        birth_date=date(1984, 3, 9),
        state="CA",
        states_of_operation=frozenset({"CA", "NY"}),
        diagnosis="depression",
        has_therapist=True,
        blood_pressures=tuple(BloodPressure(systolic, 80, taken_at + timedelta(hours=each)) for each in range(3)),
        history=history | {Condition.URINARY_SYMPTOMS: Status.PRESENT, Condition.GLAUCOMA: Status.UNKNOWN},
        medicines=MEDICINES,
        phq9=17,
        gad7=12,
        cssrs=RiskLevel.LOW,
    )


def rules_ms(times: int = 400) -> float:
    """The median time of judging one case by all eligibility rules, in milliseconds."""
    facts, ours, taken = a_case(), programme(), []
    for _ in range(times):
        began = time.perf_counter()
        evaluate(facts, ours)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def store_decisions(template: UUID, total: int) -> list[UUID]:
    """Copy an eligible episode ``total`` times, its decision sealed anew for each patient; the ids of the episodes.

    Every tenth patient has a systolic pressure of 155 mmHg, every other one of 122.
    """
    episodes: list[UUID] = []
    while len(episodes) < total:
        with transaction() as session:
            episodes += _store_some(session, template, min(AT_ONCE, total - len(episodes)), len(episodes))
    return episodes


def _store_some(session: Session, template: UUID, number: int, first: int) -> list[UUID]:
    models: tuple[type[Base], ...] = (Patient, Episode, Screening, EligibilityReview, EligibilityDecision)
    old = {model: _columns(session, model, template) for model in models}
    cases = {is_raised: a_case(155 if is_raised else 122) for is_raised in (False, True)}
    findings = {
        is_raised: [each.as_dict() for each in evaluate(case, programme())] for is_raised, case in cases.items()
    }
    reasons = {each["rule"]: "Discussed." for each in findings[True]}
    rows: dict[type[Base], list[dict[str, Any]]] = {model: [] for model in models}
    for at in range(first, first + number):
        ids = {model: new_id() for model in models}
        links = {"patient_id": ids[Patient], "episode_id": ids[Episode], "screening_id": ids[Screening]}
        links["review_id"] = ids[EligibilityReview]
        own, is_raised = first_box(session, ids[Patient]), at % 10 == 0
        for model in models:
            row = {
                **old[model],
                "id": ids[model],
                **{name: value for name, value in links.items() if name in old[model]},
            }
            if model in (EligibilityReview, EligibilityDecision):
                sealed = model(id=ids[model])
                own.seal(sealed, "inputs", cases[is_raised].as_dict())
                own.seal(sealed, "inputs_hash", cases[is_raised].digest())
                own.seal(sealed, "findings", findings[is_raised])
                row |= {name: getattr(sealed, name) for name in ("inputs", "inputs_hash", "findings")}
            if model is EligibilityDecision:
                own.seal(sealed, "reasons", {"reason": None, "findings": reasons, "overrides": []})
                row["reasons"] = sealed.reasons
            rows[model].append(row)
    for model in models:
        session.execute(insert(model), rows[model])
    return [row["id"] for row in rows[Episode]]


def _columns(session: Session, model: type[Base], template: UUID) -> dict[str, Any]:
    table = model.__table__
    patient = select(Episode.patient_id).where(Episode.id == template).scalar_subquery()
    key = patient if model is Patient else template
    column = table.c.id if model in (Patient, Episode) else table.c.episode_id
    return dict(session.execute(select(table).where(column == key).limit(1)).mappings().one())


def replay_seconds(directory: Path) -> tuple[float, str]:
    """How long the command takes under a stricter programme, and what it printed."""
    file = directory / "stricter.toml"
    file.write_text(CHANGED, encoding="utf-8")
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", "replay", "--programme", str(file)],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - began, done.stdout
