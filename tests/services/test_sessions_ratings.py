"""Session ratings, and the comfort preferences that belong to the patient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core.errors import InvalidInput, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.vocabulary import EventKind
from services.exports import export_patient
from services.sessions import histories
from services.sessions.comfort import Comfort, Resting, Talking, change_comfort, read_comfort
from services.sessions.models import TherapySession
from services.sessions.ratings import asked_after_session, rate_session, session_ratings
from services.sessions.states import SessionState
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, make_case
from tests.factories_programmes import changed, run_under
from tests.factories_sessions import MORNING, drive, make_supplied, therapist

RATINGS = {"dissociation": 7, "distress": 2, "nausea": 0, "sedation": 10}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    # What is noted later counts, so here the clock goes on.
    with time_machine.travel(MORNING) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case, moment: time_machine.Traveller) -> TherapySession:
    return drive(session, case, SessionState.INTEGRATION_DUE, moment)


def test_patient_and_therapist_rate_a_session_and_the_newest_counts(
    session: Session, case: Case, row: TherapySession
) -> None:
    rate_session(session, therapist(case), row.id, {"session_ratings": {**RATINGS, "distress": 5}})
    rate_session(session, case.patient, row.id, {"session_ratings": RATINGS})
    (rated,) = session_ratings(session, {case.episode.id})
    assert (rated.session_id, rated.ratings, repr(rated)) == (row.id, RATINGS, "<rated session>")
    checks = histories.read_session(session, case.prescriber, row.id).checks
    assert checks is not None
    kept = [each.content.reveal() for each in checks if each.check.kind == "ratings"]
    assert [(each["by"], each["instrument"]) for each in kept] == [
        ("therapist", "session_ratings"),
        ("patient", "session_ratings"),
    ]
    assert "session.rate" in audited(session)
    assert session_ratings(session, {make_case(session).episode.id}) == []


def test_every_item_is_answered_within_its_range(session: Session, case: Case, row: TherapySession) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dissociation": 7}, "session_ratings.distress"),
        ({**RATINGS, "nausea": 11}, "session_ratings.nausea"),
        ({**RATINGS, "joy": 1}, "session_ratings"),
    ]
    for answers, field in wrong:
        with pytest.raises(InvalidInput) as refusal:
            rate_session(session, case.patient, row.id, {"session_ratings": answers})
        assert refusal.value.field == field


def test_only_what_the_programme_asks_for_and_has_texts_for_is_rated(
    session: Session, case: Case, row: TherapySession
) -> None:
    assert asked_after_session(changed({"sessions.session_instruments": ["session_ratings", "meq30"]})) == [
        "session_ratings"  # the texts of the MEQ-30 come in a content pack
    ]
    run_under(session, case.episode, {"sessions.session_instruments": ["phq9"]})
    for instrument in ("session_ratings", "meq30", "nothing"):
        with pytest.raises(RuleRefused) as refusal:
            rate_session(session, case.patient, row.id, {instrument: RATINGS})
        assert (refusal.value.rule, refusal.value.field) == ("sessions.rating_not_asked", instrument)


def test_nobody_else_rates(session: Session, case: Case, row: TherapySession) -> None:
    for actor in (case.prescriber, case.actor("pharmacist")):
        with pytest.raises(NotAllowed):
            rate_session(session, actor, row.id, {"session_ratings": RATINGS})


def test_comfort_preferences_are_written_by_the_patient_and_shown_with_the_session(
    session: Session, case: Case, row: TherapySession
) -> None:
    patient_id = case.episode.patient_id
    assert read_comfort(session, therapist(case), patient_id).comfort.reveal() == Comfort()
    first = change_comfort(session, case.patient, patient_id, {"music": "Cello, no words", "talking": Talking.QUIET})
    second = change_comfort(
        session, case.patient, patient_id, {"resting": Resting.MAT, "talking": None}, version=first.version
    )
    liked = Comfort(music="Cello, no words", resting=Resting.MAT)
    assert (second.comfort.reveal(), second.version > first.version) == (liked, True)
    for reader in (therapist(case), case.patient):
        shown = histories.read_session(session, reader, row.id).comfort
        assert shown is not None
        assert shown.reveal() == liked
    assert histories.read_session(session, case.prescriber, row.id).comfort is None
    assert "Cello" not in repr(second)
    exported = export_patient(session, case.patient, patient_id)["records"]["comfort_preferences"]
    assert [each["content"]["music"] for each in exported] == ["Cello, no words"]
    assert {"comfort.change", "comfort.read"} <= set(audited(session))


def test_nobody_but_the_patient_changes_them_and_the_therapist_alone_reads_them_too(
    session: Session, case: Case
) -> None:
    patient_id = case.episode.patient_id
    for actor in (therapist(case), case.prescriber, case.actor("pharmacist")):
        with pytest.raises(NotAllowed):
            change_comfort(session, actor, patient_id, {"eye_mask": True})
    for actor in (case.prescriber, case.actor("medical_staff"), case.actor("pharmacist")):
        with pytest.raises(NotAllowed):
            read_comfort(session, actor, patient_id)
    with pytest.raises(NotFound):
        read_comfort(session, therapist(case), new_id())
    made = change_comfort(session, case.patient, patient_id, {"aromatherapy": False}, version=0)
    assert made.crisis_resources == ()
    helped = change_comfort(session, case.patient, patient_id, {"more": "I want to kill myself"})
    assert [each.number for each in helped.crisis_resources] == ["988", "741741", "911"]
    assert len(emitted(session, EventKind.TEXT_CRISIS)) > 0
    with pytest.raises(StaleVersion):
        change_comfort(session, case.patient, patient_id, {"aromatherapy": True}, version=made.version)
