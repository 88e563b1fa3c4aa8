"""``python -m coordinator.local.story.founding``: what has to exist before anybody can sign in.

No API makes the first organisations and the first account of the operations desk; the command line does, with these
very use cases. Reads what to found as JSON from standard input and writes ids and authenticators' addresses to standard
output: neither stands in the arguments of a process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pyotp
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.database import transaction
from services.core.personal import Personal, Secret
from services.people import accounts, locations, organisations, practitioners
from services.people.attempts import Refused
from services.people.models import OrganisationKind
from services.people.tokens import actor_for
from services.prescribing import signing_access


def found(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Create ``plan["organisations"]`` (by kind; the practice works with the others) and ``plan["people"]``.

    Of ``plan["existing"]`` the ids by kind are used and nothing is created; ``plan["desk"]`` is whose account works
    at an existing operations desk.
    """
    with transaction() as session:
        ids = _create_organisations(session, plan["organisations"], plan["existing"])
        people = [_create_account(session, person, ids[person["workplace"]]) for person in plan["people"]]
        _give_signing_access(session, plan["people"], people, plan["desk"])
    return {"organisations": {kind: str(id_) for kind, id_ in ids.items()}, "people": people}


def _create_organisations(
    session: Session, given: Mapping[str, Mapping[str, Any]], existing: Mapping[str, str]
) -> dict[str, UUID]:
    def create(kind: OrganisationKind, **partners: Any) -> UUID:
        if kind.value in existing:
            return UUID(existing[kind.value])
        named = dict(given[kind.value])
        places = named.pop("locations", ())
        details = organisations.OrganisationDetails(kind=kind, **named, **partners)
        made = organisations.create_organisation(session, SYSTEM, details).id
        for place in places:
            locations.create_location(session, SYSTEM, locations.LocationDetails(practice_id=made, **place))
        return made

    desk, pharmacy = create(OrganisationKind.OPERATIONS), create(OrganisationKind.PHARMACY)
    team = create(OrganisationKind.MEDICAL_TEAM, partner_pharmacy_id=pharmacy)
    practice = create(OrganisationKind.PRACTICE, partner_medical_team_id=team, partner_pharmacy_id=pharmacy)
    return {"operations": desk, "medical_team": team, "pharmacy": pharmacy, "practice": practice}


def _create_account(session: Session, person: Mapping[str, Any], organisation_id: UUID) -> dict[str, str]:
    details = accounts.AccountDetails(
        role=Role(person["role"]),
        organisation_id=organisation_id,
        email=Personal(person["email"]),
        full_name=Personal(person["full_name"]),
        phone=Personal(person["phone"]),
        on_call=person["on_call"],
    )
    created = accounts.create_account(session, SYSTEM, details, Secret(person["password"]))
    _record_papers(session, created.account.id, person["papers"])
    return {"id": str(created.account.id), "enrolment": created.enrolment.reveal()}


def _give_signing_access(
    session: Session, plans: Sequence[Mapping[str, Any]], people: Sequence[Mapping[str, str]], known_desk: str
) -> None:
    """The desk nominates each prescriber, and another one, a DEA registrant, approves with two factors."""
    whole = [(plan, UUID(made["id"]), made["enrolment"]) for plan, made in zip(plans, people, strict=True)]
    registrants = [each for each in whole if "dea_number" in each[0]["papers"]]
    founded = next((id_ for plan, id_, _ in whole if plan["role"] == Role.OPERATIONS), None)
    desk = UUID(known_desk) if known_desk else founded
    for _, nominee, _ in registrants:
        approver = next((each for each in registrants if each[1] != nominee), None)
        if desk is None or approver is None:
            continue
        row = signing_access.nominate(session, actor_for(accounts.account_of(session, desk)), nominee)
        plan, id_, enrolment = approver
        actor = actor_for(accounts.account_of(session, id_))
        code, password = Secret(_code_of(enrolment)), Secret(plan["password"])
        approved = signing_access.approve(session, actor, row.id, code, password=password)
        if isinstance(approved, Refused):
            approved.require()
        # Founding is over in a moment and a code works once: what the authenticator shows is left for signing in.
        accounts.account_of(session, id_).totp_last_step = 0


def _code_of(enrolment: str) -> str:
    return pyotp.TOTP(pyotp.parse_uri(enrolment).secret).at(clock.now())


def _record_papers(session: Session, account_id: UUID, papers: Mapping[str, Any]) -> None:
    if "kap_trained_on" in papers:
        practitioners.record_kap_training(session, SYSTEM, account_id, date.fromisoformat(papers["kap_trained_on"]))
    if "npi" in papers:
        practitioners.record_npi(session, SYSTEM, account_id, papers["npi"])
        state, expires_on = papers["state"], date.fromisoformat(papers["expires_on"])
        practitioners.record_licence(
            session, SYSTEM, account_id, state=state, number=papers["licence"], expires_on=expires_on
        )
        practitioners.record_dea_registration(
            session, SYSTEM, account_id, state=state, number=Personal(papers["dea_number"]), expires_on=expires_on
        )


if __name__ == "__main__":
    json.dump(found(json.load(sys.stdin)), sys.stdout)
