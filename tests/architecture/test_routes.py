"""What holds for every route, read from the application and from its OpenAPI document."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from schemathesis.specs.openapi.definitions import OPENAPI_31
from sqlalchemy.orm import Session

import workers
from coordinator import api as api_package
from coordinator.local.stack import KEY_FILES, Stack
from coordinator.problems import PROBLEM_TYPE
from coordinator.security.rate_limits import ANONYMOUS_PATHS
from services.core.actors import Role
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.people.access import POLICY, Action
from services.routing import ROUTES
from services.vault import keyring
from tests.api.conftest import PREFIX, Api, Caller
from tests.factories import make_episode, make_world
from tests.operations import Operation, document_of, operations_of

# Whoever signs in or follows a link has no token yet. Everything else needs one.
PUBLIC = {"POST /sign-in", "POST /links/exchange", "POST /codes", "POST /codes/exchange"}
OUTSIDE_THE_API = ("/hooks/", "/health", "/ready", "/metrics")
RESOURCES = {
    *("referrals", "patients", "episodes", "screenings", "eligibility", "prescriptions", "fills", "shipments"),
    *("sessions", "vitals", "adverse-events", "outcomes", "notes", "refill-requests", "tasks", "notices", "audit"),
    "accounts",
}


@pytest.fixture(scope="session")
def document(app: Flask) -> dict[str, Any]:
    return document_of(app)


@pytest.fixture(scope="session")
def operations(document: dict[str, Any]) -> list[Operation]:
    return operations_of(document)


def test_nothing_is_routed_outside_the_api_the_hooks_and_the_probes(app: Flask) -> None:
    places = (f"{PREFIX}/", *OUTSIDE_THE_API)
    assert [rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith(places)] == []


def test_every_route_of_the_api_is_in_the_document(app: Flask, operations: list[Operation]) -> None:
    routed = {
        f"{method} {described(rule.rule)}"
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX) and rule.endpoint != "api-docs.openapi_json"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routed == set(map(str, operations))


def described(rule: str) -> str:
    """A route's pattern as the document writes it."""
    return re.sub(r"<[^:>]+:([^>]+)>", r"{\1}", rule.removeprefix(PREFIX))


def test_the_resources_are_those_that_were_asked_for(operations: list[Operation]) -> None:
    named = {part for each in operations for part in each.path.split("/")}
    assert sorted(RESOURCES - named) == []


def test_every_route_declares_an_action_of_the_access_table(operations: list[Operation]) -> None:
    known = {action.value for action in POLICY}
    assert [str(each) for each in operations if not each.is_public and each.action not in known] == []


def test_only_signing_in_and_following_a_link_are_public_and_those_are_limited(operations: list[Operation]) -> None:
    assert {str(each) for each in operations if each.is_public} == PUBLIC
    assert {PREFIX + each.path for each in operations if each.is_public} == ANONYMOUS_PATHS


def test_the_document_says_which_routes_need_a_token(operations: list[Operation]) -> None:
    wrong = [
        str(each) for each in operations if each.details["security"] != ([] if each.is_public else [{"bearer": []}])
    ]
    assert wrong == []


def test_every_action_of_the_table_is_used_by_a_route_or_known_to_serve_inside(operations: list[Operation]) -> None:
    routed = {each.action for each in operations}
    inside = {Action.EXPORT_PATIENT, Action.HANDLE_DEAD_LETTER}  # commands of the command line
    assert sorted(action for action in POLICY if action not in routed | inside) == []


def test_every_post_needs_an_idempotency_key(operations: list[Operation]) -> None:
    keyed = {str(each) for each in operations if each.parameters("header").get("Idempotency-Key", {}).get("required")}
    assert keyed == {str(each) for each in operations if each.method == "POST"}


def test_every_change_of_what_has_a_version_may_name_the_one_it_was_made_for(operations: list[Operation]) -> None:
    """Whether each of them heeds it is for tests/api/test_bad_input.py to find out."""
    wrong = []
    for each in operations:
        answer = each.answers.get(200)
        answers_one = answer is not None and "ETag" in answer.get("headers", {})
        if each.method != "GET" and answers_one and "If-Match" not in each.parameters("header"):
            wrong.append(str(each))
    assert wrong == []


