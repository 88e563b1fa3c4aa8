"""Bad input, generated over everything that can be called: a clear 4xx problem, never a 500, nothing half-written."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.app import MAX_BODY_BYTES
from coordinator.problems import PROBLEM_TYPE
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.ids import new_id
from services.people import accounts, tokens
from services.people.access import Action, Relationship
from services.people.models import Token
from services.vault.blind_indexes import token_hash
from tests.api.clinics import AUDIT, Clinic, allowed, call, fingerprint, open_clinic, undone, ways, working_in
from tests.api.conftest import PREFIX, Api, Caller
from tests.operations import Operation, document_of, operations_of
from tests.samples import AN_ID, OTHER_SPELLINGS, kind_of, misfits
from tests.servers import Servers

Fault = TypeVar("Fault")


@pytest.fixture(scope="module")
def clinic(servers: Servers, environment: Mapping[str, str]) -> Iterator[Clinic]:
    with open_clinic(servers) as opened:
        yield opened


@pytest.fixture
def session(clinic: Clinic) -> Iterator[Session]:
    """The clinic's database; what a test does to it is undone afterwards, whatever commits."""
    with working_in(clinic.engine) as opened:
        yield opened


@pytest.fixture(scope="module")
def operations(app: Flask) -> list[Operation]:
    return operations_of(document_of(app))


@pytest.fixture
def callers(api: Api, clinic: Clinic) -> dict[Role, Caller]:
    return clinic.callers(api)


def permitted(operation: Operation, callers: Mapping[Role, Caller], api: Api) -> Caller:
    """Somebody who may call the operation, so that it is the input that is refused."""
    roles = allowed(operation)
    return callers[roles[0]] if roles else api.anonymous()


def is_problem(answer: TestResponse, status: int) -> bool:
    """Whether an answer is a problem document of that status, with everything that each has."""
    if (answer.status_code, answer.content_type) != (status, PROBLEM_TYPE):
        return False
    problem = answer.get_json()
    return bool(problem["status"] == status and problem["code"] and problem["detail"] and problem["request_id"])


def listed(wrong: list[str]) -> str:
    return f"{len(wrong)}:\n" + "\n".join(wrong[:60])


def names_field(answer: TestResponse, field: str) -> bool:
    return any(each["field"] == field and each["message"] for each in answer.get_json().get("errors", ()))


def spread(operations: list[Operation], faults: Sequence[Fault], each: int = 2) -> Iterator[tuple[Operation, Fault]]:
    """Every operation with ``each`` of the faults, and every fault with some operations; the first one with all.

    What is refused before the operation matters need not be tried with all of them.
    """
    turn = itertools.cycle(faults)
    for number, operation in enumerate(operations):
        for _ in range(each if number else len(faults)):
            yield operation, next(turn)


def with_body(operations: list[Operation]) -> list[Operation]:
    return [each for each in operations if each.body is not None]


