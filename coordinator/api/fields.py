"""Fields that the API's schemas are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, validate

from services.core.personal import Personal, Secret

# Any text without control characters other than line breaks and tabs: PostgreSQL stores no NUL, JSON no lone surrogate.
PRINTABLE: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]*$"


class Text(fields.String):
    """A text of ``shortest`` to ``longest`` characters."""

    def __init__(self, longest: int = 200, shortest: int = 1, pattern: str = PRINTABLE, **options: Any) -> None:
        checks = [
            validate.Length(min=shortest, max=longest),
            validate.Regexp(pattern, error="Control characters and unpaired surrogates are not allowed."),
        ]
        super().__init__(validate=checks, **options)


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


class Choice(fields.Enum):
    """One value of an enumeration. Rows hold the plain value, so both it and the member are written out."""

    def __init__(self, enum: type[StrEnum], **options: Any) -> None:
        super().__init__(enum, by_value=True, **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        return None if value is None else self.enum(value).value


class Revealed(fields.Field):
    """An answer field holding ``Personal`` content of any JSON shape, described to readers by ``inner``."""

    def __init__(self, inner: fields.Field, **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner

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


__all__ = ["PRINTABLE", "Choice", "Flag", "PersonalText", "Revealed", "SecretText", "Text", "ValidationError", "page_schema"]
