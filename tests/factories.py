"""Made-up people, short to call. They go through the use cases, so that whatever is made could exist.

    world = make_world(session)                       a practice, its therapist, team, prescriber, pharmacy, desk
    episode = make_episode(session, state="CA")       a patient with an open episode and a complete care team
    account = make_account(session, Role.PRESCRIBER, organisation=team)
    actor = make_actor(account)

Passwords are real argon2id hashes, made once per process and quick to check, for a hash says itself how much effort
it takes: ``PASSWORD`` fits them all. Signing in replaces such a hash by one with the product's parameters.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import pyotp
from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.people import (
    accounts,
    consents,
    episodes,
    organisations,
    patients,
    practitioners,
    tokens,
)
from services.people.models import Account, Episode, Organisation, OrganisationKind, Patient, SigningGrant
from services.people.postal import Address
from services.people.states import EpisodeState, EpisodeStep, GrantState
from services.vault.boxes import box
from tests.snapshots import once

PASSWORD = "a long enough made-up passphrase"
NAMES = {
    Role.THERAPIST: "Thea Terrell",
    Role.PRESCRIBER: "Paula Prescott",
    Role.MEDICAL_STAFF: "Sam Staffer",
    Role.PHARMACIST: "Farah Marsh",
    Role.OPERATIONS: "Odell Overton",
}
ADDRESSES = {
    "CA": ("12 Home Lane", "Oakland", "94601"),
    "NY": ("34 Home Street", "Buffalo", "14201"),
    "TX": ("56 Home Road", "Austin", "78701"),
    "WA": ("78 Home Way", "Tacoma", "98402"),
}

_count = itertools.count(1)


@lru_cache(maxsize=4)
def _hashed(password: str) -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


def settle(session: Session) -> None:
    """What was made so far counts as long there: its data keys are remembered, as in every session but the first.

    Otherwise this session would read them anew for each value. The fixture ``session`` forgets them in the end.
    """
    session.flush()
    session.info.pop("fresh_data_keys", None)


def make_number(area: str = "415") -> str:
    """A fresh number in E.164, of the 555 exchange; 555-0xxx is left to the tests that need a number of their own."""
    return f"+1{area}{5_551_000 + next(_count) % 9_000:07d}"


def make_organisation(session: Session, kind: OrganisationKind, *, state: str = "CA", **details: Any) -> Organisation:
    """An organisation with an address in ``state``; a medical team operates in the states of ``ADDRESSES``."""
    number = next(_count)
    given = {
        "name": f"{kind.value.replace('_', ' ').title()} {number}",
        "short_name": f"{kind.value[:12].replace('_', ' ').title()} {number}",
        "phone": "+14155550100",
        "street": f"{number} Office Park",
        "city": ADDRESSES[state][1],
        "state": state,
        "postal_code": ADDRESSES[state][2],
        "states_of_operation": sorted(ADDRESSES) if kind is OrganisationKind.MEDICAL_TEAM else (),
    }
    return organisations.create_organisation(
        session, SYSTEM, organisations.OrganisationDetails(kind=kind, **{**given, **details})
    )


def make_practice(session: Session, *, state: str = "CA", **details: Any) -> Organisation:
    """A practice with a partner medical team and pharmacy of its own."""
    if "partner_medical_team_id" not in details:
        details["partner_medical_team_id"] = make_organisation(session, OrganisationKind.MEDICAL_TEAM, state=state).id
    if "partner_pharmacy_id" not in details:
        details["partner_pharmacy_id"] = make_organisation(session, OrganisationKind.PHARMACY, state=state).id
    return make_organisation(session, OrganisationKind.PRACTICE, state=state, **details)


def make_account(
    session: Session,
    role: Role = Role.THERAPIST,
    *,
    organisation: Organisation | UUID | None = None,
    state: str = "CA",
    papers: bool = True,
    grant: bool = True,
    password: str = PASSWORD,
    **details: Any,
) -> Account:
    """An account of ``role`` with a second factor; ``organisation`` defaults to a new one of the right kind.

    With ``papers`` a therapist has KAP training and a prescriber an NPI, a licence and a DEA registration in ``state``,
    and access to signing.
    """
    if organisation is None:
        organisation = _make_workplace(session, role, state)
    number = next(_count)
    given: dict[str, Any] = {
        "email": f"{role.value}{number}@example.com",
        "full_name": NAMES[role],
        "phone": make_number("628"),
        **details,
    }
    for name in ("email", "full_name", "phone"):
        given[name] = None if given[name] is None else Personal(given[name])
    account = accounts.add_account(
        session,
        accounts.AccountDetails(
            role=role,
            organisation_id=organisation if isinstance(organisation, UUID) else organisation.id,
            **given,
        ),
        _hashed(password),
        Secret(pyotp.random_base32()),
    )
    if papers and role is Role.THERAPIST:
        practitioners.record_kap_training(session, SYSTEM, account.id, date(2024, 5, 1))
    if papers and role is Role.PRESCRIBER:
        practitioners.record_npi(session, SYSTEM, account.id, "1234567893")
        make_papers(session, account, state)
        if grant:
            make_grant(session, account)
    settle(session)
    return account


def _make_workplace(session: Session, role: Role, state: str) -> Organisation:
    kind = accounts.WORKPLACES[role]
    if kind is OrganisationKind.PRACTICE:
        return make_practice(session, state=state)
    return make_organisation(session, kind, state=state)


def make_papers(session: Session, account: Account, state: str) -> None:
    """A licence and a DEA registration in ``state``, valid for years."""
    expires_on = clock.now().date() + timedelta(days=3 * 365)
    number = f"MD-{state}-{next(_count)}"
    practitioners.record_licence(session, SYSTEM, account.id, state=state, number=number, expires_on=expires_on)
    practitioners.record_dea_registration(
        session, SYSTEM, account.id, state=state, number=Personal(make_dea_number(account)), expires_on=expires_on
    )


def make_grant(session: Session, account: Account) -> SigningGrant:
    """Access to signing, as if a desk and a registrant long gone had given it."""
    now = clock.now()
    desk, registrant = new_id(), new_id()
    row = SigningGrant(
        id=new_id(),
        account_id=account.id,
        state=GrantState.GRANTED,
        nominated_by=desk,
        nominated_at=now,
        approved_by=registrant,
        approved_at=now,
    )
    session.add(row)
    session.flush()
    return row


def make_dea_number(account: Account, letters: str = "FP") -> str:
    """A DEA number with a right check digit (DOMAIN 5)."""
    digits = [int(digit) for digit in f"{account.id.int % 1_000_000:06d}"]
    check = (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10
    return letters + "".join(map(str, digits)) + str(check)


def make_actor(account: Account) -> Actor:
    """The actor that the holder of an account is."""
    return tokens.actor_for(account)


def totp_secret_of(session: Session, account: Account) -> str:
    """The shared secret of an account's authenticator."""
    return str(box(session, account.id).open(account, "totp_secret").reveal())


