"""The monthly log: each practitioner gets a list of all they signed, soon after the month's end (21 CFR 1311).

It is sealed under the practitioner's own key and read by nobody else: whoever signed in another's name would show up
there. The ticker keeps the logs, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, tzinfo
from typing import Any, Final
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.people.access import Action, authorize
from services.people.models import Account, Organisation, OrganisationKind
from services.people.zones import read_zone
from services.prescribing.calendar import calendar_months_after
from services.prescribing.models import Prescription, SigningLog
from services.prescribing.papers import signed_document
from services.prescribing.signing import verify_signature
from services.vault.boxes import box

# Were the ticker down for longer than a month, the logs of the months before are made up for.
MONTHS_BACK: Final = 3
PAPER: Final = ("issued_on", "patient_name", "drug", "strength", "form", "quantity", "refills")


def keep_due(session: Session) -> int:
    """Keep a log for everybody who signed in a month that is over where they work; gives how many are new."""
    teams = session.scalars(select(Organisation).where(Organisation.kind == OrganisationKind.MEDICAL_TEAM))
    return sum(_keep_for(session, team) for team in teams)


def _keep_for(session: Session, team: Organisation) -> int:
    zone = read_zone(team.zone)
    this_month = clock.now().astimezone(zone).date().replace(day=1)
    kept = 0
    for back in range(1, MONTHS_BACK + 1):
        month = calendar_months_after(this_month, -back)
        has_log = exists().where(SigningLog.account_id == Account.id, SigningLog.month == month)
        has_signed = exists().where(Prescription.prescriber_id == Account.id, *_signed_in(month, zone))
        due = select(Account.id).where(Account.organisation_id == team.id, has_signed, ~has_log)
        for account_id in session.scalars(due).all():
            keep_log(session, account_id, month, zone)
            kept += 1
    return kept


def keep_log(session: Session, account_id: UUID, month: date, zone: tzinfo) -> SigningLog:
    """Keep the log of one practitioner and one month (its first day, in ``zone``), and tell them."""
    query = select(Prescription).where(Prescription.prescriber_id == account_id, *_signed_in(month, zone))
    rows = session.scalars(query.order_by(Prescription.signed_at, Prescription.id)).all()
    log = SigningLog(id=new_id(), account_id=account_id, month=month, kept_at=clock.now())
    box(session, account_id).seal(log, "content", [_entry(session, row) for row in rows])
    session.add(log)
    session.flush()
    record(session, SYSTEM, "signing_log.keep", "signing_log", log.id, account=account_id, count=len(rows))
    emit(session, EventKind.SIGNING_LOG_READY, subject=Subject("signing_log", log.id), owner=str(account_id))
    return log


def _signed_in(month: date, zone: tzinfo) -> tuple[Any, ...]:
    starts_at = datetime.combine(month, time(), tzinfo=zone)
    ends_at = datetime.combine(calendar_months_after(month, 1), time(), tzinfo=zone)
    return (
        Prescription.signature.is_not(None),
        Prescription.signed_at >= starts_at,
        Prescription.signed_at < ends_at,
    )


def _entry(session: Session, row: Prescription) -> dict[str, Any]:
    """One line of a log. Of what was altered after it was signed only that is said."""
    line: dict[str, Any] = {
        "prescription_id": str(row.id),
        "signed_at": None if row.signed_at is None else row.signed_at.isoformat(),
        "signed_outside": row.signed_outside,
        "state": row.state,
    }
    is_valid = verify_signature(session, row)
    paper = signed_document(box(session, row.patient_id), row).reveal()["paper"] if is_valid else {}
    return {**line, "signature_valid": is_valid, **{name: paper.get(name) for name in PAPER}}


def list_logs(session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 20) -> Sequence[SigningLog]:
    """The actor's own logs, newest first, from behind the id ``after``."""
    authorize(actor, Action.READ_SIGNING_LOG)
    query = select(SigningLog).where(SigningLog.account_id == actor.id)
    return session.scalars(page_of(query, SigningLog.id, after=after, limit=limit)).all()


def read_log(session: Session, actor: Actor, log_id: UUID) -> tuple[SigningLog, Personal[list[dict[str, Any]]]]:
    """One of the actor's own logs with its lines; an audited read. Raises ``NotFound`` for anybody else's."""
    authorize(actor, Action.READ_SIGNING_LOG)
    log = session.get(SigningLog, log_id)
    if log is None or log.account_id != actor.id:
        raise NotFound("There is no such log, or it is not yours to see.")
    record(session, actor, "signing_log.read", "signing_log", log.id)
    lines: Personal[list[dict[str, Any]]] = box(session, log.account_id).open(log, "content")
    return log, lines
