"""Losses and thefts: what was lost where, and what the pharmacy told DEA about it (21 CFR 1301.76(b), DOMAIN 5 and 8).

Both timers run from the discovery. What was done is put on record and stops them. Nothing is resent by itself: a
replacement takes a prescriber's decision, a new prescription and a PDMP check made after the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.business_days import known_state
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.organisations import organisation_of
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.prescribing.fills import mark_undelivered, opened_fill
from services.prescribing.models import Fill
from services.shipping.diversions import Cause, raise_review
from services.shipping.loss_rules import (
    DUTY_DONE,
    DUTY_OUT_OF_TIME,
    FILL_HAS_LEFT,
    LOSS_OUT_OF_TIME,
    DutyFacts,
    diversion_findings,
    duty_findings,
    loss_timers,
)
from services.shipping.models import STANDING_LOSS, Loss, Shipment
from services.shipping.statuses import Stage
from services.vault.boxes import box

NOT_VISIBLE: Final = "There is no such record, or it is not yours to see."


class Whereabouts(StrEnum):
    """Where units were lost."""

    ON_THE_WAY = "on_the_way"
    AT_HOME = "at_home"
    IN_PHARMACY = "in_pharmacy"


class Duty(StrEnum):
    """What the pharmacy owes DEA after a loss."""

    NOTIFY_DEA = "notify_dea"
    FILE_FORM_106 = "file_form_106"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found missing: ``units`` (parts of one included), what happened, and when it was discovered."""

    units: float
    what_happened: Personal[str]
    discovered_at: datetime
    is_theft: bool = False

    def __repr__(self) -> str:
        return "<discovery of a loss>"


@dataclass(frozen=True, slots=True, repr=False)
class ReadLoss:
    """A loss as one role sees it, and which of the two duties is late.

    The patient sees what happened at home, not what was told to DEA: both are ``None`` then.
    """

    loss: Loss
    details: Personal[Mapping[str, Any]] | None
    findings: Sequence[Finding]
    dea_reference: Personal[str | None] | None
    form_106_reference: Personal[str | None] | None


def subject_of(loss: Loss) -> Subject:
    """How events and tasks name a loss."""
    return Subject("loss", loss.id)


def check_discovery(episode: Episode, discovered_at: datetime) -> None:
    """Refuse a discovery in the future or from before the episode (``RuleRefused`` on ``discovered_at``)."""
    now = clock.now()
    if not episode.opened_at <= discovered_at <= now:
        finding = LOSS_OUT_OF_TIME.finding(discovered_at=discovered_at.isoformat(), now=now.isoformat())
        raise RuleRefused(finding.sentence, [finding], field="discovered_at")


def lose_parcel(session: Session, actor: Actor, row: Shipment, episode: Episode) -> Loss:
    """A locked parcel is lost, or did not come though the carrier says so. One that was lost before stays that loss.

    Medical team and therapist hear of the parcel itself, the pharmacy of its two duties here.
    """
    standing = select(Loss).where(Loss.shipment_id == row.id, STANDING_LOSS)
    known = session.scalar(standing)
    if known is not None:
        return known
    quantity = box(session, row.patient_id).open(row, "quantity").reveal()
    what = Discovery(units=quantity, what_happened=Personal("The parcel is missing."), discovered_at=clock.now())
    return open_loss(
        session,
        actor,
        episode,
        Whereabouts.ON_THE_WAY,
        what,
        shipment_id=row.id,
        fill_id=row.fill_id,
        to=[Party.PHARMACY],
    )


