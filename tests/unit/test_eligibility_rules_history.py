"""The history form: every condition has a question, and only known answers are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration, InvalidInput
from services.screening.history import DEFAULT_FILE, Condition, Status, load_questions, read_history


def test_every_condition_is_asked_in_plain_words_and_may_be_unknown() -> None:
    questions = load_questions()

    assert list(questions) == list(Condition)
    for question in questions.values():
        assert question.text.endswith("?")
        first, *_, last = question.answers
        assert (first, last) == (Status.ABSENT, Status.UNKNOWN)


def test_a_filled_form_is_read() -> None:
    assert read_history({"stroke": "absent", "glaucoma": "controlled", "dementia": "unknown"}) == {
        Condition.STROKE: Status.ABSENT,
        Condition.GLAUCOMA: Status.CONTROLLED,
        Condition.DEMENTIA: Status.UNKNOWN,
    }


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ({"stroke": "controlled"}, "history.stroke"),
        ({"glaucoma": "present"}, "history.glaucoma"),
        ({"stroke": ""}, "history.stroke"),
        ({"stroke": "yes"}, "history.stroke"),
        ({"Maria Lopez": "present"}, "history"),
    ],
)
def test_an_unknown_answer_is_refused_naming_the_field(answers: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_history(answers)

    assert refusal.value.field == field
    assert "Maria" not in refusal.value.message


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("[stroke]", "[strokes]", "own.toml: 'strokes' is not a known condition."),
        ('[stroke]\nquestion = "Have you ever had a stroke?"', "", "own.toml: the condition 'stroke' has no question."),
        ('question = "Have you ever had a stroke?"', "", "own.toml: 'stroke' needs a 'question'."),
        ('question = "Have you ever had a stroke?"', "asked = 1", "own.toml: 'stroke' may hold only"),
        ('past = "Yes, in the past"', 'once = "Yes"', "own.toml: the 'answers' of 'cystitis' must name 'absent'"),
        ('past = "Yes, in the past"', 'unknown = "Hm"', "own.toml: the 'answers' of 'cystitis' must name 'absent'"),
        ('past = "Yes, in the past"', "past = 1", "own.toml: the 'answers' of 'cystitis' must be texts."),
        ("[stroke]", "[stroke", "The history file own.toml is not valid TOML"),
    ],
)
def test_a_wrong_form_is_refused_naming_what_is_wrong(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert was in text
    file = tmp_path / "own.toml"
    file.write_text(text.replace(was, becomes, 1), encoding="utf-8")

    with pytest.raises(InvalidConfiguration) as refusal:
        load_questions(file)

    assert refusal.value.message.startswith(complaint)
