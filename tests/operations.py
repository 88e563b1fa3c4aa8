"""The API as its OpenAPI document describes it, for tests that are generated from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import Flask

from services.core.actors import Role
from services.people.access import POLICY, Action, Relationship

DOCUMENT = "/api/v1/openapi.json"
PREFIX = "/api/v1"
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """One method of one path. ``path`` is without the prefix; ``answers`` are documented by status."""

    method: str
    path: str
    details: Mapping[str, Any]
    path_parameters: tuple[Mapping[str, Any], ...]
    document: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def id(self) -> str:
        return str(self.details["operationId"])

    @property
    def action(self) -> str | None:
        """The action of the access table; None on what anybody may call."""
        value = self.details["x-action"]
        return None if value is None else str(value)

    @property
    def is_public(self) -> bool:
        return self.action is None

    @property
    def policy(self) -> Mapping[Role, Relationship]:
        """Who may call it, by the access table; nobody in particular where anybody may."""
        return {} if self.action is None else POLICY[Action(self.action)]

    @property
    def answers(self) -> dict[int, Mapping[str, Any]]:
        shared = self.document["components"].get("responses", {})
        return {
            int(status): shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            for status, answer in self.details["responses"].items()
        }

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names of the ids in the path."""
        return tuple(parameter["name"] for parameter in self.path_parameters)

    def parameters(self, place: str) -> dict[str, Mapping[str, Any]]:
        """The parameters in ``query`` or ``header``, by name."""
        return {each["name"]: each for each in self.details.get("parameters", ()) if each["in"] == place}

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The JSON schema of the body without references; None when the operation takes none."""
        content = self.details.get("requestBody", {}).get("content", {})
        return self.resolved(content["application/json"]["schema"]) if content else None

    def at(self, **ids: Any) -> str:
        """The path with ids filled in."""
        return self.path.format(**ids)

    def resolved(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A schema with every reference replaced by what it refers to; ours never go round in circles."""

        def walk(node: Any) -> Any:
            if isinstance(node, Mapping):
                if "$ref" in node:
                    return walk(self.document["components"]["schemas"][node["$ref"].rpartition("/")[2]])
                return {name: walk(child) for name, child in node.items()}
            return [walk(child) for child in node] if isinstance(node, list) else node

        return dict(walk(schema))


def document_of(app: Flask) -> dict[str, Any]:
    """The OpenAPI document that the application publishes."""
    answer = app.test_client().get(DOCUMENT)
    assert answer.status_code == 200
    return dict(answer.get_json())


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    """Everything that can be called, in the order of the document."""
    return list(_operations(document))


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = tuple(each for each in item.get("parameters", ()) if each["in"] == "path")
                yield Operation(method.upper(), path.removeprefix(PREFIX), item[method], parameters, document)
