"""What a patient's text means (DOMAIN 7) and what may be a crisis (DOMAIN 2.2)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.keywords import Command, Reading, Seal, read

STOP_FAMILY = (
    "STOP",
    "STOPALL",
    "STOP ALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "REVOKE",
    "OPTOUT",
    "OPT OUT",
    "OPT-OUT",
    "REMOVE",
)


@pytest.mark.parametrize("word", STOP_FAMILY)
@pytest.mark.parametrize(
    "shape", ["{}", " {} ", "{}.", "“{}”", "{}!!!", "\n{}\t", "*{}*", "{} \N{OCTAGONAL SIGN}", "{}\u200b"]
)
def test_each_word_of_the_stop_family_alone_is_stop(word: str, shape: str) -> None:
    for written in (word, word.lower(), word.title(), word.replace(" ", "   ")):
        assert read(shape.format(written)) == Reading(Command.STOP)


@pytest.mark.parametrize(
    "text",
    [
        "stop please",
        "Please stop.",
        "please stop texting me",
        "STOP STOP STOP",
        "S.T.O.P.",
        "ＳＴＯＰ",
        "Don’t text me",
        "do not text me again please",
        "no more texts, thanks",
        "I want to opt out",
        "take me off your list",
        "Please remove my number",
        "unsubscribe me",
        "I don't want these texts",
    ],
)
def test_clear_wording_counts_as_an_opt_out(text: str) -> None:
    assert read(text).command is Command.STOP


@pytest.mark.parametrize(
    "text",
    [
        "cancel my appointment",
        "please cancel",
        "the end",
        "stop by at noon",
        "STOP but tell me about my package",
        "can I stop eating before the visit?",
        "remove the appointment on friday",
        "don't stop",
    ],
)
def test_an_unclear_stop_goes_to_a_person(text: str) -> None:
    assert read(text).command is Command.UNCLEAR


@pytest.mark.parametrize("text", ["START", "start.", "Unstop", "YES", "yes!"])
def test_start_unstop_and_yes_are_start(text: str) -> None:
    assert read(text).command is Command.START


@pytest.mark.parametrize("text", ["yes please", "yes I will be there", "start when?", "no", "ok", "y"])
def test_only_the_exact_word_opts_in(text: str) -> None:
    assert read(text).command is Command.UNCLEAR


@pytest.mark.parametrize("text", ["HELP", "help?", "INFO", "Info."])
def test_help_and_info_are_help(text: str) -> None:
    assert read(text).command is Command.HELP


@pytest.mark.parametrize("text", ["CONFIRM", "confirm.", "Confirmed, thank you!", "ok, confirm"])
def test_confirm_confirms(text: str) -> None:
    assert read(text).command is Command.CONFIRM


@pytest.mark.parametrize("text", ["RESCHED", "resched please", "Reschedule", "I need to reschedule"])
def test_resched_asks_for_another_time(text: str) -> None:
    assert read(text).command is Command.RESCHEDULE


@pytest.mark.parametrize(
    "text", ["I cannot confirm", "do not reschedule", "confirm friday instead?", "is my visit confirmed?"]
)
def test_an_unclear_answer_about_a_visit_goes_to_a_person_who_is_told_so(text: str) -> None:
    assert read(text) == Reading(Command.UNCLEAR, resembles=Command.CONFIRM)


@pytest.mark.parametrize(
    ("text", "count", "seal"),
    [
        ("RECEIVED 6 SEALED", 6, Seal.SEALED),
        ("received 12 broken", 12, Seal.BROKEN),
        ("Received, 6, and SEALED.", 6, Seal.SEALED),
        ("Recieved 6 sealed thank you", 6, Seal.SEALED),
        ("received 6 not sealed", 6, Seal.BROKEN),
        ("received 6 seal broken", 6, Seal.BROKEN),
        ("received 6 seal intact", 6, Seal.SEALED),
        ("received 0 sealed", 0, Seal.SEALED),
        ("RECEIVED\n006\nUNSEALED", 6, Seal.BROKEN),
    ],
)
def test_a_receipt_tells_count_and_seal(text: str, count: int, seal: Seal) -> None:
    assert read(text) == Reading(Command.RECEIVED, count=count, seal=seal)


@pytest.mark.parametrize(
    "text",
    [
        "RECEIVED",
        "RECEIVED 6",
        "RECEIVED SEALED",
        "RECEIVED six SEALED",
        "RECEIVED 6 SEALED BROKEN",
        "RECEIVED 6 SEALED 2 BROKEN",
        "RECEIVED 1.5 SEALED",
        "RECEIVED 1000 SEALED",
        "received 6 not sealed well",
        "received 6 sealed?? one looks odd",
        "6 SEALED",
        "my package is not here",
    ],
)
def test_an_incomplete_receipt_is_not_guessed_but_goes_to_a_person_who_is_told_so(text: str) -> None:
    assert read(text) == Reading(Command.UNCLEAR, resembles=Command.RECEIVED)


@pytest.mark.parametrize("text", ["NOT RECEIVED", "not received yet", "never received", "I didn't receive my package"])
def test_not_received_is_no_receipt(text: str) -> None:
    assert read(text) == Reading(Command.NOT_RECEIVED)


CRISES = [
    "I want to kill myself",
    "kill my-self",
    "I want to die",
    "i just want to really die",
    "I wanna dieeee",
    "thinking about suicide",
    "feeling SUICIDAL",
    "s.u.i.c.i.d.e",
    "suícide",
    "sucide",
    "end it all",
    "End it",
    "I will end my life",
    "hurt myself",
    "self-harm",
    "don’t want to live",
    "I do not want to be here anymore",
    "there is no reason to live",
    "better off dead",
    "I took all of them",
    "I overdosed",
    "I can't go on",
    "Help me!",
    "chest pain",
    "I can't breathe",
    "call 911",
    "988",
    "quiero morir",
]


@pytest.mark.parametrize("text", CRISES)
def test_words_of_crisis_are_caught(text: str) -> None:
    assert read(text) == Reading(Command.CRISIS)


@pytest.mark.parametrize(
    "text", ["stop, I want to die", "CONFIRM and kill myself", "RECEIVED 6 SEALED end it all", "yes suicide"]
)
def test_a_crisis_wins_over_every_other_command(text: str) -> None:
    assert read(text).command is Command.CRISIS


@pytest.mark.parametrize("text", ["Hi. Help me.", "I can't. I give up.", "Not doing well. End it."])
def test_one_sentence_of_a_text_may_be_the_crisis(text: str) -> None:
    assert read(text) == Reading(Command.CRISIS)


@pytest.mark.parametrize("text", ["S.T.O.P.", "Stop. Stop.", "END!"])
def test_a_word_of_the_stop_family_is_stop_before_its_sentences_are_read(text: str) -> None:
    assert read(text) == Reading(Command.STOP)


def test_a_crisis_that_is_denied_is_still_caught() -> None:
    assert read("I don't want to die, but thanks").command is Command.CRISIS


@pytest.mark.parametrize(
    "text", ["I want to diet", "I can't go on Tuesday", "my phone died", "kill time", "skills", "the end of may"]
)
def test_ordinary_words_are_no_crisis(text: str) -> None:
    assert read(text).command is Command.UNCLEAR


@pytest.mark.parametrize("text", ["", " ", "\N{THUMBS UP SIGN}", "...", "\0", "\ud800"])
def test_an_empty_or_odd_text_is_unclear(text: str) -> None:
    assert read(text) == Reading(Command.UNCLEAR)


@given(st.text(max_size=200))
def test_any_text_is_understood_or_unclear_but_never_an_error(text: str) -> None:
    reading = read(text)
    assert (reading.command is Command.RECEIVED) == (reading.count is not None) == (reading.seal is not None)
    assert reading.resembles is None or reading.command is Command.UNCLEAR


@given(
    st.sampled_from(CRISES[:5]), st.lists(st.sampled_from(["ok", "6", "sealed", "please", "hi", "visit"]), max_size=6)
)
def test_a_crisis_is_caught_anywhere_in_a_longer_text(crisis: str, words: list[str]) -> None:
    where = random.Random(len(words)).randint(0, len(words))
    assert read(" ".join([*words[:where], crisis, *words[where:]])).command is Command.CRISIS
