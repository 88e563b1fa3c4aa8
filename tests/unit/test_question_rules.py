"""Who gets a patient's question, and which answers may stand in a text message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.core.findings import Severity
from services.core.programme import programme, shipped
from services.core.vocabulary import Party
from services.messaging.keywords import Command, resemblances
from services.questions.answer_rules import AnswerFacts, answer_findings
from services.questions.routing_rules import RULES, AskedFacts, routed
from services.questions.topics import Topic, clinical_word, folded, topics_of

OPTIONS = programme(shipped()["options_md"])
PARCEL = {"parcel_under_way": True}


def route_of(text: str, **state: Any) -> tuple[str, Party]:
    like = resemblances(text)
    facts = AskedFacts(
        topics=topics_of(text),
        like_opt_out=Command.STOP in like,
        like_receipt=Command.RECEIVED in like,
        like_confirmation=Command.CONFIRM in like,
        **state,
    )
    found = routed(facts)
    return found.rule.id, found.party


@pytest.mark.parametrize(
    ("text", "state", "rule", "party"),
    [
        ("I feel dizzy since yesterday", {}, "questions.of_symptoms", "medical_team"),
        ("My session was great but now I have a headache", {}, "questions.of_symptoms", "medical_team"),
        ("the bleeding won't stop", {}, "questions.of_symptoms", "medical_team"),
        ("package came and I am nauseous", PARCEL, "questions.of_symptoms", "medical_team"),
        ("could you stop with all of this", {}, "questions.maybe_opt_out", "operations"),
        ("Where is my package?", {}, "questions.of_delivery", "pharmacy"),
        ("has my medicine shipped yet", PARCEL, "questions.of_delivery", "pharmacy"),
        ("has my medicine shipped yet", {}, "questions.of_medicine", "medical_team"),
        ("Can I drink coffee before my session?", {}, "questions.of_medicine", "medical_team"),
        ("How many tablets should I take", {}, "questions.of_medicine", "medical_team"),
        ("What time is my appointment tomorrow", {}, "questions.of_visit", "therapist"),
        ("I'll be late", {}, "questions.of_visit", "therapist"),
        (
            "What time is my appointment tomorrow",
            {"has_therapist": False},
            "questions.of_visit_without_therapist",
            "medical_team",
        ),
        ("sealed ok i think", PARCEL, "questions.while_parcel_travels", "pharmacy"),
        ("sealed ok i think", {}, "questions.unclear", "operations"),
        ("who is this?", {}, "questions.unclear", "operations"),
        ("", {}, "questions.unclear", "operations"),
    ],
)
def test_a_text_reaches_whoever_can_answer(text: str, state: dict[str, Any], rule: str, party: str) -> None:
    assert route_of(text, **state) == (rule, Party(party))


@pytest.mark.parametrize(
    ("ahead", "therapist", "rule"),
    [(True, True, "questions.before_visit"), (False, True, "questions.unclear"), (True, False, "questions.unclear")],
)
def test_what_answers_to_a_coming_visit_is_the_therapists(ahead: bool, therapist: bool, rule: str) -> None:
    facts = AskedFacts(topics=frozenset(), like_confirmation=True, visit_ahead=ahead, has_therapist=therapist)
    assert routed(facts).rule.id == rule


def test_only_how_somebody_feels_is_urgent() -> None:
    assert [topic for topic in Topic if routed(AskedFacts(topics=frozenset({topic}))).urgent] == [Topic.SYMPTOM]


def test_every_routing_rule_can_speak_about_itself() -> None:
    for rule in RULES.values():
        assert rule.finding(OPTIONS).severity is Severity.INFORM


@pytest.mark.parametrize(
    ("text", "plain"),
    [("I'll  be LATE!", "ill be late"), ("Señor—¿qué?", "senor que"), ("120/80", "120 80"), ("\t\n", "")],
)
def test_texts_are_compared_without_case_accents_and_punctuation(text: str, plain: str) -> None:
    assert folded(text) == plain


def answer(text: str, **changes: Any) -> list[str]:
    facts = AnswerFacts(text=text, people=["Thea Terrell", "Pat Example 7"], medicines=["lorazepam", "st johns wort"])
    return [finding.rule for finding in answer_findings(replace(facts, **changes), OPTIONS)]


@pytest.mark.parametrize(
    "text",
    [
        "Yes, Tuesday at 3 works. See you then.",
        "It left today and should come on Friday.",
        "No, please bring it with you.",
        "We will call you this afternoon.",
        "It is normal, it passes by itself.",
    ],
)
def test_an_answer_that_tells_nothing_goes_as_a_text(text: str) -> None:
    assert answer(text) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Your therapist will call.", "answers.forbidden_word"),
        ("The pharmacy has it.", "answers.forbidden_word"),
        ("That is a common side effect.", "answers.clinical_word"),
        ("Do not drive today.", "answers.clinical_word"),
        ("Please hold the Lorazepam.", "answers.clinical_word"),
        ("No St. John's Wort please.", "answers.clinical_word"),
        ("Take 100 mg.", "answers.amount"),
        ("Only half of it.", "answers.amount"),
        ("It was 120/80, fine.", "answers.amount"),
        ("About 30% less.", "answers.amount"),
        ("Thea calls you.", "answers.names_somebody"),
        ("Hello Pat, yes.", "answers.names_somebody"),
        ("Ask Options MD.", "answers.names_programme"),
        ("See example.com for it.", "answers.holds_address"),
        ("Write to me@clinic.example", "answers.holds_address"),
        ("Yes ☺", "answers.not_plain"),
        ("Yes.\nSee you.", "answers.not_plain"),
        ("x" * 91, "answers.too_long"),
    ],
)
def test_an_answer_that_tells_something_goes_behind_a_link(text: str, rule: str) -> None:
    assert rule in answer(text)


def test_the_longest_answer_fits_one_text() -> None:
    assert answer("x" * 90) == []
    (rule,) = answer("x" * 91)
    assert rule == "answers.too_long"
    assert answer("{" * 46) == ["answers.too_long"]  # each takes two units


def test_whoever_answers_may_always_take_the_more_careful_way() -> None:
    assert answer("Yes.", by_link=True) == ["answers.as_asked"]


def test_a_name_is_found_as_a_whole_word_only() -> None:
    assert answer("The parking is at the back.", people=["Ark Heba"]) == []
    assert answer("We are here.", people=["Al We"]) == []  # two letters name nobody


def test_clinical_words_are_those_of_the_topics() -> None:
    assert clinical_word("Are you dizzy?") == "dizzy"
    assert clinical_word("How many tablets?") == "how many"
    assert clinical_word("See you soon") is None