def report_in_pharmacy(session: Session, actor: Actor, fill_id: UUID, what: Discovery) -> ReadLoss:
    """A fill was lost or stolen before it left the pharmacy: it cannot be shipped any more. All of it counts as lost.

    Raises as ``authorize`` does, ``RuleRefused`` for a fill that has left, or on ``discovered_at``.
    """
    fill = session.get(Fill, fill_id, with_for_update=True, populate_existing=True)
    if fill is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.RECORD_LOSS, fill.episode_id)
    check_discovery(episode, what.discovered_at)
    travels = select(Shipment.id).where(Shipment.fill_id == fill.id, Shipment.state != Stage.CANCELLED)
    if fill.undelivered_at is not None or session.scalar(travels.limit(1)) is not None:
        finding = FILL_HAS_LEFT.finding(fill_id=str(fill.id))
        raise RuleRefused(finding.sentence, [finding])
    quantity = float(opened_fill(session, fill).quantity)
    whole = Discovery(
        units=quantity,
        what_happened=what.what_happened,
        discovered_at=what.discovered_at,
        is_theft=what.is_theft,
    )
    mark_undelivered(session, fill.id)
    settle_tasks(session, actor, Subject("fill", fill.id), {TaskKind.SHIP_FILL}, TaskStep.CANCEL)
    return opened(session, actor, open_loss(session, actor, episode, Whereabouts.IN_PHARMACY, whole, fill_id=fill.id))


def open_loss(
    session: Session,
    actor: Actor,
    episode: Episode,
    whereabouts: Whereabouts,
    what: Discovery,
    *,
    shipment_id: UUID | None = None,
    fill_id: UUID | None = None,
    to: Sequence[Party] | None = None,
) -> Loss:
    """Put a loss on record, start both timers, and raise a diversion review when it is one too many.

    The caller has authorized, and booked the units.
    """
    pharmacy = organisation_of(session, episode.pharmacy_id)
    programme = programme_of(session, episode)
    timers = loss_timers(what.discovered_at, programme, read_zone(pharmacy.zone), known_state(pharmacy.state))
    row = Loss(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        shipment_id=shipment_id,
        fill_id=fill_id,
        whereabouts=whereabouts,
        is_theft=what.is_theft,
        discovered_at=what.discovered_at,
        reported_by=actor.id,
        reported_at=clock.now(),
        dea_due_at=timers.dea_due_at,
        form_106_due_at=timers.form_106_due_at,
    )
    details = {"units": what.units, "what_happened": what.what_happened.reveal().strip()}
    box(session, row.patient_id).seal(row, "details", details)
    session.add(row)
    session.flush()
    record(session, actor, "loss.report", "loss", row.id, episode_id=episode.id, whereabouts=whereabouts)
    due = {
        TaskKind.NOTIFY_DEA.value: timers.dea_due_at.isoformat(),
        TaskKind.FILE_FORM_106.value: timers.form_106_due_at.isoformat(),
    }
    emit(session, EventKind.LOSS_DISCOVERED, subject=subject_of(row), episode_id=episode.id, to=to, due=due)
    _review_if_too_many(session, actor, episode, row)
    return row


def _review_if_too_many(session: Session, actor: Actor, episode: Episode, row: Loss) -> None:
    counted = select(func.count()).select_from(Loss).where(Loss.patient_id == row.patient_id, STANDING_LOSS)
    recorded = select(Loss.id).where(Loss.shipment_id == Shipment.id)
    # Parcels that went missing before losses were kept have none on record, and were lost all the same.
    before = (
        select(func.count())
        .select_from(Shipment)
        .where(Shipment.patient_id == row.patient_id, Shipment.state == Stage.LOST, ~recorded.exists())
    )
    losses = (session.scalar(counted) or 0) + (session.scalar(before) or 0)
    if diversion_findings(losses, programme_of(session, episode)):
        raise_review(session, actor, episode, Cause.LOSSES, row.id, {"losses": losses})


