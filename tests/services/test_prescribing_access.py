"""Access to signing: given by two people, taken away the same day, and without it nobody signs (21 CFR 1311.125)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSignedIn,
    RuleRefused,
)
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import accounts, practitioners, signing_grants
from services.people.attempts import Refused
from services.people.grant_rules import Papers, approval_findings, nomination_findings
from services.people.models import Account, DeaRegistration, Licence, SigningGrant
from services.people.paper_rules import DeaFacts, LicenceFacts
from services.people.signing_grants import EndCode, may_sign
from services.prescribing import signing_access
from services.prescribing.signing import Signed
from tests.factories import PASSWORD, World, audit_detail, audited, code_of, make_account, make_actor, make_world
from tests.factories_messaging import emitted
from tests.factories_prescribing import make_case, make_ready, sign

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def nominee(session: Session, world: World) -> Account:
    return make_account(session, Role.PRESCRIBER, organisation=world.medical_team, grant=False)


def approve(
    session: Session, account: Account, row: SigningGrant, *, code: str | None = None, password: str = PASSWORD
) -> SigningGrant | Refused:
    given = Secret(code or code_of(session, account))
    return signing_access.approve(session, make_actor(account), row.id, given, password=Secret(password))


def nominate(session: Session, world: World, nominee: Account) -> SigningGrant:
    return signing_access.nominate(session, world.actor("operator"), nominee.id)


def test_one_nominates_and_a_dea_registrant_approves_with_two_factors(
    session: Session, world: World, nominee: Account
) -> None:
    row = nominate(session, world, nominee)
    (asked,) = emitted(session, EventKind.SIGNER_NOMINATED)
    assert (asked["party"], asked["data"]) == (Party.MEDICAL_TEAM, {"owner": str(world.medical_team.id)})
    task = open_task(
        session,
        TaskKind.APPROVE_SIGNER,
        party=Party.MEDICAL_TEAM,
        owner_id=world.medical_team.id,
        subject=Subject("signing_grant", row.id),
        due_at=clock.now(),
    )
    assert not may_sign(session, nominee.id)
    assert approve(session, world.prescriber, row) is row
    assert (row.state, row.approved_by, task.state) == ("granted", world.prescriber.id, "completed")
    assert may_sign(session, nominee.id)
    assert {"signing_grant.nominate", "signing_grant.approve", "account.prove"} <= set(audited(session))


def test_a_team_of_one_names_a_registrant_of_another_team_who_alone_approves(
    session: Session, world: World, nominee: Account
) -> None:
    desk, other = world.actor("operator"), make_account(session, Role.PRESCRIBER)
    row = signing_access.nominate(session, desk, nominee.id, other.id)
    assert emitted(session, EventKind.SIGNER_NOMINATED)[0]["data"] == {"owner": str(other.id)}
    assert audit_detail(session, "signing_grant.nominate")["approver"] == str(other.id)
    for account, rule in (
        (world.prescriber, "people.grant_by_unnamed_approver"),
        (nominee, "people.grant_by_nominee"),
    ):
        with pytest.raises(RuleRefused) as refusal:
            approve(session, account, row)
        assert refusal.value.findings[0].rule == rule
    with pytest.raises(NotFound):
        approve(session, make_account(session, Role.PRESCRIBER), row)
    assert isinstance(approve(session, other, row, code="000000"), Refused)
    assert approve(session, other, row) is row
    assert may_sign(session, nominee.id)


def test_whoever_is_named_sees_that_nomination_and_nothing_else_of_the_team(
    session: Session, world: World, nominee: Account
) -> None:
    other = make_account(session, Role.PRESCRIBER)
    (of_team,) = session.query(SigningGrant).filter_by(account_id=world.prescriber.id)
    row = signing_access.nominate(session, world.actor("operator"), nominee.id, other.id)
    seen = signing_grants.list_grants(session, make_actor(other))
    assert (row in seen, of_team in seen) == (True, False)
    assert signing_grants.read_grant(session, make_actor(other), row.id) is row
    with pytest.raises(NotFound):
        signing_grants.read_grant(session, make_actor(other), of_team.id)
    with pytest.raises(NotFound):
        signing_access.end(session, make_actor(other), row.id, EndCode.WITHDRAWN)


@pytest.mark.parametrize("who", ["prescriber", "nominee", "medical_staff", "nobody", "shut"])
def test_only_an_active_prescriber_of_another_team_is_named(
    session: Session, world: World, nominee: Account, who: str
) -> None:
    shut = make_account(session, Role.PRESCRIBER)
    shut.disabled_at = clock.now()
    ids = {"nominee": nominee.id, "nobody": new_id(), "shut": shut.id}
    named = ids.get(who) or world.actor(who).id
    with pytest.raises(InvalidInput) as refusal:
        signing_access.nominate(session, world.actor("operator"), nominee.id, named)
    assert refusal.value.field == "approver_id"


def test_whoever_is_named_needs_a_registration(session: Session, world: World, nominee: Account) -> None:
    unregistered = make_account(session, Role.PRESCRIBER, papers=False)
    with pytest.raises(RuleRefused) as refusal:
        signing_access.nominate(session, world.actor("operator"), nominee.id, unregistered.id)
    assert [finding.rule for finding in refusal.value.findings] == ["people.approver_without_dea"]


def test_without_access_nobody_signs(session: Session, world: World, nominee: Account) -> None:
    case = make_case(session, world=world)
    row = make_ready(session, case)
    (grant,) = session.query(SigningGrant).filter_by(account_id=world.prescriber.id)
    signing_access.end(session, world.actor("operator"), grant.id, EndCode.WITHDRAWN)
    with pytest.raises(RuleRefused) as refusal:
        sign(session, case, row)
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.no_signing_access"]
    assert approve(session, nominee, nominate(session, world, world.prescriber))
    assert isinstance(sign(session, case, row), Signed)


def test_one_factor_or_a_wrong_one_gives_no_access_and_is_counted(
    session: Session, world: World, nominee: Account
) -> None:
    row = nominate(session, world, nominee)
    for refused in (
        approve(session, world.prescriber, row, code="000000"),
        approve(session, world.prescriber, row, password="not the passphrase at all"),
    ):
        assert isinstance(refused, Refused)
        with pytest.raises(NotSignedIn):
            refused.require()
    assert (row.state, world.prescriber.failed_attempts) == ("nominated", 2)


@pytest.mark.parametrize("who", ["prescriber", "medical_staff", "therapist", "pharmacist"])
def test_only_operations_nominates(session: Session, world: World, nominee: Account, who: str) -> None:
    with pytest.raises(NotAllowed):
        signing_access.nominate(session, world.actor(who), nominee.id)


@pytest.mark.parametrize("who", ["operator", "medical_staff", "therapist", "pharmacist"])
def test_only_prescribers_approve(session: Session, world: World, nominee: Account, who: str) -> None:
    row = nominate(session, world, nominee)
    with pytest.raises(NotAllowed):
        signing_access.approve(session, world.actor(who), row.id, Secret("000000"), password=Secret(PASSWORD))


def test_only_an_active_prescriber_without_an_open_grant_is_nominated(
    session: Session, world: World, nominee: Account
) -> None:
    desk = world.actor("operator")
    with pytest.raises(InvalidInput):
        signing_access.nominate(session, desk, world.medical_staff.id)
    nominate(session, world, nominee)
    for account in (nominee, world.prescriber):
        with pytest.raises(Conflict) as refusal:
            nominate(session, world, account)
        assert refusal.value.rule == "people.grant_open"


def test_nobody_approves_themselves_or_without_a_registration(session: Session, world: World, nominee: Account) -> None:
    row = nominate(session, world, nominee)
    with pytest.raises(RuleRefused) as refusal:
        approve(session, nominee, row)
    assert [finding.rule for finding in refusal.value.findings] == ["people.grant_by_nominee"]
    unregistered = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, papers=False)
    with pytest.raises(RuleRefused) as refusal:
        approve(session, unregistered, row)
    assert [finding.rule for finding in refusal.value.findings] == ["people.approver_without_dea"]
    with pytest.raises(RuleRefused) as refusal:
        nominate(session, world, unregistered)
    assert [finding.rule for finding in refusal.value.findings] == ["people.nominee_without_papers"]


def test_another_teams_prescriber_sees_no_grant(session: Session, world: World, nominee: Account) -> None:
    row = nominate(session, world, nominee)
    stranger = make_account(session, Role.PRESCRIBER)
    with pytest.raises(NotFound):
        approve(session, stranger, row)
    with pytest.raises(NotFound):
        signing_access.end(session, make_actor(stranger), row.id, EndCode.WITHDRAWN)
    assert row not in signing_grants.list_grants(session, make_actor(stranger))
    assert row in signing_grants.list_grants(session, world.actor("prescriber"))
    assert row in signing_grants.list_grants(session, world.actor("operator"))


TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(("days", "counts"), [(0, True), (-1, False)])
def test_papers_count_to_their_last_day(days: int, counts: bool) -> None:
    last = TODAY + timedelta(days=days)
    good = Papers([LicenceFacts(state="CA", expires_on=TODAY)], [DeaFacts(state="CA", expires_on=TODAY)])
    licence = Papers([LicenceFacts(state="CA", expires_on=last)], good.registrations)
    registration = Papers(good.licences, [DeaFacts(state="NV", expires_on=last)])
    for papers in (licence, registration):
        rules = [finding.rule for finding in nomination_findings(papers, TODAY)]
        assert rules == ([] if counts else ["people.nominee_without_papers"])
    found = approval_findings(is_nominee=False, may_approve=True, nominee=good, approver=registration, on=TODAY)
    assert [finding.rule for finding in found] == ([] if counts else ["people.approver_without_dea"])
    (own,) = approval_findings(is_nominee=True, may_approve=True, nominee=good, approver=good, on=TODAY)
    assert own.rule == "people.grant_by_nominee"


def revoke_dea(session: Session, world: World) -> None:
    for paper in session.query(DeaRegistration).filter_by(account_id=world.prescriber.id):
        practitioners.revoke_dea_registration(session, world.actor("operator"), paper.id)


def revoke_licence(session: Session, world: World) -> None:
    for paper in session.query(Licence).filter_by(account_id=world.prescriber.id):
        practitioners.revoke_licence(session, world.actor("operator"), paper.id)


def lose_factor(session: Session, world: World) -> None:
    accounts.reset_account(session, world.actor("operator"), world.prescriber.id, Secret("another long passphrase"))


def shut(session: Session, world: World) -> None:
    accounts.disable_account(session, world.actor("operator"), world.prescriber.id)


def run_out(session: Session, world: World) -> None:
    for paper in session.query(Licence).filter_by(account_id=world.prescriber.id):
        paper.expires_on = TODAY - timedelta(days=1)
    session.flush()


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (revoke_dea, "papers_ended"),
        (revoke_licence, "papers_ended"),
        (lose_factor, "factor_lost"),
        (shut, "account_closed"),
        (run_out, "papers_ended"),
    ],
)
def test_access_ends_the_same_day_and_the_desk_is_told_once(
    session: Session, world: World, ends: Callable[[Session, World], None], code: str
) -> None:
    (grant,) = session.query(SigningGrant).filter_by(account_id=world.prescriber.id)
    ends(session, world)
    assert (signing_access.end_lapsed(session), signing_access.end_lapsed(session)) == (1, 0)
    assert (grant.state, grant.code, may_sign(session, world.prescriber.id)) == ("ended", code, False)
    told = {each["party"]: each["data"] for each in emitted(session, EventKind.SIGNING_ACCESS_ENDED)}
    assert set(told) == {Party.OPERATIONS, Party.MEDICAL_TEAM}
    assert told[Party.MEDICAL_TEAM] == {"owner": str(world.prescriber.id)}
    assert "signing_grant.end" in audited(session)


def test_one_paper_of_several_that_ends_leaves_the_access(session: Session, world: World) -> None:
    account = world.prescriber.id
    expires_on = TODAY + timedelta(days=100)
    practitioners.record_licence(session, SYSTEM, account, state="NV", number="NV-1", expires_on=expires_on)
    (paper,) = session.query(Licence).filter_by(account_id=account, state="CA")
    practitioners.revoke_licence(session, world.actor("operator"), paper.id)
    assert signing_access.end_lapsed(session) == 0
    assert may_sign(session, account)


def by_desk(world: World) -> Actor:
    return world.actor("operator")


def by_colleague(world: World) -> Actor:
    return world.actor("prescriber")


@pytest.mark.parametrize(
    ("who", "kind"), [(by_desk, EventKind.SIGNER_WITHDRAWN), (by_colleague, EventKind.SIGNING_ACCESS_ENDED)]
)
def test_either_takes_it_away_and_what_ended_stays_ended(
    session: Session, world: World, who: Callable[[World], Actor], kind: EventKind
) -> None:
    holder = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    (grant,) = session.query(SigningGrant).filter_by(account_id=holder.id)
    signing_access.end(session, who(world), grant.id, EndCode.WITHDRAWN)
    assert {str(holder.id)} == {each["data"]["owner"] for each in emitted(session, kind)}
    with pytest.raises(IllegalTransition):
        signing_access.end(session, who(world), grant.id, EndCode.WITHDRAWN)
    with pytest.raises(IllegalTransition):
        approve(session, world.prescriber, grant)


def test_a_mid_level_practitioner_signs_like_a_doctor(session: Session, world: World) -> None:
    account = world.prescriber.id
    revoked = session.query(DeaRegistration).filter_by(account_id=account).one()
    recorded = practitioners.record_dea_registration(
        session, SYSTEM, account, state="CA", number=Personal("MP1234563"), expires_on=TODAY + timedelta(days=99)
    )
    assert (recorded.findings, revoked.revoked_on is not None) == ([], True)
    case = make_case(session, world=world)
    assert isinstance(sign(session, case, make_ready(session, case)), Signed)
