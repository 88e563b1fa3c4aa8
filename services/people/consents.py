"""Consents: to be texted and to be treated. Text version, wording, time, source and who took it stay on record.

A withdrawal is a date, never a deletion (DOMAIN 7: documented prior consent). Consent to be texted is for one number: a
new number needs a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import InvalidInput
from services.core.ids import new_id
from services.core.personal import Personal
from services.people.access import Action, authorize
from services.people.episode_rules import CONSENT_BY_PATIENT
from services.people.models import Consent, Episode
from services.people.patients import mobile_index, patient_of, patients_with_mobile
from services.people.phones import e164
from services.vault.boxes import box

WORDING_LIMIT = 20_000


class ConsentKind(StrEnum):
    """What is consented to."""

    SMS = "sms"
    TREATMENT = "treatment"


class ConsentSource(StrEnum):
    """Where a consent or its withdrawal came from."""

    REFERRAL = "referral"  # the patient agreed before the therapist, who took it down
    LINK = "link"  # the patient, on the page behind a personal link or by API
    SMS = "sms"  # a text message: START, STOP
    STAFF = "staff"  # the patient told somebody of the care team, who took it down
    PROVIDER = "provider"  # the carrier or Twilio says that the number opted out


def give_consent(
    session: Session,
    actor: Actor,
    episode: Episode,
    kind: ConsentKind,
    *,
    text_version: str,
    wording: Personal[str],
    source: ConsentSource,
    number: Personal[str] | None = None,
) -> Consent:
    """Put a consent on record; an earlier one of the same kind ends with it.

    The patient gives it. Only the agreement to be texted may be taken down by the therapist, at the referral
    (``source`` referral). ``number`` (for SMS; default: the patient's mobile) is what may be texted. Raises as
    ``authorize`` does, and ``InvalidInput`` naming the field.
    """
    if source is ConsentSource.REFERRAL:
        _check_referral(actor, episode, kind)
    else:
        authorize(actor, Action.GIVE_CONSENT, episode)
    index = _number_index(session, episode.patient_id, number) if kind is ConsentKind.SMS else None
    _end(_active(session, [episode.patient_id], kind), source)
    consent = _add(session, actor, episode.patient_id, kind, text_version, wording, source, index)
    record(
        session,
        actor,
        "consent.give",
        "consent",
        consent.id,
        episode_id=episode.id,
        kind=kind.value,
        source=source.value,
        text_version=text_version,
    )
    return consent


def _check_referral(actor: Actor, episode: Episode, kind: ConsentKind) -> None:
    authorize(actor, Action.REFER_CLIENT)
    authorize(actor, Action.READ_CONSENT, episode)
    if kind is not ConsentKind.SMS:
        raise CONSENT_BY_PATIENT.forbidden(kind=kind.value)


def _number_index(session: Session, patient_id: UUID, number: Personal[str] | None) -> bytes:
    own = patient_of(session, patient_id).mobile_index
    if number is not None and mobile_index(e164(number, field="number")) != own:
        raise InvalidInput("This is not the patient's mobile number.", field="number")
    return own


def _add(
    session: Session,
    actor: Actor,
    patient_id: UUID,
    kind: ConsentKind,
    text_version: str,
    wording: Personal[str],
    source: ConsentSource,
    index: bytes | None,
) -> Consent:
    if not 1 <= len(text_version) <= 40 or not text_version.isprintable():
        raise InvalidInput("Give the version of the text, 1 to 40 characters.", field="text_version")
    if not wording.reveal().strip() or len(wording.reveal()) > WORDING_LIMIT:
        raise InvalidInput(f"Give the wording agreed to, 1 to {WORDING_LIMIT} characters.", field="wording")
    consent = Consent(
        id=new_id(),
        patient_id=patient_id,
        kind=kind,
        text_version=text_version,
        source=source,
        taken_by=actor.id,
        number_index=index,
        given_at=clock.now(),
    )
    box(session, patient_id).seal(consent, "wording", wording)
    session.add(consent)
    return consent


def _active(session: Session, patient_ids: Sequence[UUID], kind: ConsentKind) -> Sequence[Consent]:
    conditions = (Consent.patient_id.in_(patient_ids), Consent.kind == kind, Consent.withdrawn_at.is_(None))
    return session.scalars(select(Consent).where(*conditions).with_for_update()).all()


def _end(consents: Sequence[Consent], source: ConsentSource) -> None:
    for consent in consents:
        consent.withdrawn_at, consent.withdrawal_source = clock.now(), source


def withdraw_consent(
    session: Session, actor: Actor, episode: Episode, kind: ConsentKind, *, source: ConsentSource
) -> int:
    """Withdraw the patient's consent of a kind, at once; gives how many records that ended (0: there was none).

    The patient withdraws; whoever of the care team may read consents takes down what the patient told them.
    """
    authorize(actor, Action.GIVE_CONSENT if actor.role is Role.PATIENT else Action.READ_CONSENT, episode)
    ended = _active(session, [episode.patient_id], kind)
    _end(ended, source)
    for consent in ended:
        _record_withdrawal(session, actor, consent, source, episode.id)
    return len(ended)


def withdraw_sms_consent(
    session: Session, actor: Actor, number: Personal[str], *, source: ConsentSource = ConsentSource.SMS
) -> int:
    """Stop all texts to a number (STOP), for every patient who has it; gives how many consents that ended.

    A consent for that number ends even when its patient has another number by now.
    """
    conditions = (
        Consent.kind == ConsentKind.SMS,
        Consent.number_index == mobile_index(number),
        Consent.withdrawn_at.is_(None),
    )
    ended = session.scalars(select(Consent).where(*conditions).with_for_update()).all()
    _end(ended, source)
    for consent in ended:
        _record_withdrawal(session, actor, consent, source, None)
    return len(ended)


def _record_withdrawal(
    session: Session, actor: Actor, consent: Consent, source: ConsentSource, episode_id: UUID | None
) -> None:
    detail = {"kind": consent.kind, "source": source.value}
    record(session, actor, "consent.withdraw", "consent", consent.id, episode_id=episode_id, **detail)


def renew_sms_consent(
    session: Session, actor: Actor, number: Personal[str], *, text_version: str, wording: Personal[str]
) -> int:
    """Allow texts to a number again (START), for every patient who has it; gives how many did not have it before.

    ``wording`` is the text they sent, ``text_version`` what it answers.
    """
    index, renewed = mobile_index(number), 0
    for patient in patients_with_mobile(session, number):
        if has_consent(session, patient.id, ConsentKind.SMS, index):
            continue
        consent = _add(session, actor, patient.id, ConsentKind.SMS, text_version, wording, ConsentSource.SMS, index)
        record(
            session, actor, "consent.give", "consent", consent.id, kind="sms", source="sms", text_version=text_version
        )
        renewed += 1
    return renewed


def has_consent(session: Session, patient_id: UUID, kind: ConsentKind, number_index: bytes | None = None) -> bool:
    """Whether a patient's consent stands; with ``number_index``, for texting that very number."""
    query = select(Consent.id).where(
        Consent.patient_id == patient_id, Consent.kind == kind, Consent.withdrawn_at.is_(None)
    )
    if number_index is not None:
        query = query.where(Consent.number_index == number_index)
    return session.scalar(query.limit(1)) is not None


def may_be_texted(session: Session, patient_id: UUID) -> bool:
    """Whether the patient agreed to be texted on the mobile number they have now."""
    return has_consent(session, patient_id, ConsentKind.SMS, patient_of(session, patient_id).mobile_index)


def list_consents(session: Session, actor: Actor, episode: Episode) -> Sequence[Consent]:
    """The patient's consents, newest first; wordings stay sealed. Raises as ``authorize`` does."""
    authorize(actor, Action.READ_CONSENT, episode)
    record(session, actor, "consent.read", "episode", episode.id, episode_id=episode.id)
    query = select(Consent).where(Consent.patient_id == episode.patient_id)
    return session.scalars(query.order_by(Consent.id.desc())).all()