def test_every_field_that_does_not_fit_is_422_and_named(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong, tried = fingerprint(session), [], 0
    for each in operations:
        caller = permitted(each, callers, api)
        for misfit in misfits(each.body) if each.body is not None else ():
            tried += 1
            answer = call(caller, clinic, each, json=misfit.body)
            if not (is_problem(answer, 422) and names_field(answer, misfit.field)):
                wrong.append(f"{each}: {misfit.field} {misfit.fault}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert tried > 2000
    assert fingerprint(session) == before


def test_what_fits_is_not_422(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    """So that the test above fails for the reason it names."""
    wrong = []
    for each in operations:
        for full in (True, False):
            if each.body is not None:
                answer = call(permitted(each, callers, api), clinic, each, json=clinic.body_for(each, full=full))
                if answer.status_code not in each.answers or answer.status_code in (400, 413, 415, 422):
                    wrong.append(f"{each} full={full}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)


def test_every_query_that_does_not_fit_is_422_and_named(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    tried: list[Any] = []
    for each in operations:
        for name, value in _bad_queries(each):
            same = (each.parameters("query").get(name, str(each)), value)
            if tried.count(same) > 2:
                continue  # the cursor of the fortieth list
            tried.append(same)
            answer = call(permitted(each, callers, api), clinic, each, query_string=[(name, value)])
            field = f"{name}.0" if _takes_many(each, name) and answer.text.find(f"{name}.0") > 0 else name
            if not (is_problem(answer, 422) and names_field(answer, field)):
                wrong.append(f"{each}?{name}={value!r}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def _takes_many(operation: Operation, name: str) -> bool:
    parameter = operation.parameters("query").get(name)
    return parameter is not None and kind_of(parameter["schema"]) == "array"


def _bad_queries(operation: Operation) -> Iterator[tuple[str, str]]:
    yield "surprise", "1"
    for name, parameter in operation.parameters("query").items():
        schema = parameter["schema"]
        kind = kind_of(schema)
        yield name, ""
        yield name, "\x00"
        yield name, "x" * 300
        if kind == "integer":
            yield from ((name, wrong) for wrong in ("0", "101", "1.5", "-1", "+1", "1_0", "١", "1e1", "9" * 5000))
        if "format" in schema:
            yield from ((name, wrong) for wrong in OTHER_SPELLINGS[schema["format"]])
        if name == "cursor":
            yield from ((name, wrong) for wrong in ("A" * 31, "A" * 33, "A" * 32 + "\n", "=" * 32))


BROKEN: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"{",
        b'{"a":1}}',
        b"{'a': 1}",
        b"nul",
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 01}',
    ),
    *(b'"\xed\xa0\x80"', b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    b'{"a": ' + b"9" * 5000 + b"}",
)


def test_broken_json_is_400(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    for each, data in spread(with_body(operations), BROKEN):
        caller = permitted(each, callers, api)
        answer = call(caller, clinic, each, data=data, content_type="application/json; charset=utf-8")
        if not is_problem(answer, 400):
            wrong.append(f"{each} {data[:20]!r}: {answer.status_code}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


OTHER_TYPES = (
    *(None, "", "json", "text/plain", "application/xml", "application/x-www-form-urlencoded"),
    *("multipart/form-data; boundary=x", "application/merge-patch+json", "application/jsonp"),
)


def test_another_content_type_is_415(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    for each, content_type in spread(with_body(operations), OTHER_TYPES):
        body = json.dumps(clinic.body_for(each)).encode()
        answer = call(permitted(each, callers, api), clinic, each, data=body, content_type=content_type)
        if not is_problem(answer, 415):
            wrong.append(f"{each} {content_type}: {answer.status_code}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def test_a_body_beyond_the_limit_is_413(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    data = b'{"reason": "' + b"a" * MAX_BODY_BYTES + b'"}'
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    for each, overrides in spread(with_body(operations), ({}, chunked)):
        answer = call(
            permitted(each, callers, api),
            clinic,
            each,
            data=data,
            content_type="application/json",
            environ_overrides=overrides,
        )
        if not is_problem(answer, 413):
            wrong.append(f"{each} {sorted(overrides)}: {answer.status_code}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def test_a_bad_token_is_401(api: Api, session: Session, clinic: Clinic, operations: list[Operation]) -> None:
    account = clinic.everything.world.therapist
    good, ended, expired = (tokens.issue_token(session, SYSTEM, account) for _ in range(3))
    tokens.revoke_token(session, tokens.actor_for(account), ended.id)
    session.get_one(Token, expired.id).expires_at = clock.now() - timedelta(seconds=1)
    assert session.query(Token).filter_by(hash=token_hash(good.token.reveal())).count() == 1
    shut = clinic.everything.world.pharmacist
    of_shut = tokens.issue_token(session, SYSTEM, shut)
    accounts.disable_account(session, clinic.everything.world.actor("operator"), shut.id)
    session.commit()
    plain = good.token.reveal()
    given = [
        *(
            "",
            "Bearer",
            "Bearer ",
            f"Basic {plain}",
            plain,
            f"Bearer {plain}x",
            f"Bearer {plain[:-1]}",
            f"Token {plain}",
        ),
        *("Bearer \x00", "Bearer ü", "Bearer " + "a" * 5000, f"Bearer {plain} {plain}"),
        *(f"Bearer {each.token.reveal()}" for each in (ended, expired, of_shut)),
    ]
    before, wrong = fingerprint(session), []
    for each, authorization in spread([each for each in operations if not each.is_public], given):
        answer = call(api.anonymous(), clinic, each, headers={"Authorization": authorization})
        if not is_problem(answer, 401) or answer.headers.get("WWW-Authenticate") != "Bearer":
            wrong.append(f"{each} {authorization[:20]!r}: {answer.status_code}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def test_a_token_that_may_only_read_changes_nothing(
    api: Api, session: Session, clinic: Clinic, operations: list[Operation]
) -> None:
    readers = {
        role: api.with_token(tokens.issue_token(session, SYSTEM, account, scopes=["read"]).token.reveal())
        for role, account in clinic.everything.role_accounts.items()
    }
    session.commit()
    before, wrong = fingerprint(session, ignoring=AUDIT), []
    for each in operations:
        for role in set(allowed(each)) & set(readers):
            answer = call(readers[role], clinic, each)
            refused = is_problem(answer, 403) and answer.get_json()["rule"] == "access.scope"
            if refused is (each.method == "GET"):
                wrong.append(f"{role} {each}: {answer.status_code}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session, ignoring=AUDIT) == before


KEYS = (None, "", "short", "a" * 101, "with space", "with/slash", "with\ttab", "übermäßig", "12345678\x00")


def test_a_post_without_a_usable_key_is_422(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    for each, key in spread([each for each in operations if each.method == "POST"], KEYS):
        token = permitted(each, callers, api).token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= {} if key is None else {"Idempotency-Key": key}
        path = f"{PREFIX}{each.at(**clinic.ids_for(each))}"
        answer = api.client.post(path, json=clinic.body_for(each), headers=headers)
        if not (is_problem(answer, 422) and names_field(answer, "Idempotency-Key")):
            wrong.append(f"{each} {key}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def test_repeating_a_post_gives_the_same_answer_and_has_no_second_effect(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    wrong, done = [], []
    for each in operations:
        key = {"Idempotency-Key": f"repeat-{each.id}"}
        for caller, how in ways(each, clinic, callers, api) if each.method == "POST" else ():
            with undone(session):
                how["headers"] = key
                first = call(caller, clinic, each, **how)
                if first.status_code >= 300 or each.action == Action.SIGN_OUT:  # which ends the token that asks
                    continue
                done.append(each.id)
                before = fingerprint(session)
                again = call(caller, clinic, each, **how)
                other = call(caller, clinic, each, headers=key, turn=how["turn"], json={"other": 1})
                if (again.status_code, again.data) != (first.status_code, first.data):
                    wrong.append(f"{each}: {first.status_code}, then {again.status_code}")
                if again.headers.get("Idempotent-Replayed") != "true" or fingerprint(session) != before:
                    wrong.append(f"{each}: done twice")
                if not is_problem(other, 422) or other.get_json()["code"] != "idempotency_key_reused":
                    wrong.append(f"{each}: another body {other.status_code} {other.text:.150}")
            break
    assert wrong == [], listed(wrong)
    assert len(done) > 15, done


VERSIONS = ("", "x", '"', '"x"', '"-1"', '"1.5"', 'W/"1"', "*", '"1", "2"', '"1234567890"', '"²"', '"1 "')


def test_a_malformed_if_match_is_422(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    for each, given in spread([each for each in operations if each.method != "GET"], VERSIONS):
        answer = call(permitted(each, callers, api), clinic, each, headers={"If-Match": given})
        if not (is_problem(answer, 422) and names_field(answer, "If-Match")):
            wrong.append(f"{each} {given}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


def test_nothing_of_another_clinic_is_there_whoever_asks(
    api: Api, session: Session, clinic: Clinic, operations: list[Operation]
) -> None:
    strangers = clinic.strangers(api)
    before, wrong, tried = fingerprint(session, ignoring=AUDIT), [], 0
    for each in operations:
        about = each.path_names or (isinstance(clinic.body_for(each), dict) and "episode_id" in clinic.body_for(each))
        for role, relationship in each.policy.items() if about else ():
            if role is Role.OPERATIONS and relationship is Relationship.ANY and each.action != Action.WORK_TASK:
                continue  # the one desk serves every clinic
            tried += 1
            answer = call(strangers[role], clinic, each, json=clinic.body_for(each, full=False))
            if not is_problem(answer, 404):
                wrong.append(f"{role} {each}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert tried > 100
    assert fingerprint(session, ignoring=AUDIT) == before


def test_what_is_not_there_looks_like_what_is_not_ones_own(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    strangers, wrong = clinic.strangers(api), []
    for each in operations:
        if not each.path_names:
            continue
        role = allowed(each)[0]
        nowhere = each.at(**{name: new_id() for name in each.path_names})
        body = {} if each.body is None else {"json": clinic.body_for(each, full=False)}
        if each.parameters("header").get("If-Match", {}).get("required"):
            body["headers"] = {"If-Match": '"1"'}
        absent = callers[role].request(each.method, nowhere, **body)
        hidden = call(strangers[role], clinic, each, json=clinic.body_for(each, full=False))
        if hidden.status_code == 404 and _without_request_id(absent) != _without_request_id(hidden):
            wrong.append(f"{each}: {absent.text:.150} | {hidden.text:.150}")
        if absent.status_code != 404:
            wrong.append(f"{each}: {absent.status_code} {absent.text:.150}")
    assert wrong == [], listed(wrong)


def _without_request_id(answer: TestResponse) -> dict[str, Any]:
    return {name: value for name, value in answer.get_json().items() if name != "request_id"}


def test_a_version_that_is_not_the_present_one_is_412(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    """Tried on whatever would succeed otherwise; a refusal for another reason would prove nothing."""
    wrong, done = [], []
    for each in operations:
        if "If-Match" not in each.parameters("header"):
            continue
        for caller, how in ways(each, clinic, callers, api):
            with undone(session):
                fits = call(caller, clinic, each, **how)
            if fits.status_code < 300:
                done.append(each.id)
                before = fingerprint(session, ignoring=AUDIT)
                stale = call(caller, clinic, each, **{**how, "headers": {"If-Match": '"999999999"'}})
                if not is_problem(stale, 412) or fingerprint(session, ignoring=AUDIT) != before:
                    wrong.append(f"{each}: {stale.status_code} {stale.text:.150}")
                break
    assert wrong == [], listed(wrong)
    assert len(done) > 15, done


def test_a_change_that_needs_a_version_is_refused_without_one(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    needing = [each for each in operations if each.parameters("header").get("If-Match", {}).get("required")]
    assert {each.id for each in needing} == {"patients_change_patient", "prescriptions_change"}
    for each in needing:
        path = each.at(**clinic.ids_for(each))
        answer = permitted(each, callers, api).request(each.method, path, json={})
        assert is_problem(answer, 422), each
        assert names_field(answer, "If-Match"), each


def test_a_version_is_refused_where_nothing_has_one(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    before, wrong = fingerprint(session), []
    for each in operations:
        if each.method != "GET" and "If-Match" not in each.parameters("header"):
            answer = call(permitted(each, callers, api), clinic, each, headers={"If-Match": '"1"'})
            if not (is_problem(answer, 422) and names_field(answer, "If-Match")):
                wrong.append(f"{each}: {answer.status_code} {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert fingerprint(session) == before


# Taking these again says the same once more, or something new; every other step leads to where it cannot be taken.
REPEATABLE = {
    *("dosing_record_check", "dosing_declare_emergency", "dosing_check_in", "fills_record_fill"),
    *("notices_read_notice", "prescriptions_mark_ready", "sessions_confirm_session", "sessions_ask_to_reschedule"),
    *("dosing_check_in_at_start", "questions_answer"),  # another look, a second thought
    *("session_checks_rate_session", "session_checks_record_transport", "session_checks_count_arrival"),
    "session_checks_reconcile_medicines",
}


def test_a_step_taken_twice_is_409_naming_the_rule(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    steps = [each for each in operations if each.method == "POST" and "If-Match" in each.parameters("header")]
    wrong, done = [], set()
    for each in steps:
        for caller, how in ways(each, clinic, callers, api):
            with undone(session):
                if each.id not in done and call(caller, clinic, each, **how).status_code < 300:
                    done.add(each.id)
                    again = call(caller, clinic, each, **how)
                    refused = is_problem(again, 409) and again.get_json().get("rule")
                    if bool(refused) is (each.id in REPEATABLE):
                        wrong.append(f"{each.id}: {again.status_code} {again.text:.150}")
    assert wrong == [], listed(wrong)
    assert len(done) > 15, done


def test_whatever_is_refused_is_refused_whole_and_says_why(
    api: Api, session: Session, clinic: Clinic, callers: dict[Role, Caller], operations: list[Operation]
) -> None:
    """Every operation by everybody who may, on everything there is, in whatever state it is."""
    before, wrong, answers = fingerprint(session, ignoring=AUDIT), [], Counter[int]()
    for each in operations:
        for caller, how in ways(each, clinic, callers, api):
            with undone(session):
                answer = call(caller, clinic, each, **how)
            answers[answer.status_code] += 1
            if answer.status_code not in each.answers:
                wrong.append(f"{each}: {answer.status_code} is not documented {answer.text:.150}")
            elif answer.status_code == 409 and not (is_problem(answer, 409) and answer.get_json().get("rule")):
                wrong.append(f"{each}: 409 without a rule {answer.text:.250}")
            elif answer.status_code >= 400 and not is_problem(answer, answer.status_code):
                wrong.append(f"{each}: {answer.text:.150}")
    assert wrong == [], listed(wrong)
    assert answers[409] > 100, answers
    assert fingerprint(session, ignoring=AUDIT) == before


BAD_IDS = ("1", "x" * 36, f"{AN_ID}0", AN_ID.hex, f"{{{AN_ID}}}", "%00", "%20", "null", "..%2f..", "\u0661", "A" * 2000)


def test_an_id_that_is_none_is_404(api: Api, operations: list[Operation]) -> None:
    wrong = []
    for each, bad in spread([each for each in operations if each.path_names], BAD_IDS):
        answer = api.anonymous().request(each.method, each.at(**dict.fromkeys(each.path_names, bad)))
        if not is_problem(answer, 404):
            wrong.append(f"{each} {bad:.40}: {answer.status_code}")
    assert wrong == [], listed(wrong)


def test_another_method_is_405_with_those_that_are_taken(api: Api, operations: list[Operation]) -> None:
    wrong, taken = [], defaultdict(set)
    for each in operations:
        taken[each.path].add(each.method)
        taken[each.path] |= {"OPTIONS", "HEAD"} if each.method == "GET" else {"OPTIONS"}
    every = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"}
    by_path = {each.path: each for each in operations}
    for path, methods in taken.items():
        for method in every - methods:
            # Two paths may meet: /prescriptions/sign is no id, and /accounts/me is one of neither.
            answer = api.anonymous().request(method, by_path[path].at(**dict.fromkeys(by_path[path].path_names, AN_ID)))
            allow = set(answer.headers.get("Allow", "").split(", "))
            if (answer.status_code, answer.content_type, allow) != (405, PROBLEM_TYPE, methods):
                wrong.append(f"{method} {path}: {answer.status_code} {allow}")
    assert wrong == [], listed(wrong)


def test_an_address_that_is_none_is_404(api: Api) -> None:
    for path in ("/nothing", "//tasks", "/tasks/", "/tasks//accept", "/TASKS", "/tasks;x=1", "/../metrics", "/%ff"):
        assert is_problem(api.anonymous().get(path), 404), path
