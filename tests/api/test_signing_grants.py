"""Access to signing over HTTP: a team with a single prescriber, and the registrant of another team who approves."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.core.actors import Role
from tests.api.conftest import Api
from tests.factories import PASSWORD, code_of, make_account, make_world


def test_a_team_of_one_is_given_access_by_the_registrant_who_was_named(session: Session, api: Api) -> None:
    world = make_world(session)
    nominee = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, grant=False)
    named, stranger = make_account(session, Role.PRESCRIBER), make_account(session, Role.PRESCRIBER)
    session.commit()
    path = f"/accounts/{nominee.id}/signing-grants"
    desk = api.as_account(world.operator)
    own = desk.post(path, {"approver_id": str(nominee.id)})
    assert (own.status_code, own.json["field"]) == (409, "approver_id")
    made = desk.post(path, {"approver_id": str(named.id)})
    assert (made.status_code, made.json["approver_id"]) == (201, str(named.id))
    approve = f"/signing-grants/{made.json['id']}/approve"
    factors = {"password": PASSWORD, "code": code_of(session, stranger)}
    assert api.as_account(stranger).post(approve, factors).status_code == 404
    colleague = api.as_account(world.prescriber).post(approve, {**factors, "code": code_of(session, world.prescriber)})
    assert colleague.json["findings"][0]["rule"] == "people.grant_by_unnamed_approver"
    given = api.as_account(named).post(approve, {**factors, "code": code_of(session, named)})
    assert (given.json["state"], given.json["approved_by"]) == ("granted", str(named.id))
