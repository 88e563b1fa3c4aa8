"""A programme may word texts and consents in its own way, as long as they keep to what every such text has to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration
from services.core.programme import DEFAULT_FILE, Programme, load_programme, programme
from services.core.vocabulary import NoticeKind
from services.messaging.texts import render, text_of, text_problems
from services.people.consents import ConsentKind
from services.screening.consent_texts import consent_problems, current_texts, texts_of
from services.wording import check_wording
from tests.factories_programmes import changed

FILES = sorted(DEFAULT_FILE.parent.glob("*.toml"))
VALUES = {"clinic": "Riverbend", "phone": "(415) 555-0100", "link": "https://portal.example/l/1"}
OWN = "{clinic}: please look at your forms {link} or call {phone}. Reply STOP to opt out"
TREATMENT = current_texts()[ConsentKind.TREATMENT]


def consent(**parts: object) -> Programme:
    own = {"version": "own-1", "title": TREATMENT.title, "wording": TREATMENT.wording, **parts}
    given = {f"consents.treatment.{part}": value for part, value in own.items() if value is not None}
    return changed(given)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_shipped_holds_what_every_text_has_to_hold(path: Path) -> None:
    assert text_problems(programme(path)) == {}
    assert consent_problems(programme(path)) == {}


def test_a_programmes_own_words_are_sent() -> None:
    own = changed({"texts.forms_link.text": OWN})
    assert text_problems(own) == {}
    assert render(NoticeKind.FORMS_LINK, own, **VALUES).startswith("Riverbend: please look at your forms https://")
    assert text_of(NoticeKind.FORMS_LINK, own).purpose is text_of(NoticeKind.FORMS_LINK).purpose
    assert "please look" not in render(NoticeKind.FORMS_LINK, programme(), **VALUES)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (7, "must be a text"),
        ("{clinic: forms {link} {phone}. Reply STOP to opt out", "braces"),
        ("{clinic}: forms {link} {phone:>9}. Reply STOP to opt out", "without a format"),
        ("{clinic}: forms {link} {phone!r}. Reply STOP to opt out", "without a format"),
        ("{clinic}: forms {link} {phone} {date}. Reply STOP to opt out", "values for"),
        ("{clinic}: forms, call {phone}. Reply STOP to opt out", "link or code"),
        ("{clinic}: your dose is ready {link} {phone}. Reply STOP to opt out", "'dose'"),
        ("{clinic}: your Journey Clinical forms {link} {phone}. Reply STOP to opt out", "'journey clinical'"),
        ("Forms of {clinic} {link} {phone}. Reply STOP to opt out", "begins with the clinic"),
        ("{clinic}: your forms {link}. Reply STOP to opt out", "names {phone}"),
        ("{clinic}: your forms {link} {phone}. Text STOP to end", "Reply STOP to opt out"),
        ("{clinic}: your forms \N{SNOWMAN} {link} {phone}. Reply STOP to opt out", "GSM-7"),
        ("{clinic}: please do look at the forms very soon {link} {phone}. Reply STOP to opt out", "one segment"),
    ],
)
def test_words_that_are_not_fit_to_be_sent_are_named_with_their_setting(template: object, said: str) -> None:
    problems = text_problems(changed({"texts.forms_link.text": template}))
    assert list(problems) == ["texts.forms_link.text"]
    assert said in problems["texts.forms_link.text"]


def test_the_longest_text_that_fits_is_allowed() -> None:
    """With the longest values 160 units, and with one letter more 161."""
    words = "{clinic}: " + "x" * 35 + " {link} {phone}. Reply STOP to opt out"
    assert text_problems(changed({"texts.forms_link.text": words})) == {}
    assert text_problems(changed({"texts.forms_link.text": words.replace("x", "xx", 1)})) != {}


@pytest.mark.parametrize("setting", ["texts.no_such_kind.text", "texts.forms_link.purpose"])
def test_there_is_no_other_part_of_a_text_to_set(setting: str) -> None:
    assert list(text_problems(changed({setting: OWN}))) == [setting]


def test_words_that_nobody_checked_are_not_sent_either() -> None:
    with pytest.raises(InvalidConfiguration, match=r"texts\.forms_link\.text"):
        render(NoticeKind.FORMS_LINK, changed({"texts.forms_link.text": "{clinic}: take your dose"}), **VALUES)


def test_a_programmes_own_consent_is_given_in_place_of_the_default_one() -> None:
    own = consent(wording="At home. " + TREATMENT.wording)
    assert consent_problems(own) == {}
    texts = texts_of(own)
    assert (texts[ConsentKind.TREATMENT].version, texts[ConsentKind.TREATMENT].wording[:8]) == ("own-1", "At home.")
    assert texts[ConsentKind.SMS] == current_texts()[ConsentKind.SMS]
    assert texts_of(programme())[ConsentKind.TREATMENT] == TREATMENT


@pytest.mark.parametrize(
    "statement",
    [
        "not approved by the FDA",
        "psychiatric use",
        "sedation",
        "dissociation",
        "psychiatric events",
        "misuse",
        "raised blood pressure",
        "respiratory depression",
        "urinary symptoms",
    ],
)
def test_a_consent_that_leaves_out_one_statement_of_the_law_is_refused(statement: str) -> None:
    wording = " ".join(TREATMENT.wording.split()).replace(statement, "…")
    own = consent(wording=wording)
    assert statement.casefold() in consent_problems(own)["consents.treatment.wording"]
    with pytest.raises(InvalidConfiguration, match=r"consents\.treatment\.wording"):
        texts_of(own)


def test_everything_that_is_wrong_is_named_by_file_line_and_setting(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[programme]\nname = "own"\nversion = "1"\nextends = "default"\n\n'
        '[texts.forms_link]\ntext = "{clinic}: your dose"\n\n'
        '[journal]\nbefore_session = [" "]\n',
        encoding="utf-8",
    )
    with pytest.raises(InvalidConfiguration) as refusal:
        check_wording(load_programme(file), file)
    first, second = str(refusal.value).splitlines()
    assert first.startswith("own.toml, line 7: 'texts.forms_link.text': ")
    assert second.startswith("own.toml, line 10: 'journal.before_session': ")
    check_wording(programme(), DEFAULT_FILE)


@pytest.mark.parametrize(
    ("parts", "setting"),
    [
        ({"title": None}, "consents.treatment.version"),
        ({"version": TREATMENT.version}, "consents.treatment.version"),
        ({"version": "v" * 41}, "consents.treatment.version"),
        ({"title": " "}, "consents.treatment.title"),
        ({"wording": 3}, "consents.treatment.wording"),
        ({"colour": "red"}, "consents.treatment.colour"),
    ],
)
def test_a_consent_is_whole_and_has_a_version_of_its_own(parts: dict[str, object], setting: str) -> None:
    assert setting in consent_problems(consent(**parts))
