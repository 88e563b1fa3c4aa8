"""Questions over HTTP: the inbox, the thread, the answer and its way."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.incoming import AskedText
from services.people.models import Episode
from services.questions.asking import open_question
from services.questions.models import Question
from services.questions.routing_rules import AskedFacts, routed
from services.questions.topics import topics_of
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_patient_actor, make_world

WORDS = "What time is my visit?"


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session, programme="options_md")


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world)


@pytest.fixture
def question(session: Session, episode: Episode) -> Question:
    route = routed(AskedFacts(topics=topics_of(WORDS)))
    asked = AskedText(Personal(WORDS), new_id(), frozenset())
    return open_question(session, make_patient_actor(episode), episode, route, asked)


def test_the_therapist_reads_and_answers_in_a_text(
    api: Api, world: World, episode: Episode, question: Question
) -> None:
    therapist, path = api.as_account(world.therapist), f"/questions/{question.id}"
    assert [each["id"] for each in therapist.get("/questions?state=asked").json["items"]] == [str(question.id)]
    read = therapist.get(path)
    assert (read.json["reason"]["rule"], read.headers["ETag"]) == ("questions.of_visit", '"1"')
    assert [(post["kind"], post["text"]) for post in read.json["posts"]] == [("question", WORDS)]
    given = therapist.post(f"{path}/answer", {"text": "Tuesday at 3."}, headers={"If-Match": '"1"'})
    assert (given.status_code, given.json["way"], given.json["findings"]) == (200, "sms", [])
    patient = api.as_patient(episode).get(path).json
    assert [post["text"] for post in patient["posts"]] == [WORDS, "Tuesday at 3."]
    assert patient["reason"] is None


def test_an_answer_says_which_rule_kept_it_out_of_a_text(api: Api, world: World, question: Question) -> None:
    given = api.as_account(world.therapist).post(
        f"/questions/{question.id}/answer", {"text": "After your 100 mg dose."}
    )
    assert given.json["way"] == "link"
    spoke = [finding["rule"] for finding in given.json["findings"]]
    assert spoke == ["answers.forbidden_word", "answers.clinical_word", "answers.amount"]


def test_forwarding_and_closing(api: Api, world: World, question: Question) -> None:
    path, reason = f"/questions/{question.id}", {"reason": "Yours, I think."}
    therapist, staff = api.as_account(world.therapist), api.as_account(world.medical_staff)
    assert therapist.post(f"{path}/forward", reason).json["rule"] == "questions.forward_to_one"
    assert api.as_account(world.pharmacist).get(path).status_code == 404
    assert therapist.post(f"{path}/forward", {**reason, "party": "patient"}).status_code == 422
    moved = therapist.post(f"{path}/forward", {**reason, "party": "medical_team"})
    assert (moved.status_code, moved.json["owner_id"]) == (200, str(world.medical_team.id))
    refused = therapist.post(f"{path}/answer", {"text": "Yes."})
    assert (refused.status_code, refused.json["rule"]) == (409, "questions.with_somebody_else")
    assert staff.post(f"{path}/close", {"reason": "Called."}).json["state"] == "closed"
    assert staff.post(f"{path}/answer", {"text": "Yes."}).status_code == 409
