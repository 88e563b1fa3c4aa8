"""After a whole journey nothing personal stands anywhere in clear: database, queues, logs, refusals, command lines."""

from __future__ import annotations

import zlib
from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.journeys.canaries import SCORES, STEM, found_in, readable_forms
from tests.journeys.evidence import PLACES, Evidence, unpacked, unquoted


@pytest.mark.parametrize("place", PLACES)
def test_nothing_personal_and_no_secret_stands_in_clear(journey: Evidence, place: str) -> None:
    haystack = journey.place(place)
    leaked = found_in(haystack, journey.needles)
    if "a marked word" in leaked:
        leaked += found_in(haystack, journey.words)
    assert leaked == []


@pytest.mark.parametrize("place", PLACES)
def test_no_score_and_no_reading_stands_in_clear(journey: Evidence, place: str) -> None:
    assert SCORES.search(journey.place(place)) is None


def test_no_text_that_left_holds_anything_personal(journey: Evidence) -> None:
    texts = [text for sent in journey.texts.values() for text in sent]
    assert len(texts) > 20
    assert found_in("\n".join(texts).encode(), journey.needles) == []


# ---- What is looked for was there -----------------------------------------------------------------------------------

IN_RECORD = {
    *("dana.full_name", "dana.street", "dana.unit", "dana.city", "dana.email", "dana.reason", "sms_wording"),
    *("medicine", "approval_reason", "directions", "tracking_first", "tracking_second", "tracking_refill"),
    *("chaperone.name", "check.note", "adverse_event", "check_in.note", "outcome.summary"),
    *("refill.comment", "refill.question", "refill.answer", "refill.forward_reason", "refill.approve_reason"),
}


def test_opened_with_the_keys_the_record_holds_the_marked_words(journey: Evidence) -> None:
    assert len(journey.words) >= 45
    exported = journey.export.encode()
    assert set(found_in(exported, {field: journey.words[field] for field in IN_RECORD})) == IN_RECORD


def test_an_export_holds_no_psychotherapy_note(journey: Evidence) -> None:
    assert found_in(journey.export.encode(), {"the note": journey.words["psychotherapy_note"]}) == []


def test_every_place_was_really_looked_into(journey: Evidence) -> None:
    dump, queues = journey.place("database"), journey.place("queues")
    for table in (b"patients", b"notices", b"events", b"webhook_deliveries", b"vitals", b"psychotherapy_notes"):
        assert b"COPY public." + table + b" (" in dump
    assert b"rq:queue:pharmacy" in queues
    assert queues.count(b"handle_bag") > 20
    assert queues.count(b'["workers.handlers.handle_bag", null, ["') > 20  # what bags are given, unpacked
    assert journey.place("logs").count(b"request_answered") > 200
    assert journey.place("refusals").count(b'"rule"') > 20
    for process in (b"gunicorn", b"workers\0relay", b"workers\0ticker", b"coordinator.local.sandbox", b"postgres"):
        assert process in journey.place("command lines")


# ---- The search itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_a_word_that_was_planted_is_found(journey: Evidence, place: str) -> None:
    assert found_in(journey.place(place), {"it": journey.planted}) == ["it"]


def test_in_the_database_a_planted_word_is_found_in_every_form(journey: Evidence) -> None:
    lines = journey.place("database").splitlines()
    for form in readable_forms(journey.planted):
        stored = [line for line in lines if line.endswith(b"\\\\x01" + form.hex().encode())]
        assert len(stored) == 1
        assert found_in(stored[0], {"it": journey.planted}) == ["it"]


def test_in_the_queues_a_planted_word_is_found_in_what_was_compressed(journey: Evidence) -> None:
    assert b"\npacked " + journey.planted.encode() in journey.place("queues")


def test_what_was_compressed_is_found_in_what_the_monitor_shows() -> None:
    packed = zlib.compress(b"somebody was called " + STEM.encode())
    shown = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in packed)
    heard = f'1.2 [0 unix] "HSET" "data" "{shown}" "n" "a\\nb"'.encode()
    assert [STEM.encode() in each for each in unpacked(unquoted(heard))] == [True]


@pytest.mark.parametrize("around", [b"", b"a", b"ab", b"abc"])
def test_a_word_is_found_in_base64_wherever_it_begins(around: bytes) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        assert found_in(b"..." + encode(around + STEM.encode() + b"ab" + around) + b"...", {"it": STEM}) == ["it"]
        assert found_in(b"..." + encode(around + b"another word" + around) + b"...", {"it": STEM}) == []


def test_scores_in_clear_would_be_found() -> None:
    assert SCORES.search(b'{"reading": {"systolic": 152}}')
    assert not SCORES.search(b'{"setting": "vitals.start.systolic_below"}')
