"""The professional side of accounts: KAP training, NPI, licences, DEA registrations.

The operations desk records papers after seeing them. Loss, expiry and suspension bite the same day (21 CFR 1311.125).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import InvalidInput, NotFound, RuleRefused
from services.core.findings import Finding, Severity, of_severity
from services.core.ids import new_id
from services.core.personal import Personal
from services.people.access import Action, authorize
from services.people.accounts import account_of, person_of
from services.people.identifiers import npi_is_valid, state_code
from services.people.models import Account, DeaRegistration, Licence, Practitioner
from services.people.paper_rules import DeaFacts, LicenceFacts, dea_number_check, valid_on
from services.people.signing_grants import end_without_papers, papers_of, today
from services.vault.boxes import box

LICENCE_NUMBER = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,39}")
LONGEST = timedelta(days=20 * 366)


@dataclass(frozen=True, slots=True)
class RecordedRegistration:
    """A stored DEA registration and what was odd, but not wrong, about its number."""

    registration: DeaRegistration
    findings: Sequence[Finding]


def record_kap_training(session: Session, actor: Actor, account_id: UUID, trained_on: date) -> Practitioner:
    """Put a therapist's KAP training on record (DOMAIN 1). Raises ``InvalidInput`` for a coming day."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    if trained_on > clock.now().date():
        raise InvalidInput("The training must have been completed.", field="trained_on")
    practitioner = _practitioner(session, account_id, Role.THERAPIST)
    practitioner.kap_trained_on = trained_on
    record(session, actor, "practitioner.record_kap_training", "account", account_id)
    return practitioner


def record_npi(session: Session, actor: Actor, account_id: UUID, npi: str) -> Practitioner:
    """Put a prescriber's National Provider Identifier on record. Raises ``InvalidInput`` on ``npi``."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    if not npi_is_valid(npi):
        raise InvalidInput("This is not an NPI: ten digits from 1 or 2 with a check digit.", field="npi")
    practitioner = _practitioner(session, account_id, Role.PRESCRIBER)
    practitioner.npi = npi
    record(session, actor, "practitioner.record_npi", "account", account_id)
    return practitioner


def _practitioner(session: Session, account_id: UUID, role: Role) -> Practitioner:
    _holder(session, account_id, role)
    practitioner = session.get(Practitioner, account_id)
    if practitioner is None:
        practitioner = Practitioner(account_id=account_id)
        session.add(practitioner)
    return practitioner


def _holder(session: Session, account_id: UUID, *roles: Role) -> Account:
    account = account_of(session, account_id)
    if account.role not in roles:
        wanted = " or ".join(role.value for role in roles)
        raise InvalidInput(f"This is recorded for a {wanted}.", field="account_id")
    return account


def record_licence(
    session: Session, actor: Actor, account_id: UUID, *, state: str, number: str, expires_on: date
) -> Licence:
    """Put a licence to practise in ``state`` on record, or renew it: the same number again moves its last day.

    Raises ``InvalidInput`` naming the field.
    """
    authorize(actor, Action.MANAGE_ACCOUNTS)
    _holder(session, account_id, Role.PRESCRIBER, Role.THERAPIST)
    state, number = state_code(state), number.strip().upper()
    if LICENCE_NUMBER.fullmatch(number) is None:
        raise InvalidInput("Give 1 to 40 letters, digits, blanks, dots, slashes or dashes.", field="number")
    _check_expiry(expires_on)
    query = select(Licence).where(Licence.account_id == account_id, Licence.state == state, Licence.number == number)
    licence = session.scalar(query.with_for_update())
    if licence is None:
        licence = Licence(id=new_id(), account_id=account_id, state=state, number=number)
        session.add(licence)
    licence.expires_on, licence.revoked_on = expires_on, None
    record(session, actor, "licence.record", "licence", licence.id, account=account_id, state=state)
    return licence


def record_dea_registration(
    session: Session, actor: Actor, account_id: UUID, *, state: str, number: Personal[str], expires_on: date
) -> RecordedRegistration:
    """Put a DEA registration in ``state`` on record, sealed. It takes the place of the one that state had.

    A number that cannot exist raises ``RuleRefused`` on ``number`` with the findings; one whose letters only surprise
    is stored, and the findings come back.
    """
    authorize(actor, Action.MANAGE_ACCOUNTS)
    _holder(session, account_id, Role.PRESCRIBER)
    state, text = state_code(state), number.reveal().strip().upper()
    _check_expiry(expires_on)
    surname = person_of(session, account_id).full_name.reveal().rpartition(" ")[2]
    findings = dea_number_check(text, surname)
    if of_severity(findings, Severity.STOP):
        raise RuleRefused("This DEA number cannot exist.", findings, field="number")
    day = today()
    for earlier in _registrations(session, account_id, state):
        if valid_on(DeaFacts(state=state, expires_on=earlier.expires_on, revoked_on=earlier.revoked_on), day):
            earlier.revoked_on = day
    registration = DeaRegistration(id=new_id(), account_id=account_id, state=state, expires_on=expires_on)
    box(session, account_id).seal(registration, "number", text)
    session.add(registration)
    record(
        session, actor, "dea_registration.record", "dea_registration", registration.id, account=account_id, state=state
    )
    return RecordedRegistration(registration, findings)


def _check_expiry(expires_on: date) -> None:
    if not today() <= expires_on <= today() + LONGEST:
        raise InvalidInput("The last valid day must not be past, nor more than 20 years away.", field="expires_on")


def revoke_licence(session: Session, actor: Actor, licence_id: UUID) -> Licence:
    """End a licence today: it was lost, suspended or withdrawn. Raises ``NotFound``."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    licence = session.get(Licence, licence_id, with_for_update=True)
    if licence is None:
        raise NotFound("There is no such licence.")
    if licence.revoked_on is None:
        licence.revoked_on = today()
        record(session, actor, "licence.revoke", "licence", licence.id, account=licence.account_id)
        end_without_papers(session, actor, licence.account_id)
    return licence


