"""From a session to the patient's answers: through timers, the patient's queue, a text with a link, and the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.vocabulary import NoticeKind, Party, TaskKind
from services.messaging.models import Notice, Task
from services.messaging.timers import fire_due
from services.outcomes.models import Assessment
from services.outcomes.schedules import TEXTS
from services.sessions.states import SessionState
from services.vault.boxes import box
from tests.api.conftest import Api, Caller
from tests.factories_outcomes import answers
from tests.factories_prescribing import Case
from tests.factories_sessions import drive, make_supplied, stopped_clock
from tests.workers.bags import work

DAY = timedelta(days=1)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


def pass_time(session: Session, moment: time_machine.Traveller, days: int) -> None:
    """Days go by, and what falls due meanwhile happens."""
    for _ in range(days):
        moment.shift(DAY)
        fire_due(session)
        work(session, Party.PATIENT, Party.THERAPIST)
        work(session, Party.PATIENT)  # what the first round brought about


def after_two_sessions(session: Session, moment: time_machine.Traveller) -> Case:
    case = make_supplied(session)
    drive(session, case, SessionState.CLOSED, moment)
    moment.shift(timedelta(days=7))
    drive(session, case, SessionState.INTEGRATION_DUE, moment)
    work(session, Party.PATIENT)
    return case


def texts(session: Session, case: Case) -> list[Notice]:
    session.expire_all()
    query = select(Notice).where(Notice.recipient_id == case.patient.id, Notice.kind.in_(sorted(TEXTS)))
    return list(session.scalars(query.order_by(Notice.created_at, Notice.id)))


def come_in(api: Api, session: Session, notice: Notice) -> Caller:
    """The patient follows the link in a text."""
    body = box(session, notice.recipient_id).open(notice, "body").reveal()
    assert not re.search("phq|gad|score|dose|session|ketamine", body, re.IGNORECASE)
    (token,) = re.findall(r"/l/(\S+)", body)
    answer = api.anonymous().post("/links/exchange", {"token": token})
    assert answer.status_code == 200, answer.json
    return api.with_token(answer.json["token"])


def test_two_days_after_the_second_session_the_patient_is_texted_answers_and_hears_no_more(
    api: Api, session: Session, moment: time_machine.Traveller
) -> None:
    case = after_two_sessions(session, moment)
    assert session.scalars(select(Assessment)).all() == []
    pass_time(session, moment, 2)
    (link,) = texts(session, case)
    assert link.kind == NoticeKind.ASSESSMENT_LINK
    patient = come_in(api, session, link)
    (asked,) = patient.get(f"/episodes/{case.episode.id}/assessments").json["items"]
    assert (asked["occasion"], asked["number"], asked["state"]) == ("after_session", 2, "requested")
    place = f"/assessments/{asked['id']}"
    assert patient.patch(place, {"answers": answers()}).status_code == 200
    assert patient.post(f"{place}/complete").status_code == 200
    pass_time(session, moment, 4)
    assert [notice.kind for notice in texts(session, case)] == [NoticeKind.ASSESSMENT_LINK]
    (outcome,) = api.as_account(case.world.therapist).get(f"/episodes/{case.episode.id}/outcomes").json["items"]
    assert (outcome["assessment_id"], outcome["scales"][0]["outcome"]) == (asked["id"], "response")


def test_who_does_not_answer_is_texted_on_three_days_and_then_the_therapist_has_a_task(
    api: Api, session: Session, moment: time_machine.Traveller
) -> None:
    case = after_two_sessions(session, moment)
    pass_time(session, moment, 4)
    sent = texts(session, case)
    assert [notice.kind for notice in sent] == [NoticeKind.ASSESSMENT_LINK, *[NoticeKind.ASSESSMENT_REMINDER] * 2]
    row = session.scalars(select(Assessment)).one()
    tasks = select(Task.kind).where(Task.subject_id == row.id)
    assert session.scalars(tasks).all() == []
    pass_time(session, moment, 1)
    assert session.scalars(tasks).all() == [TaskKind.CONTACT_PATIENT]
    assert len(texts(session, case)) == 3
    # The last link works; each newer one ended those before it.
    patient = come_in(api, session, sent[-1])
    assert patient.get(f"/assessments/{row.id}").status_code == 200
    pass_time(session, moment, 12)
    session.refresh(row)
    assert row.state == "lapsed"
