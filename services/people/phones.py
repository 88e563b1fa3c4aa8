"""Phone numbers: E.164 for storing and looking up (DOMAIN 7)."""

from __future__ import annotations

import phonenumbers

from services.core.errors import InvalidInput
from services.core.personal import Personal


def e164(text: Personal[str], *, field: str = "phone", region: str = "US") -> Personal[str]:
    """The number in E.164 (``+14155550100``), read as people of ``region`` write it.

    Raises ``InvalidInput`` on ``field``, without repeating what was written.
    """
    written = text.reveal()
    if len(written) <= 40 and not any(character.isalpha() for character in written):
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            number = None
        if number is not None and not number.extension and phonenumbers.is_valid_number(number):
            return Personal(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    raise InvalidInput(
        "This is not a phone number that can be used. Give the area code and the number, or start with + and the "
        "country code; no letters and no extension.",
        field=field,
    )
