"""Which written texts may speak of suicide: a patient's by the words of text messages, a clinician's by others."""

from __future__ import annotations

import pytest

from services.core.personal import Personal
from services.messaging.keywords import Command, may_be_crisis, read
from services.screening.written_texts import Advice, advice_on, may_concern


@pytest.mark.parametrize(
    "text",
    [
        "Patient reports suicidal thoughts since Tuesday.",
        "She wishes she was dead.",
        "He said he wants to die",
        "Talked of killing himself with his father's gun.",
        "Cuts herself when alone",
        "Self-harm resumed this week.",
        "passive SI, no plan",
        "Took an overdose in 2019.",
        "Wrote goodbye letters to both children.",
        "Feels the family is better off without her.",
        "DIED? no. Suicidal: yes.",
        "Denies suicidal ideation but took too many tablets last night.",
        "No. Suicidal thoughts daily.",
        "No, suicidal thoughts daily.",
        "no longer suicidal",
        "Denies suicidal ideation. Wants to end his life.",
        "thoughts of\ndeath",
        "S U I C I D A L and suicidal",
        "kill myself (quoting the patient)",
    ],
)
def test_a_clinicians_text_that_may_speak_of_suicide_is_found(text: str) -> None:
    assert may_concern(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Slept well, mood lifted, walks every day.",
        "Denies suicidal ideation.",
        "denied any suicidal thoughts; future-oriented",
        "No SI, no self-harm.",
        "Not suicidal. No current suicidal ideation, no thoughts of suicide.",
        "Negative for SI",
        "Chest pain after the first dose, gone in ten minutes; no emergency.",
        "Hopeless about work, hopeful about family.",
        "Took the tablets as prescribed.",
        "Her father died in May.",
        "Cut the dose in half.",
    ],
)
def test_a_clinicians_text_that_does_not_is_left_alone(text: str) -> None:
    assert not may_concern(text)


@pytest.mark.parametrize("text", ["I want to die", "i cant go on like this anymore", "chest pain", "help me"])
def test_a_patients_text_is_read_like_a_text_message(text: str) -> None:
    assert may_be_crisis(text)
    assert read(text).command is Command.CRISIS


@pytest.mark.parametrize("text", ["Sertraline 50 mg", "One lozenge broke in the bag", "quit", "STOP"])
def test_a_patients_everyday_text_is_left_alone(text: str) -> None:
    assert not may_be_crisis(text)


def test_a_cry_for_help_counts_as_a_sentence_of_its_own() -> None:
    assert may_be_crisis("A quiet day. Help me! Tomorrow I see my sister.")
    assert not may_be_crisis("My sister came to help me move house.")


def test_a_crisis_is_found_deep_in_a_long_text() -> None:
    assert may_be_crisis("The session was calm. " * 200 + "At night I wanted to kill myself. " + "Then I slept. " * 50)
    assert may_concern("The session was calm. " * 200 + "At night she wanted to kill herself. " + "Then slept. " * 50)


def test_the_advice_on_a_note_has_one_length() -> None:
    assert advice_on(Personal("She wants to die.")) is Advice.DO_CSSRS
    assert advice_on(Personal("She wants to dance.")) is Advice.NO_CSSRS
    assert len({len(advice) for advice in Advice}) == 1
