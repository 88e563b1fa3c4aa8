"""Every notice fits one segment with the longest values, names clinic, phone and opt-out, and gives nothing away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from services.core.errors import InvalidInput
from services.core.programme import programme
from services.core.vocabulary import NoticeKind
from services.messaging.caps import Purpose
from services.messaging.sms import Encoding, segments
from services.messaging.texts import PLACEHOLDERS, Audience, forbidden_word, render, shown_clinic, text_of, when
from tests.factories_programmes import changed

DEFAULT = programme()


class Longest:
    """For each placeholder the longest value that the settings allow."""

    values: ClassVar[dict[str, str]] = {name: "W" * DEFAULT.whole(f"notices.{name}_max_units") for name in PLACEHOLDERS}


USUAL = {
    "clinic": "Riverbend Practice",
    "phone": "(415) 555-0100",
    "link": "https://portal.example.org/l/Zk3-81hQ",
    "date": "Wed Nov 25",
    "time": "10:30 AM",
    "code": "482913",
}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_text_fits_one_gsm_7_segment_with_the_longest_values(kind: NoticeKind) -> None:
    size = segments(render(kind, DEFAULT, **Longest.values))
    assert (size.encoding, size.parts) == (Encoding.GSM7, 1)
    assert size.units <= 160


@pytest.mark.parametrize("kind", NoticeKind)
def test_no_text_holds_a_word_that_gives_something_away(kind: NoticeKind) -> None:
    assert forbidden_word(re.sub(r"\{\w+\}", "", text_of(kind).template)) is None


@pytest.mark.parametrize(
    "text",
    [
        "your ketamine is on its way",
        "your KAP visit",
        "your lozenges",
        "your medication",
        "Your medical team",
        "your prescription",
        "the Rx is ready",
        "next dose",
        "refill approved",
        "your therapist says hi",
        "psych visit",
        "dosing session",
        "PHQ-9 is due",
        "your depression score",
        "ptsd group",
        "Journey Clinical",
        "Life Works",
    ],
)
def test_the_word_list_catches_what_must_never_be_said(text: str) -> None:
    assert forbidden_word(text) is not None


@pytest.mark.parametrize("kind", NoticeKind)
def test_a_patients_text_names_the_clinic_a_phone_and_the_way_out(kind: NoticeKind) -> None:
    text = text_of(kind)
    if kind is NoticeKind.STAFF_PAGE:
        assert text.audience is Audience.STAFF
        return
    assert text.audience is Audience.PATIENT
    assert text.template.startswith("{clinic}: ")
    assert "{phone}" in text.template
    way_out = "Reply START to opt in again" if kind is NoticeKind.OPT_OUT_CONFIRMED else "Reply STOP to opt out"
    assert text.template.endswith(way_out)


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_text_expires_within_days(kind: NoticeKind) -> None:
    assert timedelta() < text_of(kind).expires_after <= timedelta(hours=72)


def test_only_texts_about_care_are_rationed() -> None:
    others = {kind: text_of(kind).purpose for kind in NoticeKind if text_of(kind).purpose is not Purpose.CARE}
    assert others == {
        NoticeKind.AFTER_SESSION: Purpose.SAFETY,
        NoticeKind.CRISIS_REPLY: Purpose.SAFETY,
        NoticeKind.STAFF_PAGE: Purpose.SAFETY,
        NoticeKind.SIGN_IN_CODE: Purpose.CODE,
        NoticeKind.OPT_OUT_CONFIRMED: Purpose.REPLY,
        NoticeKind.OPT_IN_CONFIRMED: Purpose.REPLY,
        NoticeKind.HELP: Purpose.REPLY,
        NoticeKind.RECEIPT_THANKS: Purpose.REPLY,
        NoticeKind.REPLY_RECEIVED: Purpose.REPLY,
        NoticeKind.QUESTION_ANSWER: Purpose.ANSWER,
        NoticeKind.QUESTION_LINK: Purpose.ANSWER,
    }


def test_a_code_stands_in_the_sign_in_text_only() -> None:
    assert [kind for kind in NoticeKind if "code" in text_of(kind).placeholders] == [NoticeKind.SIGN_IN_CODE]


def test_the_crisis_reply_names_988_by_call_or_text_and_911() -> None:
    reply = render(NoticeKind.CRISIS_REPLY, DEFAULT, **USUAL)
    assert "911" in reply
    assert "Call or text 988" in reply


def test_appointments_are_answered_with_confirm_or_resched_never_yes_or_cancel() -> None:
    for kind in (NoticeKind.SESSION_BOOKED, NoticeKind.SESSION_REMINDER, NoticeKind.SESSION_MOVED):
        assert "CONFIRM or RESCHED" in text_of(kind).template
    for kind in NoticeKind:
        assert not re.search(r"\b(YES|CANCEL)\b", text_of(kind).template)


def test_a_text_is_filled_with_its_values() -> None:
    assert render(NoticeKind.SESSION_REMINDER, DEFAULT, **USUAL) == (
        "Riverbend Practice: reminder, your visit is Wed Nov 25 at 10:30 AM. Reply CONFIRM or RESCHED. "
        "Call (415) 555-0100. Reply STOP to opt out"
    )


def test_a_missing_value_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        render(NoticeKind.FORMS_LINK, DEFAULT, clinic="Riverbend", phone="(415) 555-0100")
    assert refused.value.field == "link"


def test_a_value_without_a_place_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        render(NoticeKind.FORMS_LINK, DEFAULT, **USUAL, diagnosis="secret")
    assert refused.value.field == "diagnosis"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("link", "https://example.org/" + "a" * 41),
        ("link", "https://example.org/" + "~" * 21),
        ("link", "https://ketaminecare.example/l/1"),
        ("link", "https://example.org/ж"),
        ("link", ""),
        ("link", "https://example.org/\n\nPay here"),
        ("phone", "+1 (415) 555-0100 x 5"),
        ("phone", " "),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_repeating_it(field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        render(NoticeKind.FORMS_LINK, DEFAULT, **{**USUAL, field: value})
    assert refused.value.field == field
    assert not value.strip() or value not in refused.value.message


def test_an_answer_that_gives_something_away_is_stopped_at_the_last_moment_too() -> None:
    with pytest.raises(InvalidInput) as refused:
        render(NoticeKind.QUESTION_ANSWER, DEFAULT, **USUAL, answer="Take the lozenge now")
    assert (refused.value.field, refused.value.rule) == ("answer", "sms.forbidden_word")
    assert "at noon" in render(NoticeKind.QUESTION_ANSWER, DEFAULT, **USUAL, answer="Yes, at noon.")


def test_braces_in_a_value_stay_braces() -> None:
    assert "{link}{0}" in render(NoticeKind.FORMS_LINK, DEFAULT, **{**USUAL, "clinic": "{link}{0}"})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Riverbend Practice", "Riverbend Practice"),
        ("Sam’s  Place", "Sam's Place"),
        ("Clínica Niño", "Clinica Niño"),
        ("Riverbend Integrative Wellness Associates", "Riverbend Integrative"),
        ("Wellness, Growth & Insight & Co", "Wellness, Growth"),
        ("W" * 40, "W" * 24),
        ("{" * 40, "{" * 12),
        ("Kaplan Practice", "Kaplan Practice"),
        ("Riverside Ketamine Clinic", "Your care team"),
        ("KAP Center", "Your care team"),
        ("Клиника", "Your care team"),
        ("  ", "Your care team"),
    ],
)
def test_a_clinics_name_is_shown_in_the_room_there_is_and_reveals_nothing(name: str, shown: str) -> None:
    assert shown_clinic(name, DEFAULT) == shown


@pytest.mark.parametrize(
    ("moment", "zone", "date", "time"),
    [
        (datetime(2026, 11, 25, 16, 30, tzinfo=UTC), "America/Chicago", "Wed Nov 25", "10:30 AM"),
        (datetime(2026, 11, 26, 4, 5, tzinfo=UTC), "America/Chicago", "Wed Nov 25", "10:05 PM"),
        (datetime(2026, 7, 1, 17, 0, tzinfo=UTC), "America/Chicago", "Wed Jul 1", "12:00 PM"),
        (datetime(2026, 7, 1, 7, 0, tzinfo=UTC), "America/Los_Angeles", "Wed Jul 1", "12:00 AM"),
    ],
)
def test_a_time_is_told_by_the_persons_wall_clock(moment: datetime, zone: str, date: str, time: str) -> None:
    assert when(moment, zone) == {"date": date, "time": time}


def test_a_text_that_a_programme_makes_room_for_no_more_is_not_sent() -> None:
    values = {"clinic": "Lakeside", "phone": "(415) 555-0100", "link": "https://l.example/x"}
    assert render(NoticeKind.FORMS_LINK, programme(), **values)
    with pytest.raises(InvalidInput) as refusal:
        render(NoticeKind.FORMS_LINK, changed({"sms.max_characters": 40}), **values)
    assert refusal.value.rule == "sms.one_segment"
