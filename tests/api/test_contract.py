"""The API does what its OpenAPI document says: schemathesis, with every check it has, over every operation.

Three kinds of cases: everything the document bounds, at its bounds and just beyond ("coverage"), made-up valid requests
("fuzzing") and chains of requests that hand on what they created ("stateful"). Requests that fit the document are aimed
at records that exist, and made by people who may make them: otherwise all of it would end at 404 and 403. Each case is
undone, so that one does not depend on another; the seed is fixed.

No check is switched off. What differs from schemathesis's own expectations:

- A request that fits the document may be answered by 412 (a version that fits but is not the present one), besides 401,
  403, 404, 409 and 429 (docs/adr/0005). 422 and 400 are not among them: they would mean that the document is wrong.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.auths import AuthContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoveragePhaseData
from schemathesis.schemas import BaseSchema
from sqlalchemy.orm import Session

from services.core.actors import Role
from tests.api.clinics import Clinic, allowed, call, open_clinic, undone, ways, working_in
from tests.api.conftest import PREFIX, Api, Caller
from tests.operations import DOCUMENT, Operation, document_of, operations_of
from tests.servers import Servers

# What is refused before an operation matters, such as a key that is too short, is tried on some of them.
FAMILIAR_AFTER = 4
# Enough to try each bound of each field of all but the largest bodies, whose fields are alike.
BODIES_AT_MOST = 60
SEED = 20261122
LIMITS: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def clinic(servers: Servers, environment: Mapping[str, str]) -> Iterator[Clinic]:
    with open_clinic(servers) as opened:
        yield opened


@pytest.fixture
def session(clinic: Clinic) -> Iterator[Session]:
    with working_in(clinic.engine) as opened:
        yield opened


@pytest.fixture(scope="module")
def operations(app: Flask) -> dict[str, Operation]:
    return {each.id: each for each in operations_of(document_of(app))}


class Cast:
    """Who makes the requests, and at what they are aimed."""

    def __init__(self, clinic: Clinic, api: Api, operations: Mapping[str, Operation]) -> None:
        self.clinic = clinic
        self.api = api
        self.operations = operations
        self.callers = clinic.callers(api)
        self.turns: Counter[str] = Counter()

    def caller(self, operation_id: str) -> Caller:
        """Each role that may, in turn; once in a while somebody who may not."""
        roles = allowed(self.operations[operation_id])
        others = [role for role in Role if role in self.callers and role not in roles]
        self.turns[operation_id] += 1
        turn = self.turns[operation_id]
        return self.callers[others[turn % len(others)] if others and turn % 10 == 0 else roles[turn % len(roles)]]

    def knows(self, case: Any) -> bool:
        """Whether a case from the coverage of bounds is like those that were tried before."""
        bound = case.meta.phase.data
        if not isinstance(bound, CoveragePhaseData):
            return False
        if bound.parameter_location is ParameterLocation.BODY:
            key, limit = f"bodies of {case.operation.label}", BODIES_AT_MOST
        else:
            key, limit = f"{bound.parameter_location} {bound.parameter} {bound.description}", FAMILIAR_AFTER
        self.turns[key] += 1
        return self.turns[key] > limit

    def aim(self, case: Any) -> None:
        """Put ids of records that exist in the place of made-up ones, where the request is meant to fit."""
        if not case.meta.is_negative_at(ParameterLocation.PATH):
            for name, made_up in (case.path_parameters or {}).items():
                case.path_parameters[name] = self.known(name, made_up)
        if isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY):
            for name in set(case.body) & {"episode_id", "session_id"}:
                case.body[name] = self.known(name, case.body[name])

    def known(self, name: str, made_up: Any) -> Any:
        """An id that exists, chosen by the made-up one, or now and then that one itself."""
        ids = self.clinic.everything.ids.get(name, [])
        choice = UUID(made_up).int % (len(ids) + 1) if isinstance(made_up, str) and _is_id(made_up) else len(ids)
        return made_up if choice == len(ids) else str(ids[choice])

    def follow(self, case: Any, handed_on: Collection[str]) -> None:
        """As ``aim``, for a step of a chain: what an earlier answer handed on stays, everything else exists.

        Where a version is asked for it is the present one, for which a client looks before it changes something.
        """
        if not case.meta.is_negative_at(ParameterLocation.PATH):
            for name, value in (case.path_parameters or {}).items():
                ids = self.clinic.everything.ids.get(name)
                if ids and value not in handed_on:
                    self.turns[name] += 1
                    case.path_parameters[name] = str(ids[self.turns[name] % len(ids)])
        fits = isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY)
        if fits and case.body.get("episode_id", "") not in {"", *handed_on}:
            case.body["episode_id"] = str(self.clinic.everything.episode.id)
        if not case.meta.is_negative_at(ParameterLocation.HEADER) and "If-Match" in case.headers:
            operation = self.operations[case.operation.definition.raw["operationId"]]
            token = case.headers["Authorization"].removeprefix("Bearer ")
            present = self.api.with_token(token).get(operation.at(**case.path_parameters))
            case.headers["If-Match"] = present.headers.get("ETag", case.headers["If-Match"])


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


@pytest.fixture(scope="module")
def succeeded() -> Counter[str]:
    """How often each operation was called with success."""
    return Counter()


@pytest.fixture
def cast(clinic: Clinic, api: Api, operations: dict[str, Operation]) -> Cast:
    return Cast(clinic, api, operations)


@pytest.fixture(autouse=True)
def node_id(request: pytest.FixtureRequest) -> None:
    """Schemathesis 4.32 reads an attribute that pytest 9.2 has no more."""
    request.node._nodeid = request.node.nodeid


@pytest.fixture
def contract(app: Flask, cast: Cast) -> BaseSchema:
    """The document as schemathesis reads it, which validates it too."""

    def from_anywhere(environ: dict[str, Any], start_response: Any) -> Any:
        # Whoever has no token is counted by address, and is somebody else each time here.
        return app({**environ, "REMOTE_ADDR": f"10.{secrets.randbelow(2**24)}"}, start_response)

    schema = schemathesis.openapi.from_wsgi(DOCUMENT, from_anywhere)
    schema.config.seed = SEED
    schema.config.phases.examples.enabled = False  # the document has none
    # Tokens come from the cast; made-up ones are the business of the check for ignored authentication.
    schema.config.generation.with_security_parameters = False
    accepted = ["2xx", "401", "403", "404", "409", "412", "429"]
    schema.config.checks.positive_data_acceptance.expected_statuses = accepted

    class ByRole:
        """A bearer token of somebody, for each case anew."""

        def get(self, case: Any, context: AuthContext) -> str | None:
            del context
            operation_id = case.operation.definition.raw["operationId"]
            return None if cast.operations[operation_id].is_public else cast.caller(operation_id).token

        def set(self, case: Any, data: str, context: AuthContext) -> None:
            del context
            case.headers["Authorization"] = f"Bearer {data}"

    schema.auth(refresh_interval=None)(ByRole)
    return schema


lazy = schemathesis.pytest.from_fixture("contract")


@lazy.parametrize()
@settings(max_examples=5, **LIMITS)
def test_every_operation_does_what_the_document_says(
    case: Any, cast: Cast, session: Session, succeeded: Counter[str]
) -> None:
    if cast.knows(case):
        return
    cast.aim(case)
    with undone(session):
        answer = case.call_and_validate()
    succeeded[case.operation.definition.raw["operationId"]] += answer.status_code < 300


def test_most_operations_were_seen_to_succeed(succeeded: Counter[str], operations: dict[str, Operation]) -> None:
    """Else what was checked above would be refusals: the seed is fixed, and so are the records."""
    if not succeeded:
        pytest.skip("nothing was called before, in this run")
    reached = {name for name, times in succeeded.items() if times}
    assert set(succeeded) == set(operations)
    assert len(reached) >= 60, sorted(set(succeeded) - reached)
    assert succeeded.total() >= 180, succeeded


def test_chains_of_requests_do_what_the_document_says(contract: BaseSchema, cast: Cast, session: Session) -> None:
    """Links are inferred from the names of ids and from Location."""
    answered: dict[str, Counter[int]] = defaultdict(Counter)
    followed: set[str] = set()

    @seed(SEED)  # else it would be made from this very text, and each change here would change all chains
    class Chains(contract.as_state_machine()):  # type: ignore[misc]
        """One chain at a time, undone afterwards."""

        def setup(self) -> None:
            self.mark = undone(session)
            self.mark.__enter__()
            self.ids: set[str] = set()
            cast.turns.clear()  # so that a chain depends on nothing before it

        def teardown(self) -> None:
            self.mark.__exit__(None, None, None)

        def before_call(self, case: Any) -> None:
            cast.follow(case, self.ids)
            if self.ids & set(map(str, (case.path_parameters or {}).values())):
                followed.add(case.operation.definition.raw["operationId"])

        def after_call(self, response: Any, case: Any) -> None:
            answered[case.operation.definition.raw["operationId"]][response.status_code] += 1
            self.ids |= set(_ids_in(response.json()))

    Chains.run(settings=settings(max_examples=40, stateful_step_count=8, **LIMITS))
    succeeded = {name: sum(codes[code] for code in codes if code < 300) for name, codes in answered.items()}
    reached = {name for name, times in succeeded.items() if times}
    assert sum(succeeded.values()) >= 60, answered
    assert len(reached) >= 20, answered
    assert len(reached & followed) >= 10, followed


def _ids_in(document: Any) -> Iterator[str]:
    if isinstance(document, dict | list):
        children = document.values() if isinstance(document, dict) else document
        yield from itertools.chain.from_iterable(map(_ids_in, children))
    elif isinstance(document, str) and _is_id(document):
        yield document


def test_what_was_created_is_where_the_answer_says(
    api: Api, session: Session, clinic: Clinic, cast: Cast, operations: dict[str, Operation]
) -> None:
    located = [each for each in operations.values() if "Location" in each.answers.get(201, {}).get("headers", {})]
    found = set()
    for each in located:
        for caller, how in ways(each, clinic, cast.callers, api):
            with undone(session):
                created = call(caller, clinic, each, **how)
                if created.status_code == 201:
                    read = caller.get(created.headers["Location"].removeprefix(PREFIX))
                    assert (read.status_code, read.get_json()["id"]) == (200, created.get_json()["id"]), each
                    found.add(each.id)
    assert len(found) >= len(located) / 2, found
