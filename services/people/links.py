"""Personal links and one-time codes: how a patient acts without an account. Single use, expiring, stored hashed.

Whatever is wrong with a link or a code, the answer is the same sentence.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import InvalidInput, NotSignedIn
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.people.access import Action, authorize
from services.people.attempts import Refused, SignedIn
from services.people.models import Episode, Patient, PersonalLink
from services.people.patients import birth_date_of, patient_of, patients_with_mobile
from services.people.phones import e164
from services.people.settings import settings
from services.people.states import EpisodeState
from services.people.tokens import IssuedToken, issue_patient_token
from services.vault.blind_indexes import blind_index, token_hash

# 128 random bits in 22 characters: beyond guessing within three days, and short enough for one text message.
LINK_BYTES = 16
CODE_DIGITS = 6
NOT_VALID = "This link or code is not valid any more. Ask for a new one."


class LinkKind(StrEnum):
    """What a link is for. A newer one of ``REPLACED`` ends the older ones; the others live until used or expired."""

    FORMS = "forms"
    ASSESSMENT = "assessment"
    RECEIPT = "receipt"
    SIGN_IN = "sign_in"
    SIGN_IN_CODE = "sign_in_code"


# Staff replace a link to the forms by hand, such as one that went astray. The others go by texts of their own, each of
# which may be held: the link that the patient has already must work until the next one comes, and beyond.
REPLACED: Final = frozenset({LinkKind.FORMS, LinkKind.SIGN_IN_CODE})


@dataclass(frozen=True, slots=True)
class SignInCode:
    """A fresh one-time code and the episode it opens. The code exists here and in the text to the patient only."""

    code: Secret[str]
    link_id: UUID
    patient_id: UUID
    episode_id: UUID


def issue_link(session: Session, actor: Actor, episode: Episode, kind: LinkKind) -> Secret[str]:
    """The plain token of a new personal link, for ``links.lifetime_hours``; see ``REPLACED`` for older ones.

    Raises as ``authorize`` does.
    """
    authorize(actor, Action.ISSUE_LINK, episode)
    plain = secrets.token_urlsafe(LINK_BYTES)
    if kind in REPLACED:
        _cancel(session, episode.id, kind)
    lifetime = timedelta(hours=settings().number("links.lifetime_hours"))
    link = _link(kind, episode.patient_id, episode.id, lifetime)
    link.hash = token_hash(plain)
    session.add(link)
    session.flush()
    record(session, actor, "link.issue", "link", link.id, episode_id=episode.id, kind=kind.value)
    return Secret(plain)


def path_of(token: Secret[str]) -> str:
    """The path of this service that a personal link leads to; what follows ``/l/`` is what is exchanged."""
    return f"/l/{token.reveal()}"


def _link(kind: LinkKind, patient_id: UUID, episode_id: UUID, lifetime: timedelta) -> PersonalLink:
    return PersonalLink(
        id=new_id(),
        kind=kind,
        patient_id=patient_id,
        episode_id=episode_id,
        created_at=clock.now(),
        expires_at=clock.now() + lifetime,
        failed_attempts=0,
    )


def _cancel(session: Session, episode_id: UUID, kind: LinkKind) -> None:
    unused = (PersonalLink.episode_id == episode_id, PersonalLink.kind == kind, PersonalLink.used_at.is_(None))
    spend = update(PersonalLink).where(*unused).values(used_at=clock.now())
    session.execute(spend, execution_options={"synchronize_session": False})


def exchange_link(session: Session, token: Secret[str]) -> IssuedToken:
    """Give the bearer token that a link stands for: the patient's, limited to its episode; the link is spent.

    One statement finds and spends it, so that of two exchanges at once one fails. Raises ``NotSignedIn``.
    """
    now = clock.now()
    usable = (
        PersonalLink.hash == token_hash(token.reveal()),
        PersonalLink.kind != LinkKind.SIGN_IN_CODE,
        PersonalLink.used_at.is_(None),
        PersonalLink.expires_at > now,
    )
    columns = (PersonalLink.id, PersonalLink.patient_id, PersonalLink.episode_id)
    spent = session.execute(
        update(PersonalLink).where(*usable).values(used_at=now).returning(*columns),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if spent is None:
        raise NotSignedIn(NOT_VALID)
    return _signed_in(session, spent.id, spent.patient_id, spent.episode_id)


def _signed_in(session: Session, link_id: UUID, patient_id: UUID, episode_id: UUID) -> IssuedToken:
    patient = Actor(patient_id, Role.PATIENT, episode_id=episode_id)
    record(session, patient, "link.exchange", "link", link_id)
    return issue_patient_token(session, patient_id, episode_id)


def create_sign_in_codes(session: Session, mobile: Personal[str]) -> Sequence[SignInCode]:
    """One code for each patient who has the number and an open episode: the same digits, so that one text will do.

    Empty when nobody has the number or ``sign_in_codes.asks_per_hour`` is used up; whoever asked must not be told. An
    older code ends. The caller texts it, see ``messaging/sign_in_codes.py``.
    """
    try:
        number = e164(mobile, field="mobile")
    except InvalidInput:
        return []
    digits = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
    codes = []
    for patient in patients_with_mobile(session, number):
        episode_id = _open_episode(session, patient.id)
        if episode_id is not None and not _asked_too_often(session, patient.id):
            codes.append(_create_code(session, patient, episode_id, digits))
    return codes


def _open_episode(session: Session, patient_id: UUID) -> UUID | None:
    """The newest episode that is not closed."""
    query = select(Episode.id).where(Episode.patient_id == patient_id, Episode.state != EpisodeState.CLOSED)
    return session.scalar(query.order_by(Episode.id.desc()).limit(1))


def _asked_too_often(session: Session, patient_id: UUID) -> bool:
    query = select(func.count()).where(
        PersonalLink.patient_id == patient_id,
        PersonalLink.kind == LinkKind.SIGN_IN_CODE,
        PersonalLink.created_at > clock.now() - timedelta(hours=1),
    )
    return (session.scalar(query) or 0) >= settings().whole("sign_in_codes.asks_per_hour")


def _create_code(session: Session, patient: Patient, episode_id: UUID, digits: str) -> SignInCode:
    _cancel(session, episode_id, LinkKind.SIGN_IN_CODE)
    lifetime = timedelta(minutes=settings().number("sign_in_codes.lifetime_minutes"))
    link = _link(LinkKind.SIGN_IN_CODE, patient.id, episode_id, lifetime)
    link.hash = _code_hash(link.id, digits)
    session.add(link)
    session.flush()
    holder = Actor(patient.id, Role.PATIENT, episode_id=episode_id)
    record(session, holder, "link.issue", "link", link.id, kind=link.kind)
    return SignInCode(Secret(digits), link.id, patient.id, episode_id)


def _code_hash(link_id: UUID, digits: str) -> bytes:
    """Six digits are quickly tried against a plain hash, so codes are stored under the key of the blind indexes."""
    return blind_index("sign_in_code", f"{link_id}:{digits}")


def exchange_code(
    session: Session, mobile: Personal[str], code: Secret[str], *, birth_date: Personal[date] | None = None
) -> SignedIn | Refused:
    """Sign in with a mobile number and the code that was texted to it; the code is spent.

    Failures are counted (``sign_in_codes.attempts``), so this returns what came of it: let the transaction commit
    either way, then call ``require()`` (see ``attempts.py``). Where several patients share the number the right code
    alone does not tell who asks; the refusal is then ``InvalidInput`` on ``birth_date``, and the same code works again
    together with it.
    """
    now = clock.now()
    try:
        number = e164(mobile, field="mobile")
    except InvalidInput:
        return Refused(NotSignedIn(NOT_VALID))
    live = _live_codes(session, number, now)
    matching = [link for link in live if hmac.compare_digest(link.hash, _code_hash(link.id, code.reveal().strip()))]
    if len(matching) > 1 and birth_date is None:
        return Refused(InvalidInput("Several people have this number: give your birth date too.", field="birth_date"))
    if birth_date is not None:
        matching = [link for link in matching if _born_on(session, link.patient_id, birth_date)]
    if len(matching) != 1:
        for link in live:
            link.failed_attempts += 1
        return Refused(NotSignedIn(NOT_VALID))
    for link in live:
        link.used_at = now
    chosen = matching[0]
    return SignedIn(_signed_in(session, chosen.id, chosen.patient_id, chosen.episode_id))


def _live_codes(session: Session, number: Personal[str], now: datetime) -> Sequence[PersonalLink]:
    """The codes of everybody with the number that can still be used, held against other guesses until the commit."""
    patients = [patient.id for patient in patients_with_mobile(session, number)]
    query = select(PersonalLink).where(
        PersonalLink.patient_id.in_(patients),
        PersonalLink.kind == LinkKind.SIGN_IN_CODE,
        PersonalLink.used_at.is_(None),
        PersonalLink.expires_at > now,
        PersonalLink.failed_attempts < settings().whole("sign_in_codes.attempts"),
    )
    query = query.order_by(PersonalLink.id).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).all()


def _born_on(session: Session, patient_id: UUID, birth_date: Personal[date]) -> bool:
    return birth_date_of(session, patient_of(session, patient_id)) == birth_date
