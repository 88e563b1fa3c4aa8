"""Rules are declared once and whole, and their findings say which setting they read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.errors import Conflict, CoordinationError, InvalidConfiguration, NotAllowed, RuleRefused
from services.core.findings import Severity
from services.core.programme import Programme, load_programme
from services.core.rules import Rule, declare, declared
from services.journals.rules import NOT_OFFERED

SETTINGS = '[programme]\nname = "test"\nversion = "1"\n[a]\nmost = 2.5\nleast = 1\nwords = ["x", "y"]\nmost_later = 4\n'


@pytest.fixture
def programme(tmp_path: Path) -> Programme:
    path = tmp_path / "test.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return load_programme(path)


def rule(sentence: str, setting: str | None = "a.most") -> Rule:
    fixed = None if setting else "a yes or no"
    return Rule("test.rule", Severity.STOP, "DOMAIN 4", sentence, setting, fixed)


def test_a_finding_names_its_rule_its_setting_the_value_and_the_inputs(programme: Programme) -> None:
    found = rule("More than {value}, not {a.least}; {a.words}; {words}.").finding(
        programme, says={"words": "so there"}, count=3
    )
    assert found.sentence == "More than 2.5, not 1; x, y; so there."
    assert (found.rule, found.severity, found.source) == ("test.rule", Severity.STOP, "DOMAIN 4")
    assert (found.setting, found.value, found.inputs) == ("a.most", 2.5, {"count": 3})


def test_a_finding_may_read_another_setting_of_the_same_meaning(programme: Programme) -> None:
    found = rule("More than {value}.").finding(programme, setting="a.most_later")
    assert (found.setting, found.value, found.sentence) == ("a.most_later", 4, "More than 4.")


def test_a_rule_without_a_setting_needs_no_programme() -> None:
    found = rule("Not so.", None).finding()
    assert (found.setting, found.value, found.sentence) == (None, None, "Not so.")


def test_a_rule_with_a_setting_is_not_judged_without_a_programme() -> None:
    with pytest.raises(InvalidConfiguration, match=r"'test\.rule' reads the programme"):
        rule("More than {value}.").finding()


def test_inputs_do_not_get_into_the_sentence(programme: Programme) -> None:
    with pytest.raises(InvalidConfiguration, match="no setting 'count'"):
        rule("{count} is more than {value}.").finding(programme, count=3)


def test_an_act_against_a_rule_is_refused_with_its_sentence_and_finding(programme: Programme) -> None:
    later = rule("More than {value}, {whose}.").refused(
        programme, field="count", setting="a.most_later", says={"whose": "yours"}, count=5
    )
    assert (later.message, later.field) == ("More than 4, yours.", "count")
    (found,) = later.findings
    assert (found.rule, found.sentence, found.setting) == ("test.rule", later.message, "a.most_later")
    assert found.inputs == {"count": 5}
    assert rule("More than {value}.").refused(programme).field is None


def test_an_act_that_contradicts_the_state_or_is_somebody_elses_is_refused_with_a_finding_too(
    programme: Programme,
) -> None:
    conflict = rule("It is over.", None).conflict(state="over")
    forbidden = rule("More than {value}.").forbidden(programme, role="patient")
    assert (type(conflict), type(forbidden)) == (Conflict, NotAllowed)
    assert (conflict.message, forbidden.message) == ("It is over.", "More than 2.5.")
    assert [(each.rule, each.inputs) for each in conflict.findings] == [("test.rule", {"state": "over"})]
    assert [(each.rule, each.inputs) for each in forbidden.findings] == [("test.rule", {"role": "patient"})]


@pytest.mark.parametrize(
    ("rule_id", "source", "sentence", "setting", "fixed"),
    [
        ("Test.rule", "DOMAIN 4", "So.", "a.b", None),
        ("test", "DOMAIN 4", "So.", "a.b", None),
        ("test.no_source", "", "So.", "a.b", None),
        ("test.no_sentence", "DOMAIN 4", "", "a.b", None),
        ("test.neither", "DOMAIN 4", "So.", None, None),
        ("test.both", "DOMAIN 4", "So.", "a.b", "a yes or no"),
    ],
)
def test_a_rule_that_is_not_whole_is_refused(
    rule_id: str, source: str, sentence: str, setting: str | None, fixed: str | None
) -> None:
    with pytest.raises(InvalidConfiguration):
        declare(rule_id, Severity.STOP, source, sentence, setting=setting, fixed=fixed)
    assert rule_id not in declared()


def test_an_id_is_taken_once_and_the_rule_that_has_it_stays() -> None:
    with pytest.raises(InvalidConfiguration, match="declared twice"):
        declare(NOT_OFFERED.id, Severity.INFORM, "DOMAIN 4", "So.", fixed="a yes or no")
    assert declared()[NOT_OFFERED.id] is NOT_OFFERED


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [(Rule.refused, RuleRefused), (Rule.conflict, Conflict), (Rule.forbidden, NotAllowed)],
)
def test_a_refusal_gives_its_finding(refuse: Callable[..., CoordinationError], kind: type[CoordinationError]) -> None:
    error = refuse(rule("It cannot be.", None), count=3)
    assert type(error) is kind
    assert (error.message, error.rule) == ("It cannot be.", "test.rule")
    assert [(finding.rule, finding.inputs) for finding in error.findings] == [("test.rule", {"count": 3})]


def test_a_refusal_names_the_field_and_the_setting_it_is_about(programme: Programme) -> None:
    error = rule("At most {value}, {word}.").refused(programme, field="count", says={"word": "please"}, count=3)
    assert (error.field, error.message) == ("count", "At most 2.5, please.")
