"""Suicide-risk flags: raised at once by what somebody answered, cleared by a prescriber with a reason (DOMAIN 2.2).

While a flag stands, ``blocking`` tells prescribing, shipping, sessions and refills what must wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, SQLColumnExpression, bindparam, exists, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.screening.models import RiskFlag
from services.screening.rules import Triage
from services.screening.states import RISK_TRANSITIONS, RiskState, RiskStep
from services.vault.boxes import box


class RiskSource(StrEnum):
    """Which part of the work found the risk."""

    SCREENING = "screening"
    OUTCOME = "outcome"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class RiskBlock:
    """What the standing flags of an episode hold up.

    ``blocks_shipping``: nothing ships until a clinician signs off. ``blocks_treatment``: no dose, prescription or
    refill until a prescriber clears it. ``flags`` are the ids of all that stand, also of those that block nothing.
    """

    blocks_shipping: bool
    blocks_treatment: bool
    flags: tuple[UUID, ...]

    @property
    def is_open(self) -> bool:
        """Whether any flag stands: a refill request is not granted while one does (DOMAIN 4)."""
        return bool(self.flags)


@dataclass(frozen=True, slots=True, repr=False)
class ReadFlag:
    """A flag with its sealed content opened."""

    flag: RiskFlag
    triage: Personal[dict[str, Any]]
    reason: Personal[str | None]


def act_on(
    session: Session, actor: Actor, episode: Episode, triage: Triage, *, source: RiskSource, subject_id: UUID
) -> RiskFlag | None:
    """Raise a flag and alert the care team when ``triage`` demands it; None when it does not.

    The same answers saved again alert nobody twice: a flag of the same ``subject_id`` that stands and weighs as much is
    enough. Nothing here lifts an earlier flag. The caller has authorized the act that brought the answers.
    """
    found = triage.as_dict()
    if not _weight(found):
        return None
    for standing in _standing(session, episode.id):
        if standing.subject_id == subject_id and _weight(_triage(session, standing)) >= _weight(found):
            return standing
    flag = RiskFlag(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        source=source,
        subject_id=subject_id,
        state=RiskState.RAISED,
        raised_at=clock.now(),
    )
    box(session, episode.patient_id).seal(flag, "triage", found)
    session.add(flag)
    session.flush()
    record(session, actor, "risk.raise", "risk_flag", flag.id, episode_id=episode.id, source=source.value)
    kind = EventKind.RISK_PAGED if triage.page else EventKind.RISK_FLAGGED
    emit(session, kind, subject=Subject("risk_flag", flag.id), episode_id=episode.id)
    return flag


def _weight(triage: Mapping[str, Any]) -> int:
    """0 nothing, 1 alert, 2 urgent task and no shipping, 3 page and no treatment."""
    if triage["page"]:
        return 3
    return 2 if triage["urgent_task"] else int(bool(triage["alert_parties"]))


def _standing(session: Session, episode_id: UUID) -> Sequence[RiskFlag]:
    session.flush()
    return session.scalars(_STANDING, {"episode": episode_id}).all()


# Prepared once: prescribing, shipping, sessions and refills all ask.
_STANDING = (
    select(RiskFlag)
    .where(RiskFlag.episode_id == bindparam("episode"), RiskFlag.state == RiskState.RAISED.value)
    .order_by(RiskFlag.raised_at, RiskFlag.id)
)


def _triage(session: Session, flag: RiskFlag) -> dict[str, Any]:
    found: dict[str, Any] = box(session, flag.patient_id).open(flag, "triage").reveal()
    return found


def blocking(session: Session, episode_id: UUID) -> RiskBlock:
    """What the flags that stand hold up now. The caller has settled who may know."""
    standing = _standing(session, episode_id)
    found = [_triage(session, flag) for flag in standing]
    return RiskBlock(
        blocks_shipping=any(each["blocks_shipping"] for each in found),
        blocks_treatment=any(each["blocks_dosing_prescribing_refills"] for each in found),
        flags=tuple(flag.id for flag in standing),
    )


def has_flags(episode_id: SQLColumnExpression[UUID]) -> Exists:
    """Whether any flag stands, for a query that reads episodes anyway."""
    return exists().where(RiskFlag.episode_id == episode_id, RiskFlag.state == RiskState.RAISED.value)


def list_flags(session: Session, actor: Actor, episode_id: UUID) -> list[ReadFlag]:
    """All flags of an episode, newest first, opened for therapist and medical team; an audited read."""
    episode = visible_episode(session, actor, Action.READ_ELIGIBILITY, episode_id)
    record(session, actor, "risk.read", "episode", episode.id, episode_id=episode.id)
    query = select(RiskFlag).where(RiskFlag.episode_id == episode.id)
    flags = session.scalars(query.order_by(RiskFlag.raised_at.desc(), RiskFlag.id.desc())).all()
    return [_opened(session, flag) for flag in flags]


def _opened(session: Session, flag: RiskFlag) -> ReadFlag:
    own = box(session, flag.patient_id)
    return ReadFlag(flag, own.open(flag, "triage"), own.open(flag, "reason"))


def clear(
    session: Session, actor: Actor, flag_id: UUID, reason: Personal[str], *, version: int | None = None
) -> ReadFlag:
    """Put a flag down, under the name of the prescriber who does and with the reason.

    The reason is not read for words of suicide as other texts are (``written_texts``): it weighs the very risk that was
    found, and would ask at once for what it puts down. What the clinician finds anew is a new C-SSRS.
    Raises ``NotFound``, ``NotAllowed``, ``StaleVersion``, and ``IllegalTransition`` for one that is cleared already.
    """
    known = session.get(RiskFlag, flag_id)
    if known is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode = visible_episode(session, actor, Action.CLEAR_RISK, known.episode_id)
    flag = session.get_one(RiskFlag, flag_id, with_for_update=True, populate_existing=True)
    if version is not None and flag.version != version:
        raise StaleVersion("Somebody else changed this flag since you read it.", field="version")
    flag.state = RISK_TRANSITIONS.advance(RiskState(flag.state), RiskStep.CLEAR, actor.role)
    flag.cleared_at, flag.cleared_by = clock.now(), actor.id
    box(session, flag.patient_id).seal(flag, "reason", reason)
    session.flush()
    record(session, actor, "risk.clear", "risk_flag", flag.id, episode_id=episode.id)
    settle_tasks(session, actor, Subject("risk_flag", flag.id), {TaskKind.TRIAGE_RISK})
    return _opened(session, flag)
