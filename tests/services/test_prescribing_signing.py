"""Signing: what is shown, what is checked on the day, both factors, the digital signature and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import IllegalTransition, Locked, NotAllowed, NotSignedIn, RuleRefused
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import accounts, practitioners
from services.people.attempts import Refused
from services.people.models import Account, DeaRegistration, Licence
from services.prescribing import fills, prescriptions, signing
from services.prescribing.contents import content_of
from services.prescribing.law import SIGNING_STATEMENT
from services.prescribing.models import Prescription
from services.prescribing.pdmp_checks import PdmpFinding
from services.prescribing.reviews import review_of
from services.prescribing.signing import Signed, sign, verify_signature
from services.sessions.ledger_rules import Movement
from services.sessions.ledgers import enter, hold_stock
from services.vault.boxes import box
from tests.factories import PASSWORD, audited, code_of, make_account, make_actor
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    Case,
    check_pdmp,
    follow_up,
    make_case,
    make_draft,
    make_fill,
    make_ready,
    make_signed,
    raise_risk,
    timers_of,
)
from tests.factories_prescribing import sign as sign_rows

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


def refusing_rules(session: Session, case: Case, row: Prescription) -> set[str]:
    with pytest.raises(RuleRefused) as refusal:
        sign_rows(session, case, row)
    return {finding.rule for finding in refusal.value.findings}


def test_the_display_shows_all_that_the_law_names_and_the_statement_word_for_word(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    display = signing.signing_display(session, case.prescriber, row.id)
    shown = display.fields.reveal()
    assert shown["issued_on"] == "2026-11-23"
    assert shown["patient_name"].startswith("Pat Example")
    assert (shown["drug"], shown["strength"], shown["form"]) == ("ketamine", "100 mg", "lozenge")
    assert (shown["quantity"], shown["refills"]) == (4, 0)
    assert shown["directions"].startswith("Dissolve")
    assert shown["practitioner_name"] == "Paula Prescott"
    assert case.world.medical_team.street in shown["practitioner_address"]
    assert shown["dea_number"].startswith("FP")
    assert display.statement == SIGNING_STATEMENT
    assert "not certified" in display.not_certified
    assert display.findings == []
    assert "prescription.read_signing_display" in audited(session)


def test_the_display_is_for_the_named_prescriber_alone(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    colleague = make_actor(make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team))
    for actor in (colleague, case.actor("medical_staff"), case.actor("pharmacist")):
        with pytest.raises(NotAllowed):
            signing.signing_display(session, actor, row.id)


def test_signing_dates_archives_signs_and_tells_the_pharmacy(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    asked = open_task(
        session,
        TaskKind.SIGN_PRESCRIPTION,
        party=Party.MEDICAL_TEAM,
        owner_id=row.prescriber_id,
        subject=Subject("prescription", row.id),
        due_at=clock.now(),
    )
    signed = sign_rows(session, case, row)
    assert isinstance(signed, Signed)
    assert (row.state, row.signed_at, row.issued_on) == ("signed", NOON, date(2026, 11, 23))
    assert row.expires_on == date(2027, 5, 23)
    assert asked.state == "completed"
    assert {each["party"] for each in emitted(session, EventKind.PRESCRIPTION_SIGNED)} == {
        Party.PHARMACY,
        Party.THERAPIST,
    }
    session.expire_all()
    assert verify_signature(session, session.get_one(Prescription, row.id))
    assert {"prescription.sign", "account.prove"} <= set(audited(session))


def test_the_date_of_issue_is_the_patients_day(session: Session, moment: time_machine.Traveller) -> None:
    moment.move_to(datetime(2026, 11, 24, 5, 0, tzinfo=UTC))  # still the 23rd in California
    row = make_signed(session, make_case(session))
    assert row.issued_on == date(2026, 11, 23)
    assert timers_of(session, row.id) == {"prescription.expired": datetime(2027, 5, 24, 7, 0, tzinfo=UTC)}


def test_a_draft_cannot_be_signed_and_a_signed_one_not_again(session: Session, case: Case) -> None:
    with pytest.raises(IllegalTransition):
        sign_rows(session, case, make_draft(session, case))
    row = make_signed(session, case)
    with pytest.raises(IllegalTransition):
        sign_rows(session, case, row)


def test_only_the_named_prescriber_signs(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    account = make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team)
    with pytest.raises(NotAllowed) as refusal:
        sign(session, make_actor(account), [row.id], Secret(code_of(session, account)), password=Secret(PASSWORD))
    assert refusal.value.rule == "prescribing.named_prescriber_only"
    assert row.state == "ready"


def test_a_wrong_code_signs_nothing_and_is_counted(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    refused = sign_rows(session, case, row, code="000000")
    assert isinstance(refused, Refused)
    with pytest.raises(NotSignedIn):
        refused.require()
    assert (row.state, row.signature) == ("ready", None)
    assert case.world.prescriber.failed_attempts == 1


def test_the_code_without_the_password_is_one_factor_too_few(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    refused = sign_rows(session, case, row, password="not the passphrase at all")
    assert isinstance(refused, Refused)
    assert row.state == "ready"


def test_failures_lock_the_account(session: Session, case: Case) -> None:
    row = make_ready(session, case)
    refusals = [sign_rows(session, case, row, code="000000") for _ in range(6)]
    with pytest.raises(Locked):
        refusals[-1].require()
    account = case.world.prescriber
    right = sign(session, case.prescriber, [row.id], Secret(code_of(session, account)), password=Secret(PASSWORD))
    assert isinstance(right, Refused)


def test_a_used_code_never_works_twice(session: Session, case: Case) -> None:
    first, second = make_ready(session, case), make_ready(session, case)
    code = code_of(session, case.world.prescriber)
    assert isinstance(sign_rows(session, case, first, code=code), Signed)
    assert isinstance(sign_rows(session, case, second, code=code), Refused)
    assert second.state == "ready"


def test_no_code_is_spent_on_what_could_not_be_signed(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    code = code_of(session, case.world.prescriber)
    with pytest.raises(IllegalTransition):
        sign_rows(session, case, row, code=code)
    prescriptions.mark_ready(session, case.prescriber, row.id, {})
    assert isinstance(sign_rows(session, case, row, code=code), Signed)


def test_one_act_signs_several_for_one_patient_and_none_for_two(session: Session, case: Case) -> None:
    mine = [make_ready(session, case), make_ready(session, case)]
    other = make_case(session, world=case.world)
    foreign = make_ready(session, other)
    with pytest.raises(RuleRefused) as refusal:
        sign_rows(session, case, *mine, foreign)
    assert refusal.value.rule == "prescribing.one_patient_at_a_time"
    assert isinstance(sign_rows(session, case, *mine), Signed)
    assert [row.state for row in (*mine, foreign)] == ["signed", "signed", "ready"]


def test_more_than_a_first_supply_waits_for_the_follow_up(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    make_fill(session, case, make_signed(session, case))
    moment.shift(timedelta(days=1))
    row = make_draft(session, case, first_session_dose_mg=None)
    prescriptions.mark_ready(session, case.prescriber, row.id, {})
    assert refusing_rules(session, case, row) == {"prescribing.follow_up_missing"}
    follow_up(session, case)
    assert isinstance(sign_rows(session, case, row), Signed)


def duplicate_asked(row: Prescription, session: Session) -> bool:
    found = review_of(box(session, row.patient_id), row).findings
    return "prescribing.duplicate_active" in {finding["rule"] for finding in found}


REASON = {"prescribing.duplicate_active": Personal("Two strengths make up the dose.")}


def test_a_second_one_of_the_same_is_blocked_without_a_written_reason(session: Session, case: Case) -> None:
    make_signed(session, case)
    row = make_draft(session, case, drug="Ketamine hydrochloride")
    assert duplicate_asked(row, session)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.mark_ready(session, case.prescriber, row.id, {})
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.duplicate_active"]
    prescriptions.mark_ready(session, case.prescriber, row.id, REASON)
    assert isinstance(sign_rows(session, case, row), Signed)


def test_what_is_replaced_used_up_over_or_another_patients_is_no_duplicate(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    first = make_signed(session, case, refills=1)
    assert not duplicate_asked(make_draft(session, case, replaces_id=first.id), session)
    assert not duplicate_asked(make_draft(session, make_case(session, world=case.world)), session)
    make_fill(session, case, first)
    assert duplicate_asked(make_draft(session, case, first_session_dose_mg=None), session)  # a refill is left
    prescriptions.cancel(session, case.prescriber, first.id, Personal("Changed plan."))
    second = make_signed(session, case, first_session_dose_mg=None)
    assert duplicate_asked(make_draft(session, case, first_session_dose_mg=None), session)
    make_fill(session, case, second)
    assert not duplicate_asked(make_draft(session, case, first_session_dose_mg=None), session)


def test_an_overdue_one_is_no_duplicate_and_one_on_its_last_day_is(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    make_signed(session, case)
    session.execute(text("UPDATE eligibility_decisions SET valid_until = '2027-12-31'"))
    moment.move_to(datetime(2027, 5, 23, 20, 0, tzinfo=UTC))
    assert duplicate_asked(make_draft(session, case), session)
    moment.shift(timedelta(days=1))
    assert not duplicate_asked(make_draft(session, case), session)


def test_a_duplicate_counts_across_the_patients_episodes(session: Session, case: Case) -> None:
    make_signed(session, case)
    again = make_case(session, world=case.world)
    again.episode.patient_id = case.episode.patient_id
    session.flush()
    session.expire_all()
    row = make_draft(session, again)
    assert duplicate_asked(row, session)


def test_of_two_marked_ready_the_second_needs_the_reason(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    first, second = make_draft(session, case), make_draft(session, case)
    prescriptions.mark_ready(session, case.prescriber, first.id, {})
    moment.shift(timedelta(minutes=1))
    with pytest.raises(RuleRefused):
        prescriptions.mark_ready(session, case.prescriber, second.id, {})
    prescriptions.mark_ready(session, case.prescriber, second.id, REASON)
    assert isinstance(sign_rows(session, case, second), Signed)
    assert refusing_rules(session, case, first) == {"prescribing.duplicate_active"}


def end_papers(session: Session, case: Case, kind: type[Licence] | type[DeaRegistration]) -> None:
    for paper in session.query(kind).filter_by(account_id=case.world.prescriber.id):
        paper.revoked_on = date(2026, 11, 20)


BROKEN: list[tuple[Callable[[Session, Case], object], set[str]]] = [
    (lambda session, case: end_papers(session, case, Licence), {"people.licence_not_valid_on_day"}),
    (
        lambda session, case: end_papers(session, case, DeaRegistration),
        {"people.dea_not_valid_on_day", "prescribing.required_dea_number_missing"},
    ),
    (lambda session, case: raise_risk(session, case, high=True), {"prescribing.suicide_risk_open"}),
    (
        lambda session, case: session.execute(text("DELETE FROM pdmp_checks")),
        {"prescribing.pdmp_missing"},
    ),
    (
        lambda session, case: session.execute(text("UPDATE eligibility_decisions SET valid_until = '2026-11-22'")),
        {"prescribing.eligibility_not_current"},
    ),
]


@pytest.mark.parametrize(("breaks", "rules"), BROKEN)
def test_everything_is_checked_again_on_the_day(
    session: Session, case: Case, breaks: Callable[[Session, Case], object], rules: set[str]
) -> None:
    row = make_ready(session, case)
    breaks(session, case)
    session.flush()
    session.expire_all()
    assert refusing_rules(session, case, row) == rules
    assert row.state == "ready"


def test_a_pdmp_check_counts_for_seven_days(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    rows = [make_ready(session, case), make_ready(session, case)]
    moment.shift(timedelta(days=7))
    assert isinstance(sign_rows(session, case, rows[0]), Signed)
    moment.shift(timedelta(days=1))
    assert refusing_rules(session, case, rows[1]) == {"prescribing.pdmp_too_old"}


def test_after_the_telemedicine_flexibilities_an_evaluation_must_be_on_record(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    moment.move_to(datetime(2027, 1, 4, 20, 0, tzinfo=UTC))
    check_pdmp(session, case)
    without = make_ready(session, case)
    assert refusing_rules(session, case, without) == {"prescribing.no_in_person_evaluation"}
    prescriptions.change(session, case.prescriber, without.id, {"in_person_evaluated_on": date(2026, 12, 1)})
    prescriptions.mark_ready(session, case.prescriber, without.id, {})
    assert isinstance(sign_rows(session, case, without), Signed)


def test_a_concern_found_after_ready_needs_a_reason_before_signing(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = make_ready(session, case)
    check_pdmp(session, case, finding=PdmpFinding.CONCERN, states=["CA", "NV"])
    moment.shift(timedelta(hours=1))
    check_pdmp(session, case)  # a later check that saw nothing does not undo the concern
    assert refusing_rules(session, case, row) == {"prescribing.pdmp_concern"}
    prescriptions.mark_ready(session, case.prescriber, row.id, {"prescribing.pdmp_concern": Personal("Called them.")})
    assert isinstance(sign_rows(session, case, row), Signed)


def test_a_very_high_dose_needs_a_second_prescriber(session: Session, case: Case) -> None:
    high = {"dose_mg": 200, "booster_mg": 450, "quantity_units": 13, "weight_kg": 200}
    row = make_ready(session, case, reasons={"prescribing.dose_high": "Weighed."}, **high)
    assert refusing_rules(session, case, row) == {"prescribing.second_prescriber_missing"}
    second = make_actor(make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team))
    prescriptions.agree(session, second, row.id)
    assert isinstance(sign_rows(session, case, row), Signed)
    assert verify_signature(session, row)


def test_a_new_one_takes_the_place_of_the_one_it_replaces(session: Session, case: Case) -> None:
    old = make_signed(session, case)
    new = make_signed(session, case, replaces_id=old.id)
    assert (old.state, new.state) == ("superseded", "signed")
    assert {each["party"] for each in emitted(session, EventKind.PRESCRIPTION_CANCELLED)} == {
        Party.PHARMACY,
        Party.THERAPIST,
    }


def test_replacing_what_was_lost_takes_a_fresh_pdmp_check_and_settles_the_question(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    old = make_signed(session, case)
    fill = make_fill(session, case, old)
    moment.shift(timedelta(hours=1))
    fills.mark_undelivered(session, fill.id)
    asked: Task = open_task(
        session,
        TaskKind.DECIDE_REPLACEMENT,
        party=Party.MEDICAL_TEAM,
        owner_id=case.world.prescriber.id,
        subject=Subject("shipment", fill.id),
        due_at=clock.now(),
        episode_id=case.episode.id,
    )
    new = make_ready(session, case, replaces_id=old.id)
    assert refusing_rules(session, case, new) == {"prescribing.pdmp_before_loss"}
    check_pdmp(session, case)
    assert isinstance(sign_rows(session, case, new), Signed)
    assert asked.state == "completed"


def test_naming_one_that_was_not_lost_spares_no_follow_up(session: Session, case: Case) -> None:
    old = make_signed(session, case)
    make_fill(session, case, old)
    new = make_draft(session, case, replaces_id=old.id, first_session_dose_mg=None)
    prescriptions.mark_ready(session, case.prescriber, new.id, {})
    assert refusing_rules(session, case, new) == {"prescribing.follow_up_missing"}
    hold_stock(session, case.episode)
    enter(session, case.prescriber, case.episode, Movement.LOST_AT_HOME, Fraction(3), None, {"reason": None})
    assert refusing_rules(session, case, new) == {"prescribing.follow_up_missing"}  # four for three lost
    enter(session, case.prescriber, case.episode, Movement.LOST_AT_HOME, Fraction(1), None, {"reason": None})
    assert isinstance(sign_rows(session, case, new), Signed)
    again = make_draft(session, case, replaces_id=old.id, first_session_dose_mg=None)
    prescriptions.mark_ready(session, case.prescriber, again.id, {"prescribing.duplicate_active": Personal("Why.")})
    assert refusing_rules(session, case, again) == {"prescribing.follow_up_missing"}  # made up for already


def set_column(session: Session, row: Prescription, column: str, value: object) -> None:
    session.flush()
    session.execute(text(f"UPDATE prescriptions SET {column} = :value WHERE id = :id"), {"value": value, "id": row.id})
    session.expire_all()


ALTERATIONS = [
    ("prescriber_id", "another"),
    ("agreed_by", "another"),
    ("issued_on", date(2026, 11, 24)),
    ("expires_on", date(2027, 11, 24)),
    ("signed_at", datetime(2026, 11, 23, 20, 0, 1, tzinfo=UTC)),
    ("signature", b"\x00" * 64),
    ("signing_key", "k-000000000000"),
    ("signed_content", None),
    ("signature", None),
]


def test_an_alteration_in_the_database_is_found(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    for column, value in ALTERATIONS:
        before = getattr(row, column)
        set_column(session, row, column, case.world.therapist.id if value == "another" else value)
        assert not verify_signature(session, row), column
        set_column(session, row, column, before)
        assert verify_signature(session, row), column


def test_a_spoilt_or_exchanged_content_is_found(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    content = row.content or b""
    set_column(session, row, "content", content[:-1] + bytes([content[-1] ^ 1]))
    assert not verify_signature(session, row)


def test_content_sealed_anew_by_somebody_with_the_keys_is_found(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    own = prescriptions.box(session, row.patient_id)
    changed = content_of(own, row).changed(quantity_units=40).as_dict()
    own.seal(row, "content", changed)
    session.flush()
    assert not verify_signature(session, row)


def test_an_untouched_one_still_verifies_after_the_patient_moved_and_the_prescriber_left(
    session: Session, case: Case
) -> None:
    row = make_signed(session, case)
    operator = case.actor("operator")
    accounts.disable_account(session, operator, case.world.prescriber.id)
    for paper in session.query(DeaRegistration).filter_by(account_id=case.world.prescriber.id):
        practitioners.revoke_dea_registration(session, SYSTEM, paper.id)
    session.flush()
    assert verify_signature(session, row)
    assert session.get_one(Account, row.prescriber_id).disabled_at is not None
