"""How numbers of practitioners are made: NPI, DEA number; and the US states (DOMAIN 5). Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from services.core.errors import InvalidInput

DEA_SHAPE = re.compile(r"[A-Z][A-Z9][0-9]{7}")
DEA_PRACTITIONERS = frozenset("ABFG")
DEA_MID_LEVEL = frozenset("M")

NPI_SHAPE = re.compile(r"[12][0-9]{9}")
NPI_PREFIX = "80840"

_STATES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware|
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|
LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|
NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota|
OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|
UT Utah|VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming|
AS American Samoa|GU Guam|MP Northern Mariana Islands|PR Puerto Rico|VI U.S. Virgin Islands
"""
STATES: Mapping[str, str] = MappingProxyType(
    {entry.strip()[:2]: entry.strip()[3:] for entry in _STATES.split("|") if entry.strip()}
)
"""USPS code → name: the 50 states, the District of Columbia and the five territories where DEA registers."""


def state_code(text: str, *, field: str = "state") -> str:
    """The USPS code that ``text`` means, upper case. Raises ``InvalidInput`` on ``field`` for anything else."""
    code = text.strip().upper()
    if code not in STATES:
        raise InvalidInput("Give the two-letter USPS code of a US state or territory, such as CA.", field=field)
    return code


def npi_is_valid(number: str) -> bool:
    """Whether ``number`` is a National Provider Identifier: ten digits from 1 or 2, Luhn over 80840 + NPI."""
    if NPI_SHAPE.fullmatch(number) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(NPI_PREFIX + number)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def dea_number_is_valid(number: str) -> bool:
    """Whether ``number`` has a DEA number's shape and check digit. Its letters are judged in ``paper_rules.py``."""
    if DEA_SHAPE.fullmatch(number) is None:
        return False
    digits = [int(digit) for digit in number[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6]
