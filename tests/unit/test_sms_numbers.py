"""Phone numbers: E.164 in, nothing repeated in a refusal (DOMAIN 7)."""

from __future__ import annotations

import pytest

from services.core.errors import InvalidInput
from services.messaging.sms import normalize_number, shown_number


@pytest.mark.parametrize(
    "written",
    [
        "+14155550100",
        "4155550100",
        "(415) 555-0100",
        "1-415-555-0100",
        " 415.555.0100 ",
        "+1 415 555 0100",
        "４155550100",
    ],
)
def test_a_us_number_is_normalized_however_it_is_written(written: str) -> None:
    assert normalize_number(written) == "+14155550100"


def test_a_foreign_number_keeps_its_country() -> None:
    assert normalize_number("+44 20 7183 8750") == "+442071838750"


def test_the_region_decides_how_a_number_without_country_is_read() -> None:
    assert normalize_number("020 7183 8750", region="GB") == "+442071838750"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "911",
        "5550100",
        "+1 555 010 0000",
        "415 555 0100 x5",
        "1-800-FLOWERS",
        "+",
        "0" * 300,
        "+14155550100;ext=5",
        "\0",
    ],
)
def test_what_is_no_usable_number_is_refused_without_repeating_it(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        normalize_number(written)
    assert refused.value.field == "phone"
    assert not written.strip("+\0") or written not in refused.value.message


def test_a_us_number_is_shown_as_its_readers_know_it() -> None:
    assert shown_number("+14155550100") == "(415) 555-0100"


def test_a_foreign_number_is_shown_in_full() -> None:
    assert shown_number("+442071838750") == "+442071838750"
