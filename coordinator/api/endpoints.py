"""How a route is declared. Every route names its action; everything a request goes through happens here, in order:

    rate and size limits → bearer token → scope and role → idempotency key → body and query → the view → the answer

The view receives a ``Call`` and the parsed input, calls one use case and returns what the answer schema dumps. One
request is one database transaction; an error rolls all of it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar
from uuid import UUID

from flask import Request, Response, current_app, g, json, request
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema
from sqlalchemy.orm import Session
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from coordinator.api.documents import problem_name
from coordinator.api.problem_schemas import ERRORS
from coordinator.api.stored_answers import KEY_PARAMETER, CountedRefusal, answer_once
from coordinator.security.bearer import authenticate
from services.core.actors import NOBODY, Actor
from services.core.database import transaction
from services.core.errors import InvalidInput, RuleRefused
from services.people.access import Action, authorize
from services.people.attempts import Refused

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """What a view needs: the open transaction, who asks and with which token, and the version named in ``If-Match``.

    ``version`` is None without that header, ``token_id`` on routes that anybody may call.
    """

    session: Session
    actor: Actor
    version: int | None
    token_id: UUID | None = None


class StrictParser(FlaskParser):
    """Unknown fields are refused in the query as well, not only in the body; a body is JSON as RFC 8259 has it."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE, "headers": None, "path": None}  # noqa: RUF012

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body. Raises ``BadRequest`` when it is no JSON, or nested or numbered beyond what can be read."""
        try:
            return json.loads(req.get_data().decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise BadRequest from None


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


class Resource(Blueprint):
    """A blueprint of routes under ``/api/v1``."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prepare_doc_cbks.append(_document_headers_and_errors)


def _document_headers_and_errors(document: dict[str, Any], collected: Mapping[str, Any], **_: Any) -> dict[str, Any]:
    """Add an operation's request headers to the parameters of its query, and point to the problems it may answer.

    The problems stand once in the document. Described anew for every operation they would cost each process 60 MB.
    """
    problems = {str(code): {"$ref": f"#/components/responses/{problem_name(code)}"} for code in collected["errors"]}
    return {
        **document,
        "parameters": [*document.get("parameters", ()), *collected.get("headers", ())],
        "responses": {**document.get("responses", {}), **problems},
    }


PREFIX: Final = "/api/v1"


def resource(name: str, description: str) -> Resource:
    """The blueprint of one resource; ``description`` heads its section in the OpenAPI document."""
    return Resource(name, name, url_prefix=PREFIX, description=description)


ETAG: Final = {"type": "string", "pattern": '^"[0-9]{1,9}"$'}
IF_MATCH: Final[dict[str, Any]] = {
    "in": "header",
    "name": "If-Match",
    "description": "The ETag you read. The change is refused with 412 when the record has moved on since.",
    # Some clients take the quotes off and do not put them on again.
    "schema": {"type": "string", "pattern": '^"?[0-9]{1,9}"?$'},
}


class IfMatch(Enum):
    """What a route does with ``If-Match``. One that is not looked at would promise a safety that is not there."""

    REFUSED = "refused"
    TAKEN = "taken"
    NEEDED = "needed"


@dataclass(frozen=True, slots=True)
class Route:
    """What a route was declared with: everything that decides how a request is let in."""

    method: str
    path: str
    action: Action | None
    takes_body: bool
    takes_query: bool
    if_match: IfMatch
    located: str | None

    def may_answer(self, status: int) -> bool:
        """Whether the route's document names an error status."""
        match status:
            case 403:
                return self.action is not None
            case 404:
                return "<" in self.path or self.takes_body
            case 409:
                return self.method != "GET" or "<" in self.path
            case 412:
                return self.if_match is not IfMatch.REFUSED
            case 413 | 415:
                return self.takes_body
        return True

    def headers(self) -> list[dict[str, Any]]:
        """The request headers that the route's document names."""
        key = [KEY_PARAMETER] if self.method == "POST" else []
        match = [{**IF_MATCH, "required": self.if_match is IfMatch.NEEDED}]
        return key + (match if self.if_match is not IfMatch.REFUSED else [])


