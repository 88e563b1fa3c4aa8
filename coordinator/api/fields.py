"""Fields that the API's schemas are made of."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, validate

from services.core.personal import Personal, Secret

# Any text without control characters other than line breaks and tabs: PostgreSQL stores no NUL.
PRINTABLE: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"
# What RFC 3339 allows and people mean. Years far off overflow as soon as they are moved into another time zone.
_DATE: Final = r"(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]"
DAY: Final = f"^{_DATE}$"
MOMENT: Final = rf"^{_DATE}T{_TIME}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_TIME})$"
IDENTIFIER: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Pattern(validate.Regexp):
    """A pattern that the whole text has to fit, as JSON Schema reads it: in Python a ``$`` lets a line break follow."""

    def __call__(self, value: Any) -> Any:
        """The value itself. Raises ``ValidationError`` when it does not fit."""
        if self.regex.fullmatch(value) is None:
            raise ValidationError(self._format_error(value))
        return value


def without_surrogates(value: str) -> None:
    """Refuse unpaired surrogates, which JSON can escape (``\\ud800``) but no document or database can hold."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValidationError("Unpaired surrogates are not allowed.")


class Text(fields.String):
    """A text of ``shortest`` to ``longest`` characters."""

    def __init__(self, longest: int = 200, shortest: int = 1, pattern: str = PRINTABLE, **options: Any) -> None:
        explained = "Control characters are not allowed." if pattern == PRINTABLE else "This does not fit {regex}"
        checks: list[Callable[[str], Any]] = [
            validate.Length(min=shortest, max=longest),
            without_surrogates,
            Pattern(pattern, error=explained),
        ]
        super().__init__(validate=checks, **options)


class Whole(fields.Integer):
    """A whole number from ``low`` to ``high``, both included."""

    def __init__(self, low: int, high: int, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(low, high), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        # JSON has one kind of number: 5.0 is the whole number 5.
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        return super()._deserialize(whole, attr, data, **options)


class WholeOrWord(fields.Field[Any]):
    """A whole number from ``low`` to ``high``, or one word that stands for none."""

    default_error_messages = {  # noqa: RUF012 - marshmallow collects these from class to class
        "invalid": "Give a whole number from {low} to {high}, or '{word}'."
    }

    def __init__(self, low: int, high: int, word: str, **options: Any) -> None:
        allowed: list[dict[str, Any]] = [
            {"type": "integer", "minimum": low, "maximum": high},
            {"type": "string", "enum": [word]},
        ]
        if options.get("allow_none"):
            allowed.append({"type": "null"})
        super().__init__(metadata={"anyOf": allowed}, **options)
        self.low, self.high, self.word = low, high, word

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int | str:
        if value == self.word and isinstance(value, str):
            return self.word
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, bool) or not isinstance(whole, int) or not self.low <= whole <= self.high:
            raise self.make_error("invalid", low=self.low, high=self.high, word=self.word)
        return whole


class WholeText(Whole):
    """A whole number as a query holds it: up to nine digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch("[0-9]{1,9}", value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(int(value), attr, data, **options)


class Measure(fields.Float):
    """A number from ``low`` to ``high``, both included; no text that looks like one."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


class Day(fields.Date):
    """A calendar date as YYYY-MM-DD, of the years 1900 to 2199."""

    default_error_messages = {  # noqa: RUF012 - marshmallow collects these from class to class
        "invalid": "Give a date as YYYY-MM-DD, from 1900 to 2199."
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": DAY, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> date:
        if not isinstance(value, str) or not re.fullmatch(DAY, value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


class Moment(fields.AwareDateTime):
    """A time with its offset from UTC (RFC 3339), of the years 1900 to 2199; in UTC from here on."""

    default_error_messages = {  # noqa: RUF012 - marshmallow collects these from class to class
        "invalid": "Give a time as YYYY-MM-DDThh:mm:ssZ or with an offset such as -07:00, from 1900 to 2199."
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": MOMENT, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> datetime:
        if not isinstance(value, str) or not re.fullmatch(MOMENT, value):
            raise self.make_error("invalid", input=value, obj_type="datetime")
        return super()._deserialize(value, attr, data, **options).astimezone(UTC)


class Id(fields.UUID):
    """An id with its hyphens; not the other spellings of a UUID that Python knows."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> UUID:
        if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return super()._deserialize(value, attr, data, **options)


class Flag(fields.Boolean):
    """True or false; nothing that merely looks like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class PersonalText(Text):
    """A personal text: wrapped on the way in, revealed only here on the way out."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        return Personal(super()._deserialize(value, attr, data, **options))

    def _validate(self, value: Any) -> None:
        super()._validate(value.reveal() if isinstance(value, Personal) else value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        plain = value.reveal() if isinstance(value, Personal) else value
        return super()._serialize(plain, attr, obj, **options)


class SecretText(Text):
    """A password, code or token."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        return Secret(super()._deserialize(value, attr, data, **options))

    def _validate(self, value: Any) -> None:
        super()._validate(value.reveal() if isinstance(value, Secret) else value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        plain = value.reveal() if isinstance(value, Secret) else value
        return super()._serialize(plain, attr, obj, **options)


class Choice(fields.Enum[StrEnum]):
    """One value of an enumeration. Rows hold the plain value, so both it and the member are written out."""

    def __init__(self, enum: type[StrEnum], **options: Any) -> None:
        super().__init__(enum, by_value=fields.String, **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        return None if value is None else self.enum(value).value


class Choices(fields.List[StrEnum]):
    """Values of an enumeration, no more than it has."""

    def __init__(self, enum: type[StrEnum], **options: Any) -> None:
        super().__init__(Choice(enum), validate=validate.Length(max=len(enum)), **options)


class Revealed(fields.Field[Any]):
    """An answer field holding ``Personal`` content of any JSON shape, described to readers by ``inner``."""

    def __init__(self, inner: fields.Field[Any], **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner
        inner.allow_none = inner.allow_none or self.allow_none

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        plain = value.reveal() if isinstance(value, Personal | Secret) else value
        return self.inner._serialize(plain, attr, obj, **options)


def page_schema(item: type[Schema], name: str) -> type[Schema]:
    """The answer of a list: ``items``, and the cursor to go on with (null on the last page)."""
    return Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next": fields.String(allow_none=True, required=True),
        },
        name=name,
    )
