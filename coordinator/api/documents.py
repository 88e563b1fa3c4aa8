"""The OpenAPI document: what the frame cannot tell by itself about our fields, and nothing that is not true."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_smorest import Api
from marshmallow import fields

from coordinator.api.fields import Revealed
from coordinator.api.problem_schemas import ERROR_HEADERS, ERRORS, ProblemOut
from coordinator.problems import PROBLEM_TYPE


class DocumentedApi(Api):
    """An API whose document names the answers of each operation one by one: there is no catch-all among them."""

    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemOut

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self.ma_plugin.converter.add_attribute_function(_describe_revealed)
        for code, description in ERRORS.items():
            self.spec.components.response(problem_name(code), _problem(code, description))

    def _register_pagination_header(self) -> None:
        """Lists are paged by cursors, not by the frame's header."""


def problem_name(code: int) -> str:
    """Under which name the document describes the problem with that status; every operation points to it."""
    return f"Problem{code}"


def _problem(code: int, description: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description, "content": {PROBLEM_TYPE: {"schema": ProblemOut}}}
    return answer | ({"headers": ERROR_HEADERS[code]} if code in ERROR_HEADERS else {})


def _describe_revealed(converter: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What is wrapped against leaking is described as what is inside."""
    del ret  # the converter hands over what it found so far; nothing of it matters here
    return dict(converter.field2property(field.inner)) if isinstance(field, Revealed) else {}
