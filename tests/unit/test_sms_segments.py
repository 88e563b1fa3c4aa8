"""Counting texts: GSM-7 160/153 with two-unit extension characters, UCS-2 70/67 in UTF-16 units (DOMAIN 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.sms import GSM7_BASIC, GSM7_EXTENSION, Encoding, Segments, plain, segments


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts"),
    [
        ("", Encoding.GSM7, 0, 0),
        ("a" * 160, Encoding.GSM7, 160, 1),
        ("a" * 161, Encoding.GSM7, 161, 2),
        ("a" * 306, Encoding.GSM7, 306, 2),
        ("a" * 307, Encoding.GSM7, 307, 3),
        ("{" * 80, Encoding.GSM7, 160, 1),
        ("{" * 81, Encoding.GSM7, 162, 2),
        ("é" * 160, Encoding.GSM7, 160, 1),
        ("ж" * 70, Encoding.UCS2, 70, 1),
        ("ж" * 71, Encoding.UCS2, 71, 2),
        ("ж" * 134, Encoding.UCS2, 134, 2),
        ("ж" * 135, Encoding.UCS2, 135, 3),
        ("\N{GRINNING FACE}" * 35, Encoding.UCS2, 70, 1),
        ("\N{GRINNING FACE}" * 36, Encoding.UCS2, 72, 2),
        ("a" * 69 + "’", Encoding.UCS2, 70, 1),
        ("a" * 70 + "`", Encoding.UCS2, 71, 2),
    ],
)
def test_a_text_is_counted_in_its_encoding(text: str, encoding: Encoding, units: int, parts: int) -> None:
    assert segments(text) == Segments(encoding, units, parts)


@pytest.mark.parametrize("character", list("^{}\\[]~|€"))
def test_each_extension_character_counts_two(character: str) -> None:
    assert segments(character).units == 2


def test_the_basic_table_holds_all_characters_but_the_escape() -> None:
    assert len(GSM7_BASIC) == 127
    assert GSM7_BASIC.isdisjoint(GSM7_EXTENSION)


def test_an_extension_character_is_not_split_between_parts() -> None:
    # 306 units would fill two parts exactly, were the brace allowed to straddle the first boundary.
    assert segments("a" * 152 + "{" + "a" * 152) == Segments(Encoding.GSM7, 306, 3)


def test_a_surrogate_pair_is_not_split_between_parts() -> None:
    assert segments("ж" * 66 + "\N{GRINNING FACE}" + "ж" * 66) == Segments(Encoding.UCS2, 134, 3)


@given(st.text(max_size=400))
def test_parts_always_have_room_for_the_units(text: str) -> None:
    size = segments(text)
    alone, each = (160, 153) if size.encoding is Encoding.GSM7 else (70, 67)
    assert size.units <= (alone if size.parts <= 1 else size.parts * each)
    assert size.units > (size.parts - 1) * (each - 1) or size.parts <= 1


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Sam’s “Clinic” – west…", 'Sam\'s "Clinic" - west...'),
        ("Clínica Niño", "Clinica Niño"),
        ("Café Müller", "Café Müller"),
        ("two\tspaced\u00a0words", "two spaced words"),
        ("Łódź", "Łodz"),
    ],
)
def test_typography_becomes_plain_and_known_letters_stay(written: str, sent: str) -> None:
    assert plain(written) == sent
