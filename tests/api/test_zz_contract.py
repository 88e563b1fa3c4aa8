import os, time, collections
from collections.abc import Iterator, Mapping
import pytest, schemathesis
from hypothesis import settings, Phase, HealthCheck
from flask import Flask
from sqlalchemy.orm import Session
from services.core.actors import Role
from services.core.database import Sessions, engine
from tests.api.clinics import Clinic, open_clinic
from tests.api.conftest import Api
from tests.servers import Servers
from tests.operations import operations_of, document_of
from services.people.access import POLICY, Action

@pytest.fixture(scope="module")
def clinic(servers, environment):
    with open_clinic(servers) as opened:
        yield opened

@pytest.fixture
def session(clinic):
    engine()
    before = dict(Sessions.kw)
    with clinic.engine.connect() as connection:
        outer = connection.begin()
        Sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        with Sessions() as opened:
            yield opened
        Sessions.kw.clear(); Sessions.kw.update(before)
        outer.rollback()

def test_contract(app, api, session, clinic):
    from schemathesis.config import SchemathesisConfig
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    schema.config.seed = 1
    schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "401", "403", "404", "409", "412", "429"]
    which = os.environ.get("WHICH", "coverage")
    schema.config.phases.coverage.enabled = which == "coverage"
    schema.config.phases.fuzzing.enabled = which == "fuzzing"
    schema.config.phases.examples.enabled = False
    callers = clinic.callers(api)
    tokens = {str(o.details["operationId"]): (callers[list(POLICY[Action(o.action)])[0]].token if o.action else None) for o in operations_of(document_of(app))}
    n = collections.Counter(); t0 = time.time(); times = {}; fails = collections.defaultdict(collections.Counter)
    from schemathesis.pytest.lazy import get_all_tests
    from schemathesis.checks import load_all_checks
    load_all_checks()
    def test(case):
        n[case.operation.label] += 1
        tok = tokens[case.operation.definition.raw["operationId"]]
        conn = session.connection(); mark = conn.begin_nested()
        try:
            case.call_and_validate(headers={"Authorization": f"Bearer {tok}"} if tok else None)
        except BaseException as e:
            for x in getattr(e, "exceptions", [e]):
                fails[case.operation.label][type(x).__name__ + ": " + str(x)[:int(os.environ.get("LEN","160"))].replace("\n"," ")] += 1
        finally:
            mark.rollback()
    s = settings(max_examples=int(os.environ.get("N", "10")), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
    only = os.environ.get("ONLY")
    for result in get_all_tests(schema=schema, test_func=test, settings=s, given_kwargs={}):
        op, fn = result.ok()
        if only and only not in op.label: continue
        t = time.time()
        fn()
        times[op.label] = time.time() - t
    print("TOTAL", sum(n.values()), time.time() - t0, "in calls", sum(times.values()))
    for k, v in sorted(times.items(), key=lambda kv: -kv[1])[:12]: print(f"{v:.2f} {n[k]} {k}")
    for k, v in fails.items():
        for m, c in v.most_common(6): print("FAIL", k, c, m)