def code_of(session: Session, account: Account, steps: int = 0) -> str:
    """What the account's authenticator shows now, or that many 30-second steps away."""
    return pyotp.TOTP(totp_secret_of(session, account)).at(clock.now() + timedelta(seconds=30 * steps))


def make_token(session: Session, account: Account, **details: Any) -> str:
    """A bearer token of an account, in clear."""
    return tokens.issue_token(session, SYSTEM, account, **details).token.reveal()


def make_patient_details(*, state: str = "CA", **details: Any) -> patients.PatientDetails:
    """A patient who lives in ``state``; every value can be given, plain or redacted."""
    street, city, postal_code = ADDRESSES[state]
    number = next(_count)
    given = {
        "full_name": f"Pat Example {number}",
        "birth_date": date(1985, 6, 15),
        "address": Address(street=street, city=city, state=state, postal_code=postal_code, unit=str(number)),
        "mobile": make_number(),
        "email": f"pat{number}@example.net",
        "zone": None,
        **details,
    }
    redacted: dict[str, Any] = {
        name: value if value is None or isinstance(value, Personal) else Personal(value)
        for name, value in given.items()
    }
    return patients.PatientDetails(**redacted)


def make_patient(session: Session, *, state: str = "CA", **details: Any) -> Patient:
    """A patient without an episode."""
    return patients.register_patient(session, SYSTEM, make_patient_details(state=state, **details))


def make_patient_actor(episode: Episode) -> Actor:
    """The patient of an episode, come in through a link."""
    return Actor(episode.patient_id, Role.PATIENT, episode_id=episode.id)


@dataclass(frozen=True)
class World:
    """A practice with everybody it works with. ``actor("therapist")`` and so on act."""

    practice: Organisation
    medical_team: Organisation
    pharmacy: Organisation
    operations: Organisation
    therapist: Account
    prescriber: Account
    medical_staff: Account
    pharmacist: Account
    operator: Account

    def actor(self, who: str) -> Actor:
        """The actor of one of the accounts, by its name here."""
        return make_actor(getattr(self, who))


def make_world(session: Session, *, state: str = "CA", programme: str | None = None) -> World:
    """A practice, medical team, pharmacy and operations desk with one account of each role, papers in ``state``.

    ``programme`` is the one that the practice works by; None is the configured one.
    """
    name = f"world in {state} under {programme}"
    return World(**once(session, name, lambda: vars(_make_world(session, state, programme))))


