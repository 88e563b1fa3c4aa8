"""What a patient agrees to before and during care, in the words of today's texts, and how it is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.personal import Personal
from services.people.access import Action, visible_episode
from services.people.consents import ConsentKind, ConsentSource, give_consent, withdraw_consent
from services.people.models import Consent
from services.people.programmes import programme_of
from services.people.settings import settings
from services.screening.consent_texts import ConsentText, text_agreed_to, texts_of
from services.screening.sheet_rules import CONSENT_STANDS


def texts_for(session: Session, actor: Actor) -> Mapping[ConsentKind, ConsentText]:
    """The texts given today: those of the programme of the patient who asks, for anybody else those of the process."""
    if actor.role is Role.PATIENT and actor.episode_id is not None:
        episode = visible_episode(session, actor, Action.READ_CONSENT, actor.episode_id)
        return texts_of(programme_of(session, episode))
    return texts_of(settings())


def agree(session: Session, actor: Actor, episode_id: UUID, kind: ConsentKind, text_version: str) -> Consent:
    """The patient agrees to the current text of a kind; its wording is kept with the consent.

    Raises ``RuleRefused`` when ``text_version`` is not the current text, and as ``authorize`` does.
    """
    episode = visible_episode(session, actor, Action.GIVE_CONSENT, episode_id)
    text = text_agreed_to(programme_of(session, episode), kind, text_version)
    return give_consent(
        session,
        actor,
        episode,
        kind,
        text_version=text.version,
        wording=Personal(text.wording),
        source=ConsentSource.LINK,
    )


def take_back(session: Session, actor: Actor, episode_id: UUID, kind: ConsentKind) -> None:
    """Withdraw a consent: the patient does, or somebody of the care team takes down what the patient told them.

    Raises ``Conflict`` when there is none to withdraw, and as ``authorize`` does.
    """
    episode = visible_episode(session, actor, Action.READ_CONSENT, episode_id)
    source = ConsentSource.LINK if actor.role is Role.PATIENT else ConsentSource.STAFF
    if not withdraw_consent(session, actor, episode, kind, source=source):
        raise CONSENT_STANDS.conflict(kind=kind.value)
