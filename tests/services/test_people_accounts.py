"""Organisations and accounts: who may make them, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, NotSignedIn
from services.core.personal import Personal, Secret
from services.people import accounts, organisations, tokens
from services.people.models import Account, OrganisationKind
from services.people.passwords import password_fits
from services.people.sign_in import attempt_sign_in
from tests.factories import PASSWORD, audited, make_account, make_actor, make_organisation, make_practice, make_token


def details(session: Session, **given: Any) -> accounts.AccountDetails:
    plain: dict[str, Any] = {
        "role": Role.PHARMACIST,
        "organisation_id": None,
        "email": Personal("rosa@example.com"),
        "full_name": Personal("Rosa Quill"),
        **given,
    }
    plain["organisation_id"] = plain["organisation_id"] or make_organisation(session, OrganisationKind.PHARMACY).id
    return accounts.AccountDetails(**plain)


def create(session: Session, password: str = PASSWORD, **given: Any) -> accounts.CreatedAccount:
    return accounts.create_account(session, SYSTEM, details(session, **given), Secret(password))


def test_a_new_account_can_sign_in_with_what_it_was_given(session: Session) -> None:
    created = create(session)
    address = urlsplit(created.enrolment.reveal())
    secret = parse_qs(address.query)["secret"][0]
    code = pyotp.TOTP(secret).at(clock.now())
    attempt = attempt_sign_in(session, Personal(" Rosa@Example.com "), Secret(PASSWORD), Secret(code))
    assert attempt.require().actor == Actor(created.account.id, Role.PHARMACIST, created.account.organisation_id)


def test_what_identifies_a_person_is_not_stored_in_clear(session: Session) -> None:
    account = create(session, phone=Personal("(415) 555-0100")).account
    stored = b"".join(
        (account.email or b"", account.full_name or b"", account.phone or b"", account.totp_secret or b"")
    )
    assert not any(word in stored for word in (b"rosa", b"Rosa", b"4155550100"))
    person = accounts.person_of(session, account.id)
    assert (person.full_name.reveal(), person.phone.reveal()) == ("Rosa Quill", "+14155550100")
    assert PASSWORD not in account.password_hash
    assert account.password_hash.startswith("$argon2id$")


def test_one_address_has_one_account_whatever_its_case(session: Session) -> None:
    create(session)
    with pytest.raises(Conflict) as refusal:
        create(session, email=Personal("ROSA@example.com"))
    assert refusal.value.field == "email"


def test_an_address_taken_at_the_same_moment_is_a_conflict_too(session: Session) -> None:
    create(session)
    with pytest.raises(Conflict):
        accounts.add_account(session, details(session), "hash", Secret(pyotp.random_base32()))


@pytest.mark.parametrize(
    "password",
    ["short", "elevenchars", "PASSWORD1234", "aaaaaaaaaaaaaaa", "rosa@example.com", "Rosa@Example.COM", "x" * 257],
)
def test_a_weak_password_is_refused(session: Session, password: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        create(session, password)
    assert refusal.value.field == "password"
    assert password not in refusal.value.message


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"email": Personal("rosa")}, "email"),
        ({"email": Personal("a@b@c.com")}, "email"),
        ({"email": Personal("a b@c.com")}, "email"),
        ({"full_name": Personal("  ")}, "full_name"),
        ({"full_name": Personal("Rosa\x00")}, "full_name"),
        ({"phone": Personal("call me")}, "phone"),
        ({"role": Role.PATIENT}, "role"),
        ({"role": Role.SYSTEM}, "role"),
        ({"role": Role.PRESCRIBER}, "organisation_id"),
    ],
)
def test_wrong_details_are_refused_by_field(session: Session, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        create(session, **given)
    assert refusal.value.field == field


@pytest.mark.parametrize("role", [Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST])
def test_only_operations_manage_accounts(session: Session, role: Role) -> None:
    actor = make_actor(make_account(session, role))
    with pytest.raises(NotAllowed):
        accounts.create_account(session, actor, details(session), Secret(PASSWORD))
    with pytest.raises(NotAllowed):
        accounts.list_accounts(session, actor)
    with pytest.raises(NotAllowed):
        accounts.disable_account(session, actor, make_account(session).id)
    with pytest.raises(NotAllowed):
        organisations.list_organisations(session, actor)


def operator(session: Session) -> tuple[Account, Actor]:
    account = make_account(session, Role.OPERATIONS)
    return account, make_actor(account)


def test_a_disabled_account_loses_its_tokens_and_an_enabled_one_does_not_get_them_back(session: Session) -> None:
    _, desk = operator(session)
    account = make_account(session)
    token = make_token(session, account)
    accounts.disable_account(session, desk, account.id)
    assert account.disabled_at is not None
    accounts.enable_account(session, desk, account.id)
    assert account.disabled_at is None
    session.flush()
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, token)
    assert audited(session)[-2:] == ["account.disable", "account.enable"]


def test_nobody_disables_their_own_account(session: Session) -> None:
    account, desk = operator(session)
    with pytest.raises(Conflict):
        accounts.disable_account(session, desk, account.id)


def test_a_reset_gives_a_new_password_and_a_new_second_factor(session: Session) -> None:
    _, desk = operator(session)
    account = make_account(session)
    token, before = make_token(session, account), account.totp_secret
    accounts.reset_account(session, desk, account.id, Secret("quite another passphrase"))
    assert account.totp_secret != before
    assert password_fits(account.password_hash, "quite another passphrase")
    assert not password_fits(account.password_hash, PASSWORD)
    session.flush()
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, token)


def test_accounts_are_listed_page_by_page(session: Session) -> None:
    _, desk = operator(session)
    practice = make_practice(session)
    made = [make_account(session, organisation=practice).id for _ in range(3)]
    first = accounts.list_accounts(session, desk, organisation_id=practice.id, limit=2)
    rest = accounts.list_accounts(session, desk, organisation_id=practice.id, limit=2, after=first[-1].account_id)
    assert [person.account_id for person in (*first, *rest)] == sorted(made)
    assert len(first) == 2


def test_people_on_call_need_a_phone(session: Session) -> None:
    _, desk = operator(session)
    practice = make_practice(session)
    reachable = make_account(session, organisation=practice)
    unreachable = make_account(session, organisation=practice, phone=None)
    accounts.change_on_call(session, desk, reachable.id, True)
    with pytest.raises(InvalidInput):
        accounts.change_on_call(session, desk, unreachable.id, True)
    assert [person.account_id for person in accounts.on_call_people(session, practice.id)] == [reachable.id]
    accounts.disable_account(session, desk, reachable.id)
    session.flush()
    assert accounts.on_call_people(session, practice.id) == []


def test_a_person_reads_their_own_account(session: Session) -> None:
    account = make_account(session, full_name="Nora Own")
    assert accounts.read_own_account(session, make_actor(account)).full_name.reveal() == "Nora Own"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"state": "XX"}, "state"),
        ({"phone": "12"}, "phone"),
        ({"postal_code": "9410"}, "postal_code"),
        ({"name": ""}, "name"),
        ({"short_name": "x" * 25}, "short_name"),
        ({"zone": "America/Nowhere"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"states_of_operation": ["CA", "Q1"]}, "states_of_operation"),
    ],
)
def test_wrong_details_of_an_organisation_are_refused_by_field(
    session: Session, given: dict[str, Any], field: str
) -> None:
    plain = {
        "kind": OrganisationKind.MEDICAL_TEAM,
        "name": "Bay Team",
        "short_name": "Bay",
        "phone": "+14155550100",
        "street": "1 Pier",
        "city": "San Francisco",
        "state": "CA",
        "postal_code": "94103",
        **given,
    }
    with pytest.raises(InvalidInput) as refusal:
        organisations.create_organisation(session, SYSTEM, organisations.OrganisationDetails(**plain))
    assert refusal.value.field == field


def test_an_organisation_gets_the_zone_of_its_state(session: Session) -> None:
    assert make_organisation(session, OrganisationKind.PHARMACY, state="NY").zone == "America/New_York"


def test_the_partners_of_a_practice_must_be_a_medical_team_and_a_pharmacy(session: Session) -> None:
    pharmacy = make_organisation(session, OrganisationKind.PHARMACY)
    with pytest.raises(InvalidInput) as refusal:
        make_practice(session, partner_medical_team_id=pharmacy.id)
    assert refusal.value.field == "partner_medical_team_id"
    with pytest.raises(InvalidInput):
        make_organisation(session, OrganisationKind.PHARMACY, partner_pharmacy_id=pharmacy.id)


def test_partners_can_be_changed(session: Session) -> None:
    practice = make_practice(session)
    team = make_organisation(session, OrganisationKind.MEDICAL_TEAM)
    pharmacy = make_organisation(session, OrganisationKind.PHARMACY)
    _, desk = operator(session)
    organisations.change_partners(session, desk, practice.id, medical_team_id=team.id, pharmacy_id=pharmacy.id)
    assert (practice.partner_medical_team_id, practice.partner_pharmacy_id) == (team.id, pharmacy.id)


def test_the_operations_desk_is_found(session: Session) -> None:
    with pytest.raises(NotFound):
        organisations.operations_desk(session)
    desk = make_organisation(session, OrganisationKind.OPERATIONS)
    make_organisation(session, OrganisationKind.PHARMACY)
    assert organisations.operations_desk(session) == desk.id