def revoke_dea_registration(session: Session, actor: Actor, registration_id: UUID) -> DeaRegistration:
    """End a DEA registration today (21 CFR 1311.125: the same day). Raises ``NotFound``."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    registration = session.get(DeaRegistration, registration_id, with_for_update=True)
    if registration is None:
        raise NotFound("There is no such DEA registration.")
    if registration.revoked_on is None:
        registration.revoked_on = today()
        record(
            session,
            actor,
            "dea_registration.revoke",
            "dea_registration",
            registration.id,
            account=registration.account_id,
        )
        end_without_papers(session, actor, registration.account_id)
    return registration


def licence_facts(session: Session, account_id: UUID) -> list[LicenceFacts]:
    """All licences of an account, as the rules read them."""
    return list(papers_of(session, account_id).licences)


def _registrations(session: Session, account_id: UUID, state: str) -> Sequence[DeaRegistration]:
    query = select(DeaRegistration).where(DeaRegistration.account_id == account_id, DeaRegistration.state == state)
    return session.scalars(query.order_by(DeaRegistration.expires_on.desc(), DeaRegistration.id)).all()


def dea_number_of(session: Session, account_id: UUID, state: str, on: date) -> Personal[str]:
    """The DEA number that is valid in ``state`` on a day, for what a prescription carries (21 CFR 1306.05).

    Raises ``NotFound`` when there is none.
    """
    for one in _registrations(session, account_id, state):
        if valid_on(DeaFacts(state=state, expires_on=one.expires_on, revoked_on=one.revoked_on), on):
            number: Personal[str] = box(session, account_id).open(one, "number")
            return number
    raise NotFound("There is no DEA registration that is valid in this state on that day.")


def npi_of(session: Session, account_id: UUID) -> str | None:
    """The National Provider Identifier of an account, if it is on record."""
    return session.scalar(select(Practitioner.npi).where(Practitioner.account_id == account_id))


def is_kap_trained(session: Session, account_id: UUID, on: date) -> bool:
    """Whether KAP training had been completed on a day."""
    trained_on = session.scalar(select(Practitioner.kap_trained_on).where(Practitioner.account_id == account_id))
    return trained_on is not None and trained_on <= on
