"""What is held before a session, and for how long (DOMAIN 3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.core.programme import Programme, programme
from services.eligibility.holds import Hold, holds, holds_before_session
from tests.factories_programmes import changed

ZONE = ZoneInfo("America/Los_Angeles")
# 10:00 on 24 November where the patient is.
SESSION_AT = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def hold(*medicines: str, under: Programme | None = None) -> Hold:
    (found,) = holds(medicines, under or programme())
    return found


@pytest.mark.parametrize(
    ("medicine", "hours", "days_before", "begins_at"),
    [
        ("Xanax 0.5 mg tablets", 24, None, SESSION_AT - timedelta(hours=24)),
        ("Adderall XR", None, 1, MIDNIGHT - timedelta(days=1)),
        ("oxycodone", None, 0, MIDNIGHT),
        ("tramadol", None, 0, MIDNIGHT),
        ("meperidine", None, 0, MIDNIGHT),
        ("cyclobenzaprine", None, 0, MIDNIGHT),
        ("Benadryl", None, 0, MIDNIGHT),
        ("modafinil", None, 0, MIDNIGHT),
        ("Sudafed", None, 0, MIDNIGHT),
        ("alcohol", 48, None, SESSION_AT - timedelta(hours=48)),
        ("THC", 48, None, SESSION_AT - timedelta(hours=48)),
    ],
)
def test_a_class_is_held_for_its_time(
    medicine: str, hours: float | None, days_before: int | None, begins_at: datetime
) -> None:
    found = hold(medicine)

    assert (found.hours, found.days_before, found.medicines) == (hours, days_before, (medicine,))
    assert found.begins_at(SESSION_AT, ZONE) == begins_at
    assert found.was_kept(begins_at, SESSION_AT, ZONE)
    assert not found.was_kept(begins_at + timedelta(seconds=1), SESSION_AT, ZONE)
    assert found.was_kept(None, SESSION_AT, ZONE)


@pytest.mark.parametrize(
    "medicine", ["Zoloft", "lamotrigine", "clonidine", "Plavix", "Haldol", "phenelzine", "gabapentin"]
)
def test_what_the_table_does_not_hold_is_not_held(medicine: str) -> None:
    assert holds([medicine], programme()) == []


def test_each_class_is_named_once_with_the_names_as_given() -> None:
    found = holds(["Valium", "Zoloft", "lorazepam 1 mg", "wine"], programme())

    assert [(each.rule, each.medicines) for each in found] == [
        ("eligibility.medicine_benzodiazepines", ("Valium", "lorazepam 1 mg")),
        ("eligibility.medicine_alcohol_and_thc", ("wine",)),
    ]
    assert [each.setting for each in found] == [
        "eligibility.medicines.benzodiazepine_hold_hours",
        "eligibility.medicines.alcohol_thc_free_hours",
    ]


def test_before_a_session_everybody_is_asked_about_alcohol_and_thc_beside_what_they_take() -> None:
    of_all, both = (holds_before_session(given, programme()) for given in (["Zoloft"], ["wine", "Xanax"]))

    assert [(each.rule, each.medicines) for each in of_all] == [("eligibility.medicine_alcohol_and_thc", ())]
    assert [(each.rule, each.medicines) for each in both] == [
        ("eligibility.medicine_benzodiazepines", ("Xanax",)),
        ("eligibility.medicine_alcohol_and_thc", ("wine",)),
    ]
    assert [each.of_everybody for each in both] == [False, True]
    longer = changed({"eligibility.medicines.alcohol_thc_free_hours": 72})
    assert [each.hours for each in holds_before_session([], longer)] == [72]


def test_a_misspelt_name_and_one_in_a_longer_text_are_held_as_what_they_may_be() -> None:
    assert hold("Xannax").rule == "eligibility.medicine_benzodiazepines"
    assert hold("Zoloft and some Vicodin").rule == "eligibility.medicine_opioids"


def test_only_a_benzodiazepine_may_be_continued() -> None:
    found = holds(["Xanax", "Adderall", "oxycodone", "Benadryl", "Sudafed", "wine", "tramadol"], programme())

    assert [each.rule for each in found if each.may_continue] == ["eligibility.medicine_benzodiazepines"]


def test_the_times_are_settings() -> None:
    ours = programme()
    longer = {
        "eligibility.medicines.benzodiazepine_hold_hours": 72,
        "eligibility.medicines.opioid_hold_days_before": 2,
    }
    theirs = Programme(ours.name, ours.version, {**ours.settings, **longer})

    assert hold("Xanax", under=theirs).begins_at(SESSION_AT, ZONE) == SESSION_AT - timedelta(hours=72)
    assert hold("codeine", under=theirs).begins_at(SESSION_AT, ZONE) == MIDNIGHT - timedelta(days=2)


def test_the_day_of_the_session_is_the_patients() -> None:
    late = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)  # 19:00 on the 24th in Los Angeles

    assert hold("codeine").begins_at(late, ZONE) == MIDNIGHT
    assert hold("codeine").begins_at(late, ZoneInfo("UTC")) == datetime(2026, 11, 25, tzinfo=UTC)


def test_a_hold_does_not_show_what_the_patient_takes() -> None:
    assert "Xanax" not in repr(hold("Xanax"))
