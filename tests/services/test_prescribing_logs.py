"""What is told to those who sign, monthly, and what the desk has to look at, daily (DOMAIN 5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import Conflict, NotAllowed, NotFound
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.models import SigningGrant
from services.people.signing_grants import EndCode
from services.prescribing import fills, security_reviews, signing_access, signing_logs
from services.prescribing.models import SecurityReview, SigningLog
from services.prescribing.security_reviews import SecurityEvent
from tests.factories import audited, make_account, make_actor
from tests.factories_messaging import emitted
from tests.factories_prescribing import DEFAULT, Case, make_case, make_ready, make_signed, sign

# 23:30 on November 30 where the team works (California).
LAST_NIGHT = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(LAST_NIGHT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


def test_the_month_being_over_each_gets_one_log_of_all_they_signed(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = make_signed(session, case)
    assert signing_logs.keep_due(session) == 0
    moment.shift(timedelta(minutes=31))
    assert (signing_logs.keep_due(session), signing_logs.keep_due(session)) == (1, 0)
    (told,) = emitted(session, EventKind.SIGNING_LOG_READY)
    assert (told["party"], told["data"]) == (Party.MEDICAL_TEAM, {"owner": str(case.world.prescriber.id)})
    (log,) = signing_logs.list_logs(session, case.prescriber)
    assert log.month == date(2026, 11, 1)
    _, lines = signing_logs.read_log(session, case.prescriber, log.id)
    (line,) = lines.reveal()
    assert (line["prescription_id"], line["issued_on"], line["drug"]) == (str(row.id), "2026-11-30", "ketamine")
    assert line["patient_name"].startswith("Pat Example")
    assert (line["quantity"], line["signed_outside"], line["signature_valid"]) == (4, False, True)
    assert {"signing_log.keep", "signing_log.read"} <= set(audited(session))


def test_what_is_signed_after_the_months_end_stands_in_the_next_log(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    moment.shift(timedelta(minutes=30))  # midnight
    make_signed(session, case)
    assert signing_logs.keep_due(session) == 0
    moment.move_to(datetime(2027, 1, 7, 7, 0, tzinfo=UTC))
    assert signing_logs.keep_due(session) == 1
    assert [log.month for log in session.query(SigningLog)] == [date(2026, 12, 1)]


def test_a_log_is_sealed_and_read_by_nobody_else(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    make_signed(session, case)
    moment.shift(timedelta(days=1))
    signing_logs.keep_due(session)
    (log,) = session.query(SigningLog)
    stored = session.execute(text("SELECT l::text FROM signing_logs l")).scalar_one()
    assert "ketamine" not in stored
    colleague = make_actor(make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team))
    assert signing_logs.list_logs(session, colleague) == []
    with pytest.raises(NotFound):
        signing_logs.read_log(session, colleague, log.id)
    for who in ("operator", "medical_staff", "pharmacist", "therapist"):
        with pytest.raises(NotAllowed):
            signing_logs.read_log(session, case.actor(who), log.id)


def test_what_was_altered_since_shows_in_the_log(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = make_signed(session, case)
    session.flush()
    session.execute(text("UPDATE prescriptions SET expires_on = '2030-01-01' WHERE id = :id"), {"id": row.id})
    session.expire_all()
    moment.shift(timedelta(days=1))
    signing_logs.keep_due(session)
    (log,) = session.query(SigningLog)
    (line,) = signing_logs.read_log(session, case.prescriber, log.id)[1].reveal()
    assert (line["prescription_id"], line["signature_valid"], line["drug"]) == (str(row.id), False, None)


def test_that_it_reached_the_pharmacy_is_on_record(session: Session, case: Case) -> None:
    fills.note_transmission(session, make_signed(session, case).id, DEFAULT)
    fills.note_transmission(session, new_id(), DEFAULT)  # about nothing that there is
    assert audited(session).count("prescription.transmit") == 1


def trouble(session: Session, case: Case) -> None:
    """One security event of each kind, and what is none."""
    sign(session, case, make_ready(session, case), code="000000")
    (grant,) = session.query(SigningGrant).filter_by(account_id=case.world.prescriber.id)
    signing_access.end(session, case.actor("operator"), grant.id, EndCode.WITHDRAWN)
    for action, outcome in (
        ("prescription.sign", "denied"),
        ("licence.revoke", "done"),
        ("prescription.verify", "failed"),
        ("dead_letter.bury", "failed"),
        ("prescription.sign", "done"),
        ("account.sign_in", "done"),
        ("prescription.read", "denied"),
    ):
        record(session, SYSTEM, action, "thing", new_id(), outcome=outcome)
    session.commit()


def opened(session: Session) -> SecurityReview:
    return session.query(SecurityReview).order_by(SecurityReview.day.desc()).first()  # type: ignore[return-value]


def test_the_desk_reviews_the_events_of_each_day_once(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    trouble(session, case)
    moment.shift(timedelta(minutes=31))
    assert (security_reviews.open_due(session), security_reviews.open_due(session)) == (1, 0)
    row = opened(session)
    assert (row.day, row.until - row.since) == (date(2026, 11, 30), timedelta(days=1))
    assert security_reviews.counts_of(session, row) == dict.fromkeys(SecurityEvent, 1)
    (told,) = emitted(session, EventKind.SECURITY_REVIEW_DUE)
    assert told["party"] == Party.OPERATIONS
    desk = case.actor("operator")
    assert {each.kind for each in security_reviews.list_events(session, desk, row.id)} == set(SecurityEvent)
    asked = open_task(
        session,
        TaskKind.REVIEW_SECURITY,
        party=Party.OPERATIONS,
        owner_id=case.world.operations.id,
        subject=Subject("security_review", row.id),
        due_at=clock.now(),
    )
    security_reviews.review(session, desk, row.id, Personal("Called the prescriber: a typing mistake."))
    assert (row.reviewed_by, row.reviewed_at, asked.state) == (desk.id, clock.now(), "completed")
    assert security_reviews.remark_of(session, row).reveal() == "Called the prescriber: a typing mistake."
    with pytest.raises(Conflict) as refusal:
        security_reviews.review(session, desk, row.id)
    assert refusal.value.rule == "prescribing.security_reviewed"
    assert {"security_review.open", "security_review.read", "security_review.review"} <= set(audited(session))


def test_a_day_without_events_is_on_record_and_asks_nobody(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    moment.shift(timedelta(days=3))
    assert security_reviews.open_due(session) == 1
    assert security_reviews.counts_of(session, opened(session)) == {}
    assert emitted(session, EventKind.SECURITY_REVIEW_DUE) == []


def test_after_an_outage_one_review_covers_all_the_days_since_the_last(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    security_reviews.open_due(session)
    first = opened(session)
    moment.shift(timedelta(minutes=5))
    trouble(session, case)
    moment.shift(timedelta(days=4))
    assert security_reviews.open_due(session) == 1
    row = opened(session)
    assert (row.since, row.day) == (first.until, date(2026, 12, 3))
    assert sum(security_reviews.counts_of(session, row).values()) == len(SecurityEvent)


@pytest.mark.parametrize("who", ["prescriber", "medical_staff", "pharmacist", "therapist"])
def test_only_the_desk_sees_security_events(session: Session, case: Case, who: str) -> None:
    security_reviews.open_due(session)
    row = opened(session)
    with pytest.raises(NotAllowed):
        security_reviews.list_events(session, case.actor(who), row.id)
    with pytest.raises(NotAllowed):
        security_reviews.review(session, case.actor(who), row.id)
    with pytest.raises(NotFound):
        security_reviews.read_review(session, case.actor("operator"), new_id())
