"""Drafting, changing, marking ready, agreeing, cancelling: who may, what refuses, what the others hear."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import Role
from services.core.database import transaction
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.prescribing import prescriptions
from services.prescribing.contents import content_of
from services.prescribing.limits import PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.reviews import review_of
from services.vault.boxes import box
from tests.factories import audit_detail, audited, make_account, make_actor, make_episode, make_world
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, content, make_case, make_draft, make_ready, make_signed, raise_risk
from tests.statements import counted_statements

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock_stands(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


def refused_rules(refusal: pytest.ExceptionInfo[RuleRefused]) -> set[str]:
    return {finding.rule for finding in refusal.value.findings}


@pytest.mark.parametrize("who", ["medical_staff", "prescriber"])
def test_staff_and_prescribers_draft_for_the_episodes_prescriber(session: Session, case: Case, who: str) -> None:
    row = make_draft(session, case, by=who)
    assert (row.state, row.prescriber_id) == ("drafted", case.world.prescriber.id)
    assert row.drafted_by == case.actor(who).id
    (told,) = emitted(session, EventKind.PRESCRIPTION_DRAFTED)
    assert (told["party"], told["data"]) == (Party.MEDICAL_TEAM, {"owner": str(case.world.prescriber.id)})
    assert "prescription.draft" in audited(session)


def test_what_is_prescribed_stands_sealed_in_the_table(session: Session, case: Case) -> None:
    row = make_draft(session, case, directions="Marked directions")
    session.flush()
    stored = session.execute(text("SELECT p::text FROM prescriptions p WHERE id = :id"), {"id": row.id}).scalar_one()
    assert "Marked" not in stored
    assert "ketamine" not in stored
    opened = box(session, row.patient_id).open(row, "content").reveal()
    assert opened["directions"] == "Marked directions"


@pytest.mark.parametrize("who", ["therapist", "pharmacist"])
def test_nobody_else_of_the_care_team_drafts(session: Session, case: Case, who: str) -> None:
    with pytest.raises(NotAllowed):
        make_draft(session, case, by=who)


def test_another_teams_staff_does_not_see_the_episode(session: Session, case: Case) -> None:
    stranger = make_actor(make_account(session, Role.MEDICAL_STAFF))
    with pytest.raises(NotFound):
        prescriptions.draft(session, stranger, case.episode.id, content())


def test_without_an_approval_nothing_is_drafted(session: Session) -> None:
    world = make_world(session)
    episode = make_episode(session, world=world)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.draft(session, world.actor("prescriber"), episode.id, content())
    assert refused_rules(refusal) == {"prescribing.eligibility_not_current"}


def test_an_outdated_approval_counts_no_longer(
    session: Session, case: Case, clock_stands: time_machine.Traveller
) -> None:
    clock_stands.move_to(datetime(2028, 11, 23, 20, 0, tzinfo=UTC))
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case)
    assert "prescribing.eligibility_not_current" in refused_rules(refusal)


def test_a_high_suicide_risk_stops_drafting_and_a_moderate_one_does_not(session: Session, case: Case) -> None:
    raise_risk(session, case, high=False)
    make_draft(session, case)
    raise_risk(session, case, high=True)
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case)
    assert refused_rules(refusal) == {"prescribing.suicide_risk_open"}


def test_a_stop_refuses_the_draft_and_leaves_nothing(session: Session, case: Case) -> None:
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case, refills=6, limits=PatientLimits(systolic_below=170))
    assert refused_rules(refusal) == {"prescribing.refills_over_five", "prescribing.systolic_limit_too_high"}
    assert session.query(Prescription).count() == 0


def test_an_exception_that_the_law_does_not_name_is_refused(session: Session, case: Case) -> None:
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case, telemedicine_exception="because_i_say_so")
    assert refused_rules(refusal) == {"prescribing.telemedicine_exception_unknown"}


def test_the_named_prescriber_must_be_an_active_one_of_the_team(session: Session, case: Case) -> None:
    team = case.world.medical_team
    outsider = make_account(session, Role.PRESCRIBER)
    gone = make_account(session, Role.PRESCRIBER, organisation=team)
    gone.disabled_at = clock.now()
    for named in (outsider.id, gone.id, case.world.medical_staff.id, new_id()):
        with pytest.raises(RuleRefused) as refusal:
            prescriptions.draft(session, case.actor("medical_staff"), case.episode.id, content(), prescriber_id=named)
        assert refusal.value.field == "prescriber_id"
    colleague = make_account(session, Role.PRESCRIBER, organisation=team)
    row = prescriptions.draft(
        session, case.actor("medical_staff"), case.episode.id, content(), prescriber_id=colleague.id
    )
    assert row.prescriber_id == colleague.id


def test_drafting_settles_what_asked_for_it_in_this_episode_only(session: Session, case: Case) -> None:
    other = make_case(session, world=case.world)

    def asked(subject: Subject, episode: Case) -> Task:
        return open_task(
            session,
            TaskKind.DRAFT_PRESCRIPTION,
            party=Party.MEDICAL_TEAM,
            owner_id=case.world.prescriber.id,
            subject=subject,
            due_at=clock.now(),
            episode_id=episode.episode.id,
        )

    by_approval = asked(Subject("episode", case.episode.id), case)
    foreign = asked(Subject("refill_request", new_id()), other)
    assert foreign.subject_id is not None
    make_draft(session, case)
    assert [task.state for task in (by_approval, foreign)] == ["completed", "requested"]


def test_a_draft_names_no_request_that_is_unknown(session: Session, case: Case) -> None:
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.draft(session, case.prescriber, case.episode.id, content(), refill_request_id=new_id())
    assert refused_rules(refusal) == {"prescribing.refill_request_not_approved"}
    assert refusal.value.field == "refill_request_id"


def test_a_change_keeps_the_rest_and_is_judged_anew(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    prescriptions.change(session, case.actor("medical_staff"), row.id, {"directions": "Other words."})
    opened = box(session, row.patient_id).open(row, "content").reveal()
    assert (opened["directions"], opened["dose_mg"]) == ("Other words.", 200)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.change(session, case.actor("medical_staff"), row.id, {"quantity_units": 40})
    assert refused_rules(refusal) == {"prescribing.quantity_not_dose_times_sessions"}


def test_a_change_after_ready_needs_the_prescribers_eyes_again(session: Session, case: Case) -> None:
    row = make_ready(session, case, reasons={"prescribing.dose_high": "Long known dose."}, **high_dose())
    prescriptions.change(session, case.actor("medical_staff"), row.id, {"directions": "Other words."})
    assert (row.state, row.ready_at) == ("drafted", None)
    assert review_of(box(session, row.patient_id), row).reasons == {}
    with pytest.raises(RuleRefused):
        prescriptions.mark_ready(session, case.prescriber, row.id, {})


def test_a_change_of_the_prescriber_asks_the_other_one(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    first = open_task(
        session,
        TaskKind.SIGN_PRESCRIPTION,
        party=Party.MEDICAL_TEAM,
        owner_id=row.prescriber_id,
        subject=Subject("prescription", row.id),
        due_at=clock.now(),
    )
    colleague = make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team)
    prescriptions.change(session, case.prescriber, row.id, {"prescriber_id": colleague.id})
    assert first.state == "cancelled"
    asked = [told["data"]["owner"] for told in emitted(session, EventKind.PRESCRIPTION_DRAFTED)]
    assert sorted(asked) == sorted([str(case.world.prescriber.id), str(colleague.id)])
    with pytest.raises(NotAllowed):
        prescriptions.mark_ready(session, case.prescriber, row.id, {})


def test_a_change_of_nothing_is_refused(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.change(session, case.prescriber, row.id, {})
    assert refusal.value.rule == "prescribing.nothing_to_change"
    assert row.state == "ready"


def test_a_stale_change_is_refused(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    read = row.version
    prescriptions.change(session, case.prescriber, row.id, {"directions": "First."}, version=read)
    with pytest.raises(StaleVersion):
        prescriptions.change(session, case.prescriber, row.id, {"directions": "Second."}, version=read)


def test_a_signed_prescription_cannot_be_changed(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    with pytest.raises(IllegalTransition):
        prescriptions.change(session, case.prescriber, row.id, {"directions": "Other words."})


def high_dose() -> dict[str, int]:
    return {"dose_mg": 200, "booster_mg": 250, "quantity_units": 9, "weight_kg": 95}


def test_a_review_needs_the_named_prescribers_reason(session: Session, case: Case) -> None:
    row = make_draft(session, case, **high_dose())
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.mark_ready(session, case.prescriber, row.id, {})
    assert "prescribing.dose_high" in refused_rules(refusal)
    assert refusal.value.field == "reasons"
    reasons = {rule: Personal("Weighed.") for rule in refused_rules(refusal)}
    prescriptions.mark_ready(session, case.prescriber, row.id, reasons)
    kept = review_of(box(session, row.patient_id), row).reasons["prescribing.dose_high"]
    assert (kept["text"], kept["by"]) == ("Weighed.", str(case.world.prescriber.id))
    assert audit_detail(session, "prescription.mark_ready") == {"reasons": len(reasons)}


def test_a_blank_reason_and_one_for_nothing_are_refused(session: Session, case: Case) -> None:
    row = make_draft(session, case, **high_dose())
    for reasons, rule in (
        ({"prescribing.dose_high": Personal("  ")}, "prescribing.reason_needed"),
        ({"prescribing.no_such": Personal("Weighed.")}, "prescribing.no_such"),
        ({}, "prescribing.reason_missing"),
    ):
        with pytest.raises(RuleRefused) as refusal:
            prescriptions.mark_ready(session, case.prescriber, row.id, reasons)
        assert refusal.value.rule == rule


def test_staff_name_the_prescriber_where_the_episode_has_none(session: Session, case: Case) -> None:
    case.episode.prescriber_id = None
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case)
    assert (refusal.value.rule, refusal.value.field) == ("prescribing.prescriber_missing", "prescriber_id")


@pytest.mark.parametrize("who", ["medical_staff", "pharmacist", "therapist"])
def test_only_prescribers_mark_ready(session: Session, case: Case, who: str) -> None:
    row = make_draft(session, case)
    with pytest.raises(NotAllowed):
        prescriptions.mark_ready(session, case.actor(who), row.id, {})


def test_what_only_keeps_it_from_being_signed_does_not_keep_it_from_ready(session: Session) -> None:
    case = make_case(session, pdmp=False)
    row = make_ready(session, case)
    found = {finding["rule"] for finding in review_of(box(session, row.patient_id), row).findings}
    assert (row.state, "prescribing.pdmp_missing" in found) == ("ready", True)


def test_a_second_prescriber_agrees_and_a_change_takes_it_away(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    with pytest.raises(NotAllowed) as refusal:
        prescriptions.agree(session, case.prescriber, row.id)
    assert refusal.value.rule == "prescribing.second_prescriber_is_first"
    second = make_actor(make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team))
    prescriptions.agree(session, second, row.id)
    assert row.agreed_by == second.id
    prescriptions.change(session, case.prescriber, row.id, {"directions": "Other words."})
    assert row.agreed_by is None


def test_cancelling_a_draft_tells_no_pharmacy_and_ends_the_task(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    asked = open_task(
        session,
        TaskKind.SIGN_PRESCRIPTION,
        party=Party.MEDICAL_TEAM,
        owner_id=row.prescriber_id,
        subject=Subject("prescription", row.id),
        due_at=clock.now(),
    )
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Not needed."))
    assert (row.state, asked.state) == ("cancelled", "cancelled")
    assert emitted(session, EventKind.PRESCRIPTION_CANCELLED) == []


def test_cancelling_a_signed_one_tells_pharmacy_and_therapist(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Marked reason"))
    told = emitted(session, EventKind.PRESCRIPTION_CANCELLED)
    assert {each["party"] for each in told} == {Party.PHARMACY, Party.THERAPIST}
    assert box(session, row.patient_id).open(row, "end_reason").reveal() == "Marked reason"
    with pytest.raises(IllegalTransition):
        prescriptions.cancel(session, case.prescriber, row.id, Personal("Again."))


def test_cancelling_needs_a_written_reason(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.cancel(session, case.prescriber, row.id, Personal(" \n"))
    assert refusal.value.field == "reason"


def test_only_a_prescription_of_the_same_episode_is_replaced(session: Session, case: Case) -> None:
    foreign = make_draft(session, make_case(session, world=case.world))
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case, replaces_id=foreign.id)
    assert refusal.value.field == "replaces_id"


def test_a_day_of_evaluation_survives_sealing(session: Session, case: Case) -> None:
    row = make_draft(session, case, in_person_evaluated_on=date(2026, 10, 1))
    own = box(session, row.patient_id)
    assert content_of(own, row).in_person_evaluated_on == date(2026, 10, 1)


def test_the_audit_trail_holds_no_word_of_the_content(session: Session, case: Case) -> None:
    row = make_draft(session, case, directions="Marked directions")
    prescriptions.change(session, case.prescriber, row.id, {"directions": "Marked again"})
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Marked reason"))
    session.commit()
    details = [str(record.detail) for record in session.query(AuditRecord)]
    assert details
    assert not any("Marked" in detail for detail in details)


def test_drafting_takes_few_queries(session: Session, case: Case) -> None:
    make_draft(session, case)
    session.commit()
    with transaction() as warm:
        box(warm, case.episode.patient_id)
    with counted_statements(session) as statements, transaction() as own:
        prescriptions.draft(own, case.prescriber, case.episode.id, content())
        in_use_case = len(statements)
    # The case with all there is to ask, the row, the event; then the audit chain, and its record with its new end.
    assert (in_use_case, len(statements)) == (3, 5), "\n".join(statements)
