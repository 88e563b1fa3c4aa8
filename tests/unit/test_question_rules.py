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
from services.questions.routing_rules import CLINICAL, RULES, Answering, AskedFacts, asks_clinically, routed
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
    assert (routed(facts).party is Party.THERAPIST) is (rule == "questions.before_visit")


@pytest.mark.parametrize("only", ["like_receipt", "like_confirmation", "parcel_under_way", "visit_ahead"])
def test_a_text_is_an_answer_only_to_what_is_under_way_and_only_when_it_sounds_like_one(only: str) -> None:
    state: dict[str, bool] = {only: True}
    assert routed(AskedFacts(topics=frozenset(), **state)).rule.id == "questions.unclear"


def test_a_question_is_forwarded_to_any_party_but_the_patient() -> None:
    assert {each.name: each.value for each in Answering} == {
        "THERAPIST": "therapist",
        "MEDICAL_TEAM": "medical_team",
        "PHARMACY": "pharmacy",
        "OPERATIONS": "operations",
    }


def test_only_how_somebody_feels_is_urgent() -> None:
    assert [topic for topic in Topic if routed(AskedFacts(topics=frozenset({topic}))).urgent] == [Topic.SYMPTOM]


def test_every_routing_rule_can_speak_about_itself() -> None:
    assert {name.removeprefix("questions.") for name in RULES} == {
        *("of_symptoms", "maybe_opt_out", "of_delivery", "of_medicine", "of_visit", "of_visit_without_therapist"),
        *("while_parcel_travels", "before_visit", "unclear"),
    }
    for rule in RULES.values():
        assert rule.finding(OPTIONS).severity is Severity.INFORM


@pytest.mark.parametrize(
    ("text", "plain"),
    [("I'll  be LATE!", "ill be late"), ("Señor—¿qué?", "senor que"), ("120/80", "120 80"), ("\t\n", "")],
)
def test_texts_are_compared_without_case_accents_and_punctuation(text: str, plain: str) -> None:
    assert folded(text) == plain


def answer(text: str, **changes: Any) -> list[str]:
    names = ["lorazepam", "st johns wort", "qids_sr16"]
    facts = AnswerFacts(text=text, people=["Thea Terrell", "Pat Example 7"], clinical_names=names)
    return [finding.rule for finding in answer_findings(replace(facts, **changes), OPTIONS)]


@pytest.mark.parametrize(
    "text",
    [
        "Yes, Tuesday at 3 works. See you then.",
        "It left today and should come on Friday.",
        "No, please bring it with you.",
        "We will call you this afternoon.",
        "Tuesday at one in the afternoon, as agreed.",
        "Tomorrow at 10:30, yes.",
        "It is at 3 pm on June 3.",
        "No, on 4th of July at 11 o'clock.",
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
        ("Take 2 not 1 tonight.", "answers.amount"),
        ("Take 2 not 1 tonight.", "answers.clinical_word"),
        ("Your QIDS is 14", "answers.amount"),
        ("Your QIDS is up", "answers.clinical_word"),
        ("Your QIDS-SR16 is up", "answers.clinical_word"),
        ("Your C-SSRS was high", "answers.clinical_word"),
        ("Your BP was high: 150 over 95", "answers.amount"),
        ("Your BP was high", "answers.clinical_word"),
        ("Increase to three from next week", "answers.amount"),
        ("Go up to three from next week", "answers.amount"),
        ("It is 3", "answers.amount"),
        ("Only 2 may be left", "answers.amount"),
        ("See you at 3", "answers.amount"),
        ("It was 14:5, fine", "answers.amount"),
        ("Only \N{VULGAR FRACTION ONE QUARTER} of it", "answers.amount"),
        ("You have cancer", "answers.clinical_word"),
        ("no cocaine", "answers.clinical_word"),
        ("The tests came back", "answers.clinical_word"),
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


def test_any_answer_to_what_was_asked_of_medicine_or_the_body_goes_behind_a_link() -> None:
    assert answer("Yes.", asked_clinically=True) == ["answers.asked_clinically"]
    assert {"questions.of_symptoms", "questions.of_medicine"} == CLINICAL
    assert asks_clinically(topics_of("I am dizzy"))
    assert asks_clinically(topics_of("May I eat?"))
    assert not asks_clinically(topics_of("Where is my parcel with the medicine"))
    assert not asks_clinically(topics_of("What time is my appointment"))


def test_a_name_is_found_as_a_whole_word_only() -> None:
    assert answer("The parking is at the back.", people=["Ark Heba"]) == []
    assert answer("We are here.", people=["Al We"]) == []  # two letters name nobody


def test_a_programme_is_named_by_its_title_and_by_its_name() -> None:
    facts = AnswerFacts(text="", people=[], clinical_names=[])
    ours = replace(OPTIONS, name="blue_door", title="Harbour House")
    for text, rules in (
        ("Ask the Blue Door.", ["answers.names_programme"]),
        ("Ask Harbour House.", ["answers.names_programme"]),
        ("The door is blue, the house by the harbour.", []),
    ):
        assert [finding.rule for finding in answer_findings(replace(facts, text=text), ours)] == rules


def test_a_name_without_letters_is_found_nowhere() -> None:
    assert answer("!", clinical_names=["?"]) == []


def test_clinical_words_are_those_of_the_topics() -> None:
    assert clinical_word("Are you dizzy?") == "dizzy"
    assert clinical_word("How many tablets?") == "how many"
    assert clinical_word("See you soon") is None
