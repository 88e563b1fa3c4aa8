"""Programme files: every setting by name and of the right type, or a sentence about what is wrong."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration
from services.core.programme import (
    DEFAULT_FILE,
    Approval,
    Programme,
    load_programme,
    missing_settings,
    programme,
    shipped,
)
from services.core.setting_bounds import bounds, order
from services.eligibility.facts import Diagnosis
from services.screening import instruments

HEADER = '[programme]\nname = "test"\nversion = "1"\n'


def written(directory: Path, content: str | bytes) -> Path:
    path = directory / "clinic.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def loaded(directory: Path, settings: str = "") -> Programme:
    return load_programme(written(directory, HEADER + settings))


def test_settings_are_found_by_their_dotted_names(tmp_path: Path) -> None:
    read = loaded(tmp_path, '[vitals]\nrest_minutes = 10\n[vitals.start]\nsystolic_below = 140\nwords = ["a", "b"]\n')
    assert read.value("vitals.start.systolic_below") == 140
    assert read.number("vitals.rest_minutes") == 10
    assert read.choices("vitals.start.words") == {"a", "b"}
    assert read.name == "test"


@pytest.mark.parametrize(
    ("kind", "value", "is_right"),
    [
        ("number", "1", True),
        ("number", "0.25", True),
        ("number", "true", False),
        ("number", '"1"', False),
        ("whole", "3", True),
        ("whole", "3.0", False),
        ("whole", "true", False),
        ("text", '"office"', True),
        ("text", "1", False),
        ("choices", '["a"]', True),
        ("choices", "[]", True),
        ("choices", '"a"', False),
        ("choices", '["a", 1]', False),
    ],
)
def test_a_setting_has_the_type_that_is_asked_for_or_is_named(
    tmp_path: Path, kind: str, value: str, is_right: bool
) -> None:
    read = loaded(tmp_path, f"[a]\nb = {value}\n")
    ask = getattr(read, kind)
    if is_right:
        assert ask("a.b") is not None
    else:
        with pytest.raises(InvalidConfiguration, match=r"'a\.b' of 'test' must be a"):
            ask("a.b")


def test_a_setting_that_nobody_defined_is_named_with_its_programme(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"The programme 'test' has no setting 'a\.c'"):
        loaded(tmp_path, "[a]\nb = 1\n").number("a.c")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lacks 'programme'"),
        ("[programme]\nname = 'x'\n", "lacks 'version'"),
        ("[programme]\nversion = '1'\n", "lacks 'name'"),
        ("programme = 3\n", "lacks"),
        ("[[programme]]\nname = 'x'\n", "lacks"),
        ("[programme\n", "is not valid TOML"),
        (HEADER + "a = 1\na = 2\n", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_programme_is_named_with_what_is_wrong(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        load_programme(written(tmp_path, content))
    assert "clinic.toml" in refused.value.message
    assert said in refused.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(InvalidConfiguration, match=f"{path.name} cannot be read"):
            load_programme(path)


def test_any_change_of_a_file_is_another_version(tmp_path: Path) -> None:
    first = loaded(tmp_path, "[a]\nb = 1\n")
    assert loaded(tmp_path, "[a]\nb = 1\n").version == first.version
    assert loaded(tmp_path, "[a]\nb = 2\n").version != first.version
    assert first.version.startswith("test-1-")
    assert len(first.version) <= 80  # what the tables have room for


def test_the_default_programme_is_read_once_and_names_its_numbers_finite() -> None:
    assert programme(DEFAULT_FILE) is programme(DEFAULT_FILE)
    numbers: list[Any] = [value for value in programme().settings.values() if isinstance(value, int | float)]
    assert len(numbers) > 50
    assert all(math.isfinite(number) for number in numbers)


def test_a_programme_never_changes(tmp_path: Path) -> None:
    read = loaded(tmp_path, "[a]\nb = 1\n")
    with pytest.raises((AttributeError, TypeError)):
        read.settings["a.b"] = 2  # type: ignore[index]  # that it cannot be done is the point


# ---- Files that extend others ----------------------------------------------------------------------------------------

BASE = """[programme]
name = "base"
version = "1"
effective_from = 2026-01-01
approved_by = "Dr. Ada Example"

