"""The OpenAPI document: what the frame cannot tell by itself about our fields, and nothing that is not true."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_smorest import Api
from marshmallow import fields

from coordinator.api.fields import Revealed
from coordinator.api.problem_schemas import ProblemOut


class DocumentedApi(Api):
    """An API whose document names the answers of each operation one by one: there is no catch-all among them."""

    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemOut

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self.ma_plugin.converter.add_attribute_function(_describe_revealed)

    def _register_pagination_header(self) -> None:
        """Lists are paged by cursors, not by the frame's header."""


def _describe_revealed(converter: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What is wrapped against leaking is described as what is inside."""
    del ret  # the converter hands over what it found so far; nothing of it matters here
    return dict(converter.field2property(field.inner)) if isinstance(field, Revealed) else {}