def test_every_answer_with_a_version_carries_it_as_etag(operations: list[Operation]) -> None:
    for each in operations:
        for status, answer in each.answers.items():
            if status < 400:
                schema = each.resolved(answer["content"]["application/json"]["schema"])
                assert ("version" in schema["properties"]) == ("ETag" in answer.get("headers", {})), each


def test_whatever_is_created_and_can_be_read_is_located(operations: list[Operation]) -> None:
    reads = [each.path for each in operations if each.method == "GET"]
    readable = {path.split("/")[1] for path in reads if re.fullmatch(r"/[a-z-]+/{[a-z_]+}", path)}
    wrong = []
    for each in operations:
        created = each.answers.get(201)
        if (
            created is not None
            and each.path.rpartition("/")[2] in readable
            and "Location" not in created.get("headers", {})
        ):
            wrong.append(str(each))
    assert wrong == []


def test_every_error_is_a_problem_document(operations: list[Operation]) -> None:
    wrong = [
        f"{each} {status}"
        for each in operations
        for status, answer in each.answers.items()
        if status >= 400 and list(answer["content"]) != [PROBLEM_TYPE]
    ]
    assert wrong == []


def test_every_route_documents_one_success_and_the_errors_it_can_meet(operations: list[Operation]) -> None:
    wrong = []
    for each in operations:
        needed = {401, 429, 503}
        needed |= set() if each.is_public else {403}
        needed |= {400, 413, 415, 422} if each.body is not None else set()
        needed |= {404} if each.path_names else set()
        needed |= {409} if each.method != "GET" else set()
        needed |= {412} if "If-Match" in each.parameters("header") else set()
        successes = [status for status in each.answers if status < 400]
        if len(successes) != 1 or not needed <= set(each.answers):
            wrong.append(f"{each}: {sorted(each.answers)}")
    assert wrong == []


def test_every_success_is_described_by_a_schema_with_content(operations: list[Operation]) -> None:
    wrong = []
    for each in operations:
        schema = next(answer for status, answer in each.answers.items() if status < 400)["content"]["application/json"]
        if not each.resolved(schema["schema"]).get("properties"):
            wrong.append(str(each))
    assert wrong == []


def test_every_operation_says_what_it_does_under_a_name_of_its_own(operations: list[Operation]) -> None:
    assert [str(each) for each in operations if len(each.details.get("summary", "")) < 10] == []
    assert [name for name, times in Counter(each.id for each in operations).items() if times > 1] == []
    assert [each.id for each in operations if not re.fullmatch("[a-z_]+", each.id)] == []


def test_one_file_holds_one_resource_and_one_resource_stands_in_one_file(app: Flask) -> None:
    files = {path.stem for path in Path(api_package.__file__).parent.glob("*.py")} - {"__init__"}
    modules = {name: importlib.import_module(f"{api_package.__name__}.{name}") for name in files}
    homes = {module.blueprint.name: module for module in modules.values() if hasattr(module, "blueprint")}
    assert {name.replace("-", "_") for name in homes} == {
        module.__name__.rpartition(".")[2] for module in homes.values()
    }
    strays = []
    for rule in app.url_map.iter_rules():
        name, _, view = rule.endpoint.partition(".")
        home = inspect.unwrap(app.view_functions[rule.endpoint]).__module__
        if rule.rule.startswith(PREFIX) and name != "api-docs" and home != homes[name].__name__:
            strays.append(f"{view} of {name} in {home}")
    assert strays == []


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """Against the OpenAPI Initiative's own schema of version 3.1, as schemathesis ships it."""
    assert document["openapi"] == "3.1.0"
    problems = jsonschema_rs.Draft202012Validator(OPENAPI_31).iter_errors(document)
    assert [f"{list(problem.instance_path)}: {problem.message}" for problem in problems] == []


def test_every_schema_in_the_document_is_valid_and_used(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
        whole = {**schema, "components": document["components"]}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True)  # refuses patterns it cannot read
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert references == set(schemas)