def endpoint(
    blueprint: Resource,
    method: str,
    path: str,
    *,
    action: Action | None,
    answer: type[Schema] | Schema,
    status: int = 200,
    body: type[Schema] | Schema | None = None,
    query: type[Schema] | Schema | None = None,
    if_match: IfMatch | None = None,
    located: str | None = None,
) -> Callable[[View], View]:
    """Declare a route. ``action`` None means that anybody may call it (sign-in and link exchange only).

    Conventions: the view's docstring becomes the summary; POST takes an ``Idempotency-Key``; an answer with a
    ``version`` carries it as ETag; a change or step (200) that answers one takes ``If-Match``: it is ``call.version``;
    ``located`` is where the thing created can be read, such as ``/fills/{id}``, with what the answer names filled in.
    """
    if if_match is None:
        is_change = method != "GET" and status == 200 and "version" in _instance(answer).fields
        if_match = IfMatch.TAKEN if is_change else IfMatch.REFUSED
    route = Route(method, path, action, body is not None, query is not None, if_match, located)

    def declare(view: View) -> View:
        inner = _called(view, method)
        inner = blueprint.response(status, answer, headers=_answer_headers(_instance(answer), route))(inner)
        # Schemas are built once, here; a class would be built anew for every request.
        if body is not None:
            inner = blueprint.arguments(_instance(body))(inner)
        if query is not None:
            inner = blueprint.arguments(_instance(query), location="query")(inner)
        inner = blueprint.doc(
            operationId=f"{blueprint.name}_{view.__name__}".replace("-", "_"),
            security=[{"bearer": []}] if action is not None else [],
            **{"x-action": None if action is None else action.value},
        )(inner)
        inner._apidoc["errors"] = list(filter(route.may_answer, sorted(ERRORS)))
        inner._apidoc["headers"] = route.headers()

        @wraps(inner)
        def handle(**path_values: Any) -> Any:
            if route.takes_body:
                _check_body()
            with transaction() as session:
                try:
                    return _answer(session, inner, route, path_values)
                except CountedRefusal as counted:
                    refused = counted.refused
            raise refused.error

        blueprint.route(path, methods=[method])(handle)
        return view

    return declare


def _check_body() -> None:
    # A body that comes in chunks, without its length, is cut off at the limit and not refused by itself.
    if len(request.get_data()) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    if request.mimetype != "application/json":
        raise UnsupportedMediaType


def _instance(schema: type[Schema] | Schema) -> Schema:
    return schema() if isinstance(schema, type) else schema


ANONYMOUS = "anonymous"


def _called(view: View, method: str) -> Callable[..., Any]:
    """The view, called with the request's ``Call``; what it refuses is made fit to be answered."""

    @wraps(view)
    def call_view(*inputs: Any, **path_values: Any) -> Any:
        try:
            result = view(g.call, *inputs, **path_values)
        except InvalidInput as error:
            if method == "GET":
                raise
            # What the document can express was checked before the view; the rest is a rule that refuses.
            raise RuleRefused(error.message, field=error.field, rule=error.rule or "input.acceptable") from None
        if isinstance(result, Refused):
            raise CountedRefusal(result)
        # Before the answer is written: only now do changed rows have the version that the answer names.
        g.call.session.flush()
        return result

    return call_view


def _answer(session: Session, inner: Callable[..., Response], route: Route, path_values: Mapping[str, Any]) -> Response:
    """Everything between opening and committing the request's transaction."""
    actor, principal = _enter(session, route)
    if request.args and not route.takes_query:
        raise InvalidInput("This address takes no query.", field=next(iter(request.args)))
    g.call = Call(session, actor, _version(route), g.get("token_id"))

    def answer_now() -> Response:
        response = inner(**path_values)
        session.flush()
        return _with_headers(response, route)

    return answer_once(session, principal, answer_now) if route.method == "POST" else answer_now()


def _enter(session: Session, route: Route) -> tuple[Actor, str]:
    """Who asks, after token, scope and role are checked; anonymous routes act as nobody until the use case knows."""
    if route.action is None:
        return NOBODY, ANONYMOUS
    g.action = route.action
    actor = authenticate(session, is_read=route.method == "GET")
    g.actor = actor
    authorize(actor, route.action)
    return actor, str(actor.id)


def _version(route: Route) -> int | None:
    given = request.headers.get("If-Match")
    if given is None and route.if_match is IfMatch.NEEDED:
        raise InvalidInput("Send If-Match with the ETag of the record as you read it.", field="If-Match")
    if given is None or route.method == "GET":
        return None
    if route.if_match is IfMatch.REFUSED:
        raise InvalidInput("This address takes no If-Match: nothing here has a version.", field="If-Match")
    if not re.fullmatch(IF_MATCH["schema"]["pattern"], given):
        raise InvalidInput('If-Match takes the ETag of the record as you read it, like "3".', field="If-Match")
    return int(given.strip('"'))


def _answer_headers(answer: Schema, route: Route) -> dict[str, Any] | None:
    headers: dict[str, Any] = {}
    if "version" in answer.fields:
        described = "The version of this answer, for `If-Match`."
        headers["ETag"] = {"description": described, "required": True, "schema": ETAG}
    if route.located is not None:
        described = "Where it can be read from now on."
        headers["Location"] = {"description": described, "required": True, "schema": {"type": "string"}}
    return headers or None


def _with_headers(response: Response, route: Route) -> Response:
    is_wanted = route.located is not None or b'"version"' in response.get_data()
    document = response.get_json(silent=True) if is_wanted and response.is_json else None
    if isinstance(document, Mapping) and isinstance(document.get("version"), int):
        response.set_etag(str(document["version"]))
    if isinstance(document, Mapping) and route.located is not None:
        response.headers["Location"] = PREFIX + route.located.format_map(document)
    return response