[a]
whole = 3
part = 0.5
word = "x"
words = ["x", "y"]
is_so = true

[a.deep]
least = 1
"""


def extending(directory: Path, content: str, header: str = "") -> Programme:
    (directory / "base.toml").write_text(BASE, encoding="utf-8")
    return load_programme(
        written(directory, f'[programme]\nname = "test"\nversion = "1"\nextends = "base"\n{header}' + content)
    )


def refusal(directory: Path, content: str, header: str = "") -> str:
    with pytest.raises(InvalidConfiguration) as refused:
        extending(directory, content, header)
    return refused.value.message


def test_a_file_that_extends_another_says_only_what_differs(tmp_path: Path) -> None:
    read = extending(tmp_path, "[a]\nwhole = 4\npart = 1\n")
    assert dict(read.settings) == {
        "a.whole": 4, "a.part": 1, "a.word": "x", "a.words": ["x", "y"], "a.is_so": True, "a.deep.least": 1
    }  # fmt: skip
    assert read.name == "test"


def test_each_value_says_since_when_it_holds_and_who_approved_it(tmp_path: Path) -> None:
    header = 'effective_from = 2026-06-01\napproved_by = "Dr. Bea Example"\n'
    own = '[approvals]\n"a.part" = { effective_from = 2026-03-01, approved_by = "Dr. Cem Example" }\n'
    read = extending(tmp_path, "[a]\nwhole = 4\npart = 1\n" + own, header)
    assert read.approval_of("a.whole") == Approval(date(2026, 6, 1), "Dr. Bea Example")
    assert read.approval_of("a.part") == Approval(date(2026, 3, 1), "Dr. Cem Example")
    assert read.approval_of("a.word") == Approval(date(2026, 1, 1), "Dr. Ada Example")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[a]\nwhole = 4\nhole = 4\n", "clinic.toml, line 7: there is no setting 'a.hole'; did you mean 'a.whole'."),
        ("[a]\nqqq = 4\n", "clinic.toml, line 6: there is no setting 'a.qqq'."),
        ("[a]\n# a word\nwhole = 4.5\n", "clinic.toml, line 7: 'a.whole' must be a whole number, such as 3."),
        ("[a]\nwhole = true\n", "line 6: 'a.whole' must be a whole number"),
        ('[a]\npart = "1"\n', "line 6: 'a.part' must be a number, such as 0.5."),
        ("[a]\nword = 1\n", "line 6: 'a.word' must be a text"),
        ("[a]\nis_so = 1\n", "line 6: 'a.is_so' must be true or false"),
        ('[a]\nwords = "x"\n', "line 6: 'a.words' must be a list"),
        ("[a]\nwords = [\n  1,\n]\n", "line 6: each entry of 'a.words' must be a text"),
        ("[a.deep]\nleast = -1\n", "line 6: 'a.deep.least' must not be less than 0"),
        ('[a]\ndeep.least = "x"\n', "line 6: 'a.deep.least' must be a whole number"),
        ("[a]\nwhole = nan\n", "line 6: 'a.whole' must be a whole number"),
        ("[a]\npart = inf\n", "line 6: 'a.part' must be a finite number"),
        ("[a]\nword = 2026-01-01\n", "line 6: 'a.word' must be a text"),
        ('[approvals]\n"a.hole" = {}\n', "line 6: there is no setting 'a.hole'"),
        ('[approvals]\n"a.part" = 1\n', "line 6: the approval of 'a.part' must be"),
        (
            '[approvals]\n"a.part" = { effective_from = "soon", approved_by = "Dr. X" }\n',
            "line 6: the approval of 'a.part' needs a date such as 2026-12-01 and a name.",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_key(tmp_path: Path, content: str, said: str) -> None:
    # Four lines of header come first.
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ('extend = "base"\n', "line 5: [programme] knows no 'extend'"),
        ("effective_from = 1\n", "line 5: 'effective_from' must be a date such as 2026-12-01."),
        ('approved_by = " "\n', "line 5: 'approved_by' must have 1 to 120 characters."),
        (f'title = "{"x" * 121}"\n', "line 5: 'title' must have 1 to 120 characters."),
        ("starting_values = 1\n", "line 5: 'starting_values' must be true or false."),
    ],
)
def test_a_wrong_header_is_named_with_its_line(tmp_path: Path, header: str, said: str) -> None:
    assert said in refusal(tmp_path, "", header)


def test_an_approval_does_not_begin_after_its_version(tmp_path: Path) -> None:
    entry = '[approvals]\n"a.part" = { effective_from = 2026-06-02, approved_by = "Dr. Cem Example" }\n'
    assert "begins later than this version" in refusal(tmp_path, entry, "effective_from = 2026-06-01\n")
    assert extending(tmp_path, entry, "effective_from = 2026-06-02\n").approval_of("a.part").approved_by


def test_no_file_extends_itself_or_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(HEADER + 'extends = "two"\n', encoding="utf-8")
    (tmp_path / "two.toml").write_text(HEADER + 'extends = "one"\n', encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match="'one' extends itself"):
        load_programme(tmp_path / "one.toml")
    for name, said in (("absent", "there is no programme file 'absent.toml'"), ("../x", "must be the name of")):
        with pytest.raises(InvalidConfiguration, match=said):
            load_programme(written(tmp_path, HEADER + f'extends = "{name}"\n'))


@pytest.mark.parametrize(
    ("setting", "allowed", "refused"),
    [
        ("prescribing.refills_at_most", "5", "6"),
        ("prescribing.months_to_fill", "6", "7"),
        ("prescribing.months_to_fill", "1", "0"),
        ("sla.form_106_days", "45", "46"),
        ("sla.dea_notice_business_days", "1", "2"),
        ("sla.security_review_hours", "24", "25"),
        ("prescribing.pdmp_valid_days", "7", "8"),
        ("eligibility.age_minimum", "18", "17"),
        ("sessions.per_week_at_most", "2", "3"),
        ("sessions.interval_least_days", "3", "2"),
        ("vitals.start.systolic_prescriber_up_to", "150", "151"),
        ("vitals.start.diastolic_prescriber_up_to", "100", "101"),
        ("sms.caps.per_24_hours", "1", "2"),
        ("sms.caps.per_7_days", "3", "4"),
        ("sms.caps.bypass", '["reply"]', '["safety", "care"]'),
        ("sms.quiet_hours.bypass", '["safety", "code"]', '["safety", "answer"]'),
        ("triage.crisis.lifeline.number", '"988"', '"989"'),
        ("triage.crisis.text_line.number", '"741741"', '"741740"'),
        ("triage.crisis.emergency.number", '"911"', '"112"'),
        ("triage.crisis_resources_from_level", '"none"', '"some"'),
        ("vitals.monitor.grace_minutes", "5", "6"),
        ("vitals.monitor.after_dose_about_minutes", "10", "11"),
        ("eligibility.results_required", '["cssrs"]', '["phq9", "gad7"]'),
        ("sms.quiet_hours.end_hour", "21", "22"),
        ("sms.quiet_hours.start_hour", "8", "7"),
        ("triage.phq9_item9_alert_from", "1", "2"),
        ("triage.phq9_item9_urgent_from", "2", "3"),
        ("vitals.start.systolic_below", "150", "151"),  # not above what a prescriber may allow
        ("sessions.integration_overdue_hours", "72", "73"),  # not after the escalation
        ("prescribing.drugs", '["ketamine"]', '["ketamine", "esketamine"]'),
        ("prescribing.route.nasal.supplied", '"clinic"', '"shipped"'),
        ("prescribing.route.intramuscular.supplied", '"clinic"', '"shipped"'),
        ("prescribing.route.intravenous.supplied", '"clinic"', '"shipped"'),
        ("prescribing.route.sublingual.supplied", '"shipped"', '"clinic"'),
        ("prescribing.telemedicine_flexibility_end", '"2027-12-31"', '"end of 2027"'),
        ("prescribing.telemedicine_flexibility_end", '"2026-01-30"', '"20260130"'),
        ("outcomes.cohort.age_bands_from", "[18, 90]", "[18, 65]"),
        ("outcomes.cohort.age_bands_from", "[90]", "[]"),
        ("outcomes.cohort.age_bands_from", "[1, 90]", "[0, 90]"),
        ("outcomes.cohort.age_bands_from", "[18, 80, 90]", "[18, 90, 91]"),
        ("outcomes.cohort.dissociation_bands_to", "[10]", "[]"),
        ("outcomes.cohort.dissociation_bands_to", "[5, 10]", "[5, 8]"),
        ("outcomes.cohort.dissociation_bands_to", "[1, 10]", "[0, 10]"),
        ("outcomes.cohort.dissociation_bands_to", "[9, 10]", "[10, 11]"),
        ("outcomes.cadence.after_sessions", "[1, 3]", "[0, 3]"),
        ("outcomes.cadence.after_sessions", "[]", "[-1]"),
        ("outcomes.response.judged_by.trauma", '"phq9"', '"phq"'),
        ("outcomes.response.judged_by.ocd", '"wsas"', '""'),
        ("shipping.confirmation_default", '"ADULT_SIGNATURE"', '"NO_SIGNATURE"'),
        ("shipping.confirmations_refused", '["INDIRECT_SIGNATURE", "NO_SIGNATURE"]', '["NO_SIGNATURE"]'),
    ],
)
def test_no_clinic_goes_beyond_the_law_and_what_is_safe(
    tmp_path: Path, setting: str, allowed: str, refused: str
) -> None:
    header = HEADER + 'extends = "default"\n'
    section, _, name = setting.rpartition(".")
    assert load_programme(written(tmp_path, f"{header}[{section}]\n{name} = {allowed}\n")).value(setting) is not None
    with pytest.raises(InvalidConfiguration, match=rf"line 6: '{setting}'"):
        load_programme(written(tmp_path, f"{header}[{section}]\n{name} = {refused}\n"))


def test_every_bound_and_every_order_names_a_setting_that_exists() -> None:
    known = programme().settings.keys()
    sections = {f"{name.rpartition('.')[0]}.*" for name in known}
    assert bounds().rows.keys() <= known | sections
    assert {name for pair in order() for name in pair} <= known


def test_a_diagnosis_may_be_judged_by_every_instrument_that_is_defined() -> None:
    assert bounds().rows["outcomes.response.judged_by.*"]["one_of"] == sorted(instruments.known())


def test_a_stored_programme_comes_back_as_it_was_and_not_altered(tmp_path: Path) -> None:
    read = extending(tmp_path, "[a]\nwhole = 4\n")
    stored = json.loads(json.dumps(read.as_dict()))
    assert Programme.from_dict(stored) == read
    stored["settings"]["a.whole"] = 5
    with pytest.raises(InvalidConfiguration, match="was altered"):
        Programme.from_dict(stored)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_programme_is_whole_and_marked_as_approved_by_nobody(name: str) -> None:
    read = programme(shipped()[name])
    assert (read.name, read.is_starting) == (name, True)
    assert missing_settings(read) == []


def test_the_five_practices_have_a_programme_each() -> None:
    five = {"journey_clinical", "life_works", "isha_health", "options_md", "avesta"}
    assert shipped().keys() == {"default", *five}


def test_a_file_without_the_settings_of_the_default_is_not_whole(tmp_path: Path) -> None:
    assert "vitals.start.systolic_below" in missing_settings(loaded(tmp_path, "[a]\nb = 1\n"))


@pytest.mark.parametrize("diagnosis", Diagnosis)
def test_every_diagnosis_has_its_words_wherever_settings_go_by_diagnosis(diagnosis: Diagnosis) -> None:
    for section in ("outcomes.response.judged_by", "outcomes.cadence.by_diagnosis"):
        assert f"{section}.{diagnosis}" in programme().settings