def test_every_input_is_bounded(operations: list[Operation]) -> None:
    """What the document does not limit, only a rule can refuse: lengths, ranges and sizes belong into the document."""
    loose = [
        f"{each} {place}"
        for each in operations
        for name, schema in [
            *([("body", each.body)] if each.body is not None else []),
            *((f"?{key}", each.resolved(value["schema"])) for key, value in each.parameters("query").items()),
        ]
        for place in _loose(schema, name)
    ]
    assert loose == []


def _loose(schema: Mapping[str, Any], place: str) -> list[str]:
    """The places in a schema that anything of some type fits."""
    if "anyOf" in schema:
        return [each for option in schema["anyOf"] for each in _loose(option, place)]
    if "enum" in schema:
        return []
    types = schema.get("type", "anything")
    kinds = [types] if isinstance(types, str) else types
    match next((kind for kind in kinds if kind != "null"), "null"):
        case "object":
            inner = [each for name, child in schema["properties"].items() for each in _loose(child, f"{place}.{name}")]
            return inner + ([] if schema.get("additionalProperties") is False else [place])
        case "array":
            return _loose(schema["items"], f"{place}[]") + ([] if "maxItems" in schema else [place])
        case "string":
            bounded = schema.get("format") == "uuid" or "pattern" in schema
            return [] if bounded and ("maxLength" in schema or "format" in schema) else [place]
        case "integer" | "number":
            return [] if {"minimum", "maximum"} <= set(schema) else [place]
        case "boolean" | "null":
            return []
    return [place]


def test_without_a_token_every_route_that_is_not_public_answers_401(api: Api, operations: list[Operation]) -> None:
    wrong = []
    for each in operations:
        if each.is_public:
            continue
        answer = call(api.anonymous(), each)
        challenge = answer.headers.get("WWW-Authenticate")
        if (answer.status_code, answer.content_type, challenge) != (401, PROBLEM_TYPE, "Bearer"):
            wrong.append(f"{each}: {answer.status_code}")
    assert wrong == []


def test_every_role_meets_403_exactly_where_the_access_table_does_not_name_it(
    api: Api, session: Session, operations: list[Operation]
) -> None:
    world = make_world(session)
    accounts = (world.therapist, world.prescriber, world.medical_staff, world.pharmacist, world.operator)
    callers = {Role(account.role): api.as_account(account) for account in accounts}
    callers[Role.PATIENT] = api.as_patient(make_episode(session, world=world))
    assert set(callers) == set(Role) - {Role.SYSTEM, Role.NOBODY}
    wrong = []
    # Signing out ends the token that asks: last.
    for each in sorted(operations, key=lambda operation: operation.action == Action.SIGN_OUT):
        for role, caller in callers.items():
            if each.is_public:
                continue
            answer = call(caller, each)
            is_allowed = role in each.policy
            refused = answer.status_code == 403 and answer.get_json()["rule"] == f"access.{each.action}"
            if refused is is_allowed or answer.status_code == 401:
                wrong.append(f"{role} {each}: {answer.status_code}")
    assert wrong == []


def call(caller: Caller, operation: Operation) -> Any:
    """Call with ids of nothing and an empty body: enough to get past the door, not to get anything done."""
    path = operation.at(**{name: new_id() for name in operation.path_names})
    return caller.request(operation.method, path, **({"json": {}} if operation.body is not None else {}))


def test_every_party_that_something_happens_to_has_a_queue_and_a_worker(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {}, port=0)
    keyring.generate(tmp_path / "keys")
    stack.environment = {"COORDINATOR_KEYRING": str(tmp_path / "keys")}
    programs = {program.name: program.command for program in stack._programs()}
    addressed = {party for routes in ROUTES.values() for party in routes}
    assert addressed == set(Party)
    for party in addressed:
        assert programs[f"worker-{party}"] == [sys.executable, "-m", workers.__name__, "party", party]
        assert f"party-{party}.json" in KEY_FILES[f"worker-{party}"]


def test_every_event_is_routed() -> None:
    assert set(ROUTES) == set(EventKind)
