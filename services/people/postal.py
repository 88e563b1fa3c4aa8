"""Postal addresses in the United States: what is written down and how it is checked."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from services.core.errors import InvalidInput
from services.people.identifiers import state_code

POSTAL_CODE = re.compile(r"(?P<zip>[0-9]{5})(?:-?(?P<more>[0-9]{4}))?")
LENGTHS = {"street": 120, "unit": 40, "city": 60}


def postal_code(text: str, *, field: str = "postal_code") -> str:
    """A ZIP or ZIP+4 code as ``94103`` or ``94103-1234``. Raises ``InvalidInput`` on ``field``."""
    match = POSTAL_CODE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput("Give a ZIP code of five digits, or nine as in 94103-1234.", field=field)
    return match["zip"] + (f"-{match['more']}" if match["more"] else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address; personal as soon as it is a patient's, so it travels as ``Personal[Address]``."""

    street: str
    city: str
    state: str
    postal_code: str
    unit: str = ""

    def checked(self, field: str = "address") -> Address:
        """The address in its normal form. Raises ``InvalidInput`` on ``<field>.<part>``."""
        texts = {}
        for part, longest in LENGTHS.items():
            text = " ".join(getattr(self, part).split())
            if len(text) > longest or not text.isprintable() or (not text and part != "unit"):
                raise InvalidInput(f"Give 1 to {longest} printable characters.", field=f"{field}.{part}")
            texts[part] = text
        return Address(
            **texts,
            state=state_code(self.state, field=f"{field}.state"),
            postal_code=postal_code(self.postal_code, field=f"{field}.postal_code"),
        )

    def as_dict(self) -> dict[str, Any]:
        """The address as plain JSON types, for sealing it or handing it to a carrier."""
        return asdict(self)
