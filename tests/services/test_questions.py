"""Questions by text: who gets one, by when, how the answer goes back, and who sees the thread."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock as service_clock
from services.core.actors import SYSTEM, Role
from services.core.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, NoticeKind, Party
from services.exports import export_patient
from services.messaging.incoming import read_sms
from services.messaging.models import Notice, Task, WebhookDelivery
from services.people.consents import ConsentKind, ConsentSource, withdraw_consent
from services.people.links import exchange_link
from services.people.models import Episode
from services.questions import answering
from services.questions.asking import rule_of, take_question
from services.questions.models import Question, QuestionPost
from services.questions.states import QuestionState
from tests.factories import (
    World,
    audit_detail,
    audited,
    make_account,
    make_actor,
    make_episode,
    make_patient_actor,
    make_world,
)
from tests.factories_messaging import DAYTIME, DEFAULT, MOBILE, body_of, emitted, keep_text, texts_of
from workers.effects import OpenedEvent, carry_out

REASON = Personal("Not mine to say.")
YES = Personal("Yes, see you then.")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    return make_world(session, programme="options_md")


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, mobile=MOBILE)


def text(session: Session, body: str) -> WebhookDelivery:
    delivery_id = keep_text(session, body)
    read_sms(session, delivery_id, DEFAULT, {}, take_question)
    session.flush()
    return session.get_one(WebhookDelivery, delivery_id)


def ask(session: Session, body: str = "What time is my visit?") -> Question:
    delivery = text(session, body)
    assert delivery.outcome == "question"
    query = select(Question).join(QuestionPost, QuestionPost.question_id == Question.id)
    return session.scalars(query.where(QuestionPost.message_id == delivery.id)).one()


def carry(session: Session, kind: EventKind) -> None:
    """Let the workers of all parties do what the events of a kind ask for."""
    for payload in emitted(session, kind):
        event = OpenedEvent.from_payload(UUID(int=len(payload)), Party(payload["party"]), kind, payload)
        carry_out(session, [event], DEFAULT)
    session.flush()


@pytest.mark.parametrize(
    ("body", "who", "rule", "hours"),
    [
        ("What time is my visit?", "therapist", "questions.of_visit", 8),
        ("I feel dizzy", "medical_team", "questions.of_symptoms", 2),
        ("May I eat before it?", "medical_team", "questions.of_medicine", 8),
        ("Where is my parcel", "pharmacy", "questions.of_delivery", 8),
        ("who is this", "operations", "questions.unclear", 8),
    ],
)
def test_a_text_becomes_a_task_of_whoever_can_answer(
    session: Session, world: World, episode: Episode, body: str, who: str, rule: str, hours: int
) -> None:
    question = ask(session, body)
    owner = getattr(world, who).id
    assert (question.party, question.owner_id, question.state) == (who, owner, "asked")
    assert rule_of(session, question) == rule
    kind = EventKind.QUESTION_OF_SYMPTOMS if hours == 2 else EventKind.QUESTION_ASKED
    assert [payload["party"] for payload in emitted(session, kind)] == [who]
    assert emitted(session, EventKind.SMS_UNCLEAR) == []
    carry(session, kind)
    task = session.scalars(select(Task).where(Task.subject_id == question.id)).one()
    assert (task.kind, task.owner_id) == ("answer_question", owner)
    assert task.due_at == service_clock.now() + timedelta(hours=hours)
    assert texts_of(session, episode.patient_id) == [("reply_received", "pending")]


def test_where_the_programme_takes_none_the_desk_reads_the_text(session: Session, clock: object) -> None:
    make_episode(session, world=make_world(session), mobile=MOBILE)
    assert text(session, "What time is my visit?").outcome == "unclear"
    assert session.scalar(select(Question)) is None
    assert len(emitted(session, EventKind.SMS_UNCLEAR)) == 1


@pytest.mark.parametrize(
    ("body", "outcome"), [("STOP", "stop"), ("I want to die", "crisis"), ("HELP", "help"), ("  ", "unclear")]
)
def test_commands_crises_and_empty_texts_are_no_questions(
    session: Session, episode: Episode, body: str, outcome: str
) -> None:
    assert text(session, body).outcome == outcome
    assert session.scalar(select(Question)) is None


def test_a_text_from_a_phone_that_two_patients_have_is_nobodys_question(
    session: Session, world: World, episode: Episode
) -> None:
    make_episode(session, world=world, mobile=MOBILE)
    assert text(session, "What time is my visit?").outcome == "unclear"


def test_what_is_added_before_the_answer_goes_into_the_same_thread(session: Session, episode: Episode) -> None:
    question = ask(session)
    text(session, "And which day is my visit?")
    assert session.scalars(select(Question)).all() == [question]
    assert len(answering.read_question(session, make_patient_actor(episode), question.id).posts) == 2
    assert len(emitted(session, EventKind.QUESTION_ASKED)) == 1
    text(session, "Where is my parcel")
    assert len(session.scalars(select(Question)).all()) == 2


def test_what_is_urgent_is_a_question_of_its_own(session: Session, episode: Episode) -> None:
    ask(session, "May I eat before it?")
    assert rule_of(session, ask(session, "I feel dizzy")) == "questions.of_symptoms"
    assert len(session.scalars(select(Question)).all()) == 2


def test_texts_are_kept_sealed(session: Session, episode: Episode) -> None:
    ask(session, "Canary: what time is my visit?")
    post = session.scalars(select(QuestionPost)).one()
    assert post.text is not None
    assert b"Canary" not in post.text
    assert audit_detail(session, "question.ask").keys() == {"to"}


def test_an_answer_that_tells_nothing_goes_back_as_a_text_past_the_limits(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    given = answering.answer(session, world.actor("therapist"), question.id, YES)
    assert (given.way, list(given.findings), question.state) == ("sms", [], "answered")
    carry(session, EventKind.QUESTION_ANSWERED)
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.QUESTION_ANSWER)).one()
    assert (notice.state, notice.reason, notice.purpose) == ("pending", "sms.caps.bypass", "answer")
    shown = body_of(session, notice)
    assert shown.startswith(f"{world.practice.short_name}: Yes, see you then. Call ")
    assert shown.endswith("Reply STOP to opt out")
    assert {"question.ask", "question.answer"} <= set(audited(session))


def test_an_answer_with_clinical_content_goes_behind_a_link_that_works_once(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session, "May I eat before it?")
    given = answering.answer(session, world.actor("prescriber"), question.id, Personal("No food for 4 hours."))
    spoke = ["answers.clinical_word", "answers.asked_clinically", "answers.amount"]
    assert (given.way, [finding.rule for finding in given.findings]) == ("link", spoke)
    carry(session, EventKind.QUESTION_ANSWERED)
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.QUESTION_LINK)).one()
    body = body_of(session, notice)
    assert "food" not in body
    token = Secret(body.partition("/l/")[2].split()[0])
    patient = exchange_link(session, token).actor
    read = answering.read_question(session, patient, question.id)
    assert [each.text.reveal() for each in read.posts] == ["May I eat before it?", "No food for 4 hours."]
    assert read.reason is None


def test_a_yes_tells_something_once_the_thread_is_about_medicine(
    session: Session, world: World, episode: Episode
) -> None:
    episode.therapist_id = None
    question = ask(session)
    text(session, "And may I eat before it?")
    given = answering.answer(session, world.actor("prescriber"), question.id, Personal("Yes."))
    assert (given.way, [finding.rule for finding in given.findings]) == ("link", ["answers.asked_clinically"])


def test_an_answer_waits_for_the_morning(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    question = ask(session)
    clock.shift(timedelta(hours=12))  # 22:00 in California
    answering.answer(session, world.actor("therapist"), question.id, YES)
    carry(session, EventKind.QUESTION_ANSWERED)
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.QUESTION_ANSWER)).one()
    assert (notice.state, notice.reason) == ("held", "sms.quiet_hours")


def test_who_gets_no_texts_reads_the_answer_when_signed_in_and_somebody_is_to_tell_them(
    session: Session, world: World, episode: Episode
) -> None:
    question, patient = ask(session), make_patient_actor(episode)
    withdraw_consent(session, patient, episode, ConsentKind.SMS, source=ConsentSource.LINK)
    given = answering.answer(session, world.actor("therapist"), question.id, YES)
    assert (given.way, question.state) == ("portal", "answered")
    assert emitted(session, EventKind.QUESTION_ANSWERED) == []
    carry(session, EventKind.NOTICE_UNDELIVERED)
    tasks = session.scalars(select(Task).where(Task.subject_id == question.id, Task.kind == "contact_patient")).all()
    assert [task.owner_id for task in tasks] == [world.therapist.id]
    posts = answering.read_question(session, patient, question.id).posts
    assert [each.text.reveal() for each in posts] == ["What time is my visit?", "Yes, see you then."]


def answered_at_night(session: Session, world: World, clock: time_machine.Traveller) -> Question:
    question = ask(session)
    clock.shift(timedelta(hours=12))  # 22:00 in California
    answering.answer(session, world.actor("therapist"), question.id, YES)
    return question


def test_an_answer_that_was_held_and_goes_to_nobody_any_more_is_told_to_the_care_team(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    question = answered_at_night(session, world, clock)
    carry(session, EventKind.QUESTION_ANSWERED)
    text(session, "STOP")
    assert ("question_answer", "suppressed") in texts_of(session, episode.patient_id)
    carry(session, EventKind.NOTICE_UNDELIVERED)
    task = session.scalars(select(Task).where(Task.subject_id == question.id, Task.kind == "contact_patient")).one()
    assert (task.owner_id, task.subject_kind, task.episode_id) == (world.therapist.id, "question", episode.id)


def test_an_answer_to_whoever_opted_out_in_between_is_told_to_the_care_team(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    question = answered_at_night(session, world, clock)
    text(session, "STOP")
    assert emitted(session, EventKind.NOTICE_UNDELIVERED) == []
    carry(session, EventKind.QUESTION_ANSWERED)
    (told,) = emitted(session, EventKind.NOTICE_UNDELIVERED)
    assert told["subject"] == ["question", str(question.id)]


def test_answering_settles_the_task_and_a_second_thought_may_follow(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    carry(session, EventKind.QUESTION_ASKED)
    task = session.scalars(select(Task).where(Task.subject_id == question.id)).one()
    answering.answer(session, world.actor("therapist"), question.id, YES)
    assert task.state == "completed"
    answering.answer(session, world.actor("therapist"), question.id, Personal("And bring water."))
    with pytest.raises(IllegalTransition):
        answering.close(session, world.actor("therapist"), question.id, REASON)


def test_a_question_is_forwarded_to_a_colleague_or_another_party(
    session: Session, world: World, episode: Episode
) -> None:
    question, desk = ask(session, "who is this"), world.actor("operator")
    carry(session, EventKind.QUESTION_ASKED)
    task = session.scalars(select(Task).where(Task.subject_id == question.id)).one()
    answering.forward(session, desk, question.id, REASON, party=Party.MEDICAL_TEAM)
    assert (question.party, question.owner_id, question.state) == ("medical_team", world.medical_team.id, "asked")
    assert task.state == "cancelled"
    with pytest.raises(NotFound):
        answering.read_question(session, desk, question.id)
    answering.forward(session, world.actor("medical_staff"), question.id, REASON, to=world.prescriber.id)
    owners = {each["data"]["owner"] for each in emitted(session, EventKind.QUESTION_FORWARDED)}
    assert owners == {str(world.medical_team.id), str(world.prescriber.id)}
    with pytest.raises(RuleRefused) as refusal:
        answering.answer(session, world.actor("medical_staff"), question.id, YES)
    assert refusal.value.rule == "questions.with_somebody_else"
    answering.answer(session, world.actor("prescriber"), question.id, YES)
    posts = answering.read_question(session, make_patient_actor(episode), question.id).posts
    assert [each.post.kind for each in posts] == ["question", "answer"]


def test_a_question_is_forwarded_to_one(session: Session, world: World, episode: Episode) -> None:
    question, therapist = ask(session), world.actor("therapist")
    for given in ({}, {"to": world.therapist.id, "party": Party.PHARMACY}):
        with pytest.raises(RuleRefused) as refusal:
            answering.forward(session, therapist, question.id, REASON, **given)  # type: ignore[arg-type]
        assert refusal.value.rule == "questions.forward_to_one"
    with pytest.raises(InvalidInput):
        answering.forward(session, therapist, question.id, REASON, to=world.prescriber.id)


def test_a_question_is_never_forwarded_to_the_patient_who_asked(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    with pytest.raises(RuleRefused) as refusal:
        answering.forward(session, world.actor("therapist"), question.id, REASON, party=Party.PATIENT)
    assert [finding.rule for finding in refusal.value.findings] == ["questions.not_to_the_patient"]
    assert (question.party, question.owner_id) == ("therapist", world.therapist.id)
    assert emitted(session, EventKind.QUESTION_FORWARDED) == []


def test_a_question_for_a_missing_therapist_is_the_medical_teams(
    session: Session, world: World, episode: Episode
) -> None:
    episode.therapist_id = None
    question = ask(session)
    assert question.party == "medical_team"
    assert rule_of(session, question) == "questions.of_visit_without_therapist"
    answering.forward(session, world.actor("medical_staff"), question.id, REASON, party=Party.THERAPIST)
    assert (question.party, question.owner_id) == ("medical_team", world.medical_team.id)


def test_the_care_team_sees_a_question_and_others_only_what_is_with_them(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    for who in ("therapist", "prescriber", "medical_staff"):
        read = answering.read_question(session, world.actor(who), question.id)
        assert read.reason is not None
        assert read.reason.rule == "questions.of_visit"
    colleague = make_actor(make_account(session, organisation=world.practice))
    stranger = make_patient_actor(make_episode(session, world=world))
    for actor in (world.actor("pharmacist"), world.actor("operator"), colleague, stranger):
        with pytest.raises(NotFound):
            answering.read_question(session, actor, question.id)
        assert answering.list_questions(session, actor) == []
    assert answering.list_questions(session, SYSTEM) == [question]
    answering.forward(session, world.actor("therapist"), question.id, REASON, to=colleague.id)
    assert answering.list_questions(session, colleague, state=QuestionState.ASKED) == [question]
    with pytest.raises(RuleRefused):
        answering.answer(session, world.actor("therapist"), question.id, YES)
    with pytest.raises(NotAllowed):
        answering.answer(session, make_patient_actor(episode), question.id, YES)


def test_who_had_a_question_once_does_not_keep_it(session: Session, world: World, episode: Episode) -> None:
    question, desk = ask(session, "who is this"), world.actor("operator")
    other = make_actor(make_account(session, organisation=world.operations, role=Role.OPERATIONS))
    assert answering.list_questions(session, other) == [question]
    answering.answer(session, desk, question.id, YES)
    assert answering.list_questions(session, other) == []
    with pytest.raises(NotFound):
        answering.read_question(session, other, question.id)
    assert answering.list_questions(session, desk) == [question]  # their own answer


def test_a_colleague_reads_what_was_handed_to_them_until_it_is_answered(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    colleague = make_actor(make_account(session, organisation=world.practice))
    answering.forward(session, world.actor("therapist"), question.id, REASON, to=colleague.id)
    answering.answer(session, colleague, question.id, YES)
    assert answering.list_questions(session, colleague) == []


def test_the_next_therapist_answers_what_the_one_before_left(session: Session, world: World, episode: Episode) -> None:
    question = ask(session)
    following = make_actor(make_account(session, organisation=world.practice))
    episode.therapist_id = following.id
    session.flush()
    with pytest.raises(NotFound):
        answering.read_question(session, world.actor("therapist"), question.id)
    with pytest.raises(RuleRefused):
        answering.answer(session, world.actor("medical_staff"), question.id, YES)
    answering.answer(session, following, question.id, YES)
    assert (question.owner_id, question.state) == (following.id, "answered")


def test_the_medical_team_answers_what_a_therapist_left_without_another(
    session: Session, world: World, episode: Episode
) -> None:
    question = ask(session)
    episode.therapist_id = None
    session.flush()
    answering.answer(session, world.actor("medical_staff"), question.id, YES)
    assert question.owner_id == world.medical_team.id


def test_closing_needs_a_reason_that_the_patient_does_not_see(session: Session, world: World, episode: Episode) -> None:
    question, therapist = ask(session), world.actor("therapist")
    with pytest.raises(RuleRefused) as refusal:
        answering.close(session, therapist, question.id, Personal(" "))
    assert refusal.value.rule == "questions.text_needed"
    answering.close(session, therapist, question.id, Personal("Called back."), version=question.version)
    assert question.state == "closed"
    posts = answering.read_question(session, make_patient_actor(episode), question.id).posts
    assert [each.post.kind for each in posts] == ["question"]
    with pytest.raises(StaleVersion):
        answering.answer(session, therapist, question.id, YES, version=99)


def test_the_thread_is_part_of_what_a_patient_takes_away(session: Session, world: World, episode: Episode) -> None:
    ask(session, "Which time is my visit?")
    taken = export_patient(session, make_patient_actor(episode), episode.patient_id)
    assert [post["text"] for post in taken["records"]["question_posts"]] == ["Which time is my visit?"]


def test_what_staff_write_of_suicide_asks_for_a_look(session: Session, world: World, episode: Episode) -> None:
    question = ask(session)
    answering.answer(session, world.actor("therapist"), question.id, Personal("You told me of suicidal thoughts."))
    assert {each["party"] for each in emitted(session, EventKind.TEXT_CONCERNING)} == {"therapist", "medical_team"}