def _make_world(session: Session, state: str, programme: str | None) -> World:
    practice = make_practice(session, state=state, programme=programme)
    team = session.get_one(Organisation, practice.partner_medical_team_id)
    pharmacy = session.get_one(Organisation, practice.partner_pharmacy_id)
    desk = make_organisation(session, OrganisationKind.OPERATIONS, state=state)
    return World(
        practice=practice,
        medical_team=team,
        pharmacy=pharmacy,
        operations=desk,
        therapist=make_account(session, Role.THERAPIST, organisation=practice, state=state),
        prescriber=make_account(session, Role.PRESCRIBER, organisation=team, state=state),
        medical_staff=make_account(session, Role.MEDICAL_STAFF, organisation=team, state=state),
        pharmacist=make_account(session, Role.PHARMACIST, organisation=pharmacy, state=state),
        operator=make_account(session, Role.OPERATIONS, organisation=desk, state=state),
    )


PATHS = {
    EpisodeState.REFERRED: (),
    EpisodeState.SCREENING: (EpisodeStep.BEGIN_SCREENING,),
    EpisodeState.IN_REVIEW: (EpisodeStep.BEGIN_SCREENING, EpisodeStep.COMPLETE_SCREENING),
}
PATHS[EpisodeState.ELIGIBLE] = (*PATHS[EpisodeState.IN_REVIEW], EpisodeStep.APPROVE)
PATHS[EpisodeState.DECLINED] = (*PATHS[EpisodeState.IN_REVIEW], EpisodeStep.DECLINE)
PATHS[EpisodeState.IN_TREATMENT] = (*PATHS[EpisodeState.ELIGIBLE], EpisodeStep.BEGIN_TREATMENT)
PATHS[EpisodeState.IN_MAINTENANCE] = (*PATHS[EpisodeState.IN_TREATMENT], EpisodeStep.BEGIN_MAINTENANCE)
PATHS[EpisodeState.DISCONTINUED] = (*PATHS[EpisodeState.IN_TREATMENT], EpisodeStep.DISCONTINUE)
PATHS[EpisodeState.CLOSED] = (*PATHS[EpisodeState.DECLINED], EpisodeStep.CLOSE)
BY_PATIENT = (EpisodeStep.BEGIN_SCREENING, EpisodeStep.COMPLETE_SCREENING)


def make_episode(
    session: Session,
    *,
    state: str = "CA",
    world: World | None = None,
    prescriber: bool = True,
    at: EpisodeState = EpisodeState.REFERRED,
    sms_consent: bool = True,
    programme: str | None = None,
    **details: Any,
) -> Episode:
    """A patient of ``world`` (default: a new one) living in ``state``, with an episode moved on to the state ``at``.

    ``prescriber`` puts the world's prescriber on the care team; ``sms_consent`` records the agreement to be texted;
    ``details`` are the patient's. ``therapist_of``, ``prescriber_of`` and ``colleague_of`` give the actors.
    """
    world = world or make_world(session, state=state, programme=programme)
    therapist = world.actor("therapist")
    patient = patients.register_patient(session, therapist, make_patient_details(state=state, **details))
    episode = episodes.open_episode(session, therapist, patient.id)
    if prescriber:
        episodes.assign_prescriber(session, world.actor("prescriber"), episode.id, world.prescriber.id)
    if sms_consent:
        give_sms_consent(session, therapist, episode)
    for step in PATHS[at]:
        if step in BY_PATIENT:
            episodes.advance_episode(session, make_patient_actor(episode), episode, step)
        else:
            episodes.advance_episode(session, world.actor("prescriber"), episode, step)
    settle(session)
    return episode


def give_sms_consent(session: Session, therapist: Actor, episode: Episode) -> None:
    """The agreement to be texted, as taken down at the referral."""
    consents.give_consent(
        session,
        therapist,
        episode,
        consents.ConsentKind.SMS,
        text_version="sms-1",
        wording=Personal("You may text me about my care."),
        source=consents.ConsentSource.REFERRAL,
    )


def therapist_of(session: Session, episode: Episode) -> Actor:
    """The therapist of record of an episode, as an actor."""
    return make_actor(session.get_one(Account, episode.therapist_id))


def prescriber_of(session: Session, episode: Episode) -> Actor:
    """The prescriber of an episode, as an actor."""
    return make_actor(session.get_one(Account, episode.prescriber_id))


def colleague_of(session: Session, organisation_id: UUID, role: Role) -> Actor:
    """Somebody of that role in an organisation; made when there is nobody yet."""
    query = select(Account).where(Account.organisation_id == organisation_id, Account.role == role)
    account = session.scalar(query.order_by(Account.id).limit(1))
    return make_actor(account or make_account(session, role, organisation=organisation_id))


def audited(session: Session) -> list[str]:
    """Commit, and give the actions on the audit trail, oldest first."""
    session.commit()
    return list(session.scalars(select(AuditRecord.action).order_by(AuditRecord.chain, AuditRecord.sequence)))


def audit_detail(session: Session, action: str) -> dict[str, Any]:
    """Commit, and give what the trail says in clear of the newest act of a kind."""
    session.commit()
    query = select(AuditRecord.detail).where(AuditRecord.action == action)
    detail = session.scalar(query.order_by(AuditRecord.chain.desc(), AuditRecord.sequence.desc()).limit(1))
    assert detail is not None, action
    return dict(detail)