def withdraw_loss(session: Session, actor: Actor, shipment_id: UUID) -> None:
    """The parcel was there after all: its loss is none, and what is not done yet need not be done."""
    row = session.scalar(select(Loss).where(Loss.shipment_id == shipment_id, STANDING_LOSS).with_for_update())
    if row is None:
        return
    row.found_at = clock.now()
    record(session, actor, "loss.withdraw", "loss", row.id, episode_id=row.episode_id)
    settle_tasks(session, actor, subject_of(row), {TaskKind.NOTIFY_DEA, TaskKind.FILE_FORM_106}, TaskStep.CANCEL)


def record_duty(
    session: Session,
    actor: Actor,
    loss_id: UUID,
    duty: Duty,
    reference: Personal[str],
    *,
    at: datetime | None = None,
    version: int | None = None,
) -> ReadLoss:
    """The pharmacist puts on record that DEA was notified or Form 106 filed; ``at`` (aware) defaults to now.

    Raises as ``authorize`` does, ``RuleRefused`` on ``done_at`` or for what is on record already, ``StaleVersion``.
    """
    row = session.get(Loss, loss_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    visible_episode(session, actor, Action.RECORD_LOSS, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this loss since you read it.", field="version")
    done_at = at or clock.now()
    if not row.discovered_at <= done_at <= clock.now():
        finding = DUTY_OUT_OF_TIME.finding(done_at=done_at.isoformat(), discovered_at=row.discovered_at.isoformat())
        raise RuleRefused(finding.sentence, [finding], field="done_at")
    if (row.dea_notified_at if duty is Duty.NOTIFY_DEA else row.form_106_filed_at) is not None:
        finding = DUTY_DONE.finding(duty=duty.value)
        raise RuleRefused(finding.sentence, [finding])
    own, text = box(session, row.patient_id), reference.reveal().strip()
    if duty is Duty.NOTIFY_DEA:
        row.dea_notified_at, row.dea_notified_by = done_at, actor.id
        own.seal(row, "dea_reference", text)
    else:
        row.form_106_filed_at, row.form_106_filed_by = done_at, actor.id
        own.seal(row, "form_106_reference", text)
    session.flush()
    record(session, actor, f"loss.{duty}", "loss", row.id, episode_id=row.episode_id)
    settle_tasks(session, actor, subject_of(row), {TaskKind(duty.value)})
    return opened(session, actor, row)


def read_loss(session: Session, actor: Actor, loss_id: UUID) -> ReadLoss:
    """One loss as the actor's role sees it; an audited read."""
    row = session.get(Loss, loss_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.READ_LOSS, row.episode_id)
    record(session, actor, "loss.read", "loss", row.id, episode_id=episode.id)
    return opened(session, actor, row)


def list_losses(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[Loss]:
    """The losses of an episode, newest first, from behind the id ``after``: where and when, nothing sealed."""
    episode = visible_episode(session, actor, Action.READ_LOSS, episode_id)
    query = select(Loss).where(Loss.episode_id == episode.id)
    record(session, actor, "loss.list", "episode", episode.id, episode_id=episode.id)
    return session.scalars(page_of(query, Loss.id, after=after, limit=limit)).all()


def opened(session: Session, actor: Actor, row: Loss) -> ReadLoss:
    """A loss as the actor's role sees it; the caller has authorized and audits."""
    own = box(session, row.patient_id)
    facts = DutyFacts(
        dea_due_at=row.dea_due_at,
        dea_notified_at=row.dea_notified_at,
        form_106_due_at=row.form_106_due_at,
        form_106_filed_at=row.form_106_filed_at,
        found=row.found_at is not None,
    )
    programme = programme_of(session, session.get_one(Episode, row.episode_id))
    is_patient = actor.role is Role.PATIENT
    is_seen = not is_patient or row.whereabouts == Whereabouts.AT_HOME
    return ReadLoss(
        loss=row,
        details=own.open(row, "details") if is_seen else None,
        findings=() if is_patient else tuple(duty_findings(facts, clock.now(), programme)),
        dea_reference=None if is_patient else own.open(row, "dea_reference"),
        form_106_reference=None if is_patient else own.open(row, "form_106_reference"),
    )
