"""From an opened event to its effects, as ``services/routing.py`` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services import routing
from services.audit.records import record
from services.circles import places
from services.core import clock
from services.core.actors import SYSTEM
from services.core.errors import NotFound
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind, Party
from services.messaging import incoming, notices
from services.messaging.addressees import clinic_of
from services.messaging.due_times import WORKING_DAYS, due_after
from services.messaging.keywords import Command
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task, settled_since
from services.outcomes import schedules
from services.people.models import Episode
from services.people.organisations import operations_desk, zone_of
from services.people.programmes import programme_of
from services.prescribing import fills
from services.questions import asking
from services.routing import Call, Errand, Inform, Owner, Page, Sms, Task, Work
from services.sessions import answers, reminders
from services.shipping import receipts, tracking


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """An event as its party's worker reads it."""

    id: UUID
    party: Party
    kind: EventKind
    subject: Subject
    episode_id: UUID | None
    at: datetime
    data: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_payload(cls, event_id: UUID, party: Party, kind: EventKind, payload: Mapping[str, Any]) -> OpenedEvent:
        """Read what ``outbox.emit`` sealed."""
        subject_kind, subject_id = payload["subject"]
        episode = payload["episode"]
        return cls(
            event_id,
            party,
            kind,
            Subject(subject_kind, UUID(subject_id)),
            None if episode is None else UUID(episode),
            datetime.fromisoformat(payload["at"]),
            payload["data"],
        )


# Who does what a patient's text asks, beyond STOP, START and HELP. What is not here is read by a person.
COMMANDS: Final[Mapping[Command, incoming.CommandHandler]] = {
    Command.RECEIVED: receipts.confirm_by_sms,
    Command.NOT_RECEIVED: receipts.confirm_by_sms,
    Command.CONFIRM: answers.confirm_by_sms,
    Command.RESCHEDULE: answers.reschedule_by_sms,
}

WORK: Final[Mapping[Work, Callable[[Session, UUID, Programme], None]]] = {
    Work.READ_SMS: partial(incoming.read_sms, commands=COMMANDS, questions=asking.take_question),
    Work.READ_SMS_STATUS: incoming.read_sms_status,
    Work.READ_CARRIER_EVENT: tracking.read_carrier_event,
    Work.CHECK_SILENCE: tracking.check_silence,
    Work.END_PRESCRIPTION: fills.end_prescription,
    Work.NOTE_TRANSMISSION: fills.note_transmission,
    Work.REMIND_OF_SESSION: reminders.remind_of_session,
    Work.PLAN_ASSESSMENTS: schedules.plan_assessments,
    Work.REMIND_OF_ASSESSMENT: schedules.remind_of_assessment,
    Work.REMIND_OF_CIRCLE: places.remind_of_circle,
}


OtherThanTask = Sms | Inform | Page | Call | Errand


def carry_out(session: Session, events: Sequence[OpenedEvent], programme: Programme) -> None:
    """Carry out all effects of ``events``, in order but for the tasks, within the caller's transaction.

    What concerns an episode follows the programme that it is pinned to, everything else ``programme``.

    Tasks are opened last: from looking whether they were settled meanwhile to the commit, settlements have to wait.
    Raises ``SettlementUnderWay`` when one of several events asks for what is just being settled.
    """
    wanted = {event.episode_id for event in events if event.episode_id is not None}
    episodes = {row.id: row for row in session.scalars(select(Episode).where(Episode.id.in_(wanted)))} if wanted else {}
    asked: list[tuple[OpenedEvent, Task, Episode | None]] = []
    for event in events:
        episode = None if event.episode_id is None else episodes.get(event.episode_id)
        for effect in routing.ROUTES[event.kind][event.party]:
            if isinstance(effect, Task):
                asked.append((event, effect, episode))
            else:
                _carry_out_one(session, event, effect, episode, _governing(session, episode, programme))
        record(
            session,
            SYSTEM,
            "event.handle",
            event.subject.kind,
            event.subject.id,
            episode_id=event.episode_id,
            event=event.id,
            kind=event.kind,
            party=event.party,
        )
    if asked:
        _open_tasks(session, asked, programme)


def _governing(session: Session, episode: Episode | None, programme: Programme) -> Programme:
    return programme if episode is None else programme_of(session, episode)


def _open_tasks(
    session: Session, asked: Sequence[tuple[OpenedEvent, Task, Episode | None]], programme: Programme
) -> None:
    """Open the tasks that events ask for, but for those whose work was done before."""
    session.flush()  # what has to wait for somebody's records waits before it lets others wait
    settled = settled_since(session, {event.subject.id for event, _, _ in asked})
    for event, effect, episode in asked:
        if settled.get((event.subject.id, effect.kind), event.at) <= event.at:
            _open_task(session, event, effect, episode, _governing(session, episode, programme))


def _open_task(
    session: Session, event: OpenedEvent, effect: Task, episode: Episode | None, programme: Programme
) -> None:
    owner_id = _owner_id(session, effect.owner, event, episode)
    named = event.data.get("due", {}).get(effect.kind)
    zone = zone_of(session, owner_id) if effect.due.endswith(WORKING_DAYS) else UTC
    open_task(
        session,
        effect.kind,
        party=event.party,
        owner_id=owner_id,
        subject=event.subject,
        due_at=due_after(clock.now(), effect.due, programme, zone) if named is None else datetime.fromisoformat(named),
        priority=effect.priority,
        episode_id=event.episode_id,
        event_id=event.id,
    )


def _carry_out_one(
    session: Session, event: OpenedEvent, effect: OtherThanTask, episode: Episode | None, programme: Programme
) -> None:
    match effect:
        case Sms(kind=kind):
            named = NoticeKind(event.data["notice"]) if kind is None else kind
            notices.text_patient(session, named, event.subject, episode, event.id, event.data, programme)
        case Inform(owner=owner):
            owner_id = _owner_id(session, owner, event, episode)
            notices.inform(session, owner_id, event.kind, event.subject, event.episode_id, event.id)
        case Page(owner=owner):
            notices.page(session, _owner_id(session, owner, event, episode), event.subject, event.id, programme)
        case Call(work=work):
            WORK[work](session, event.subject.id, programme)
        case Errand():
            pass  # ``handlers.run_errands`` follows every bag


def _owner_id(session: Session, owner: Owner, event: OpenedEvent, episode: Episode | None) -> UUID:
    """Whose task or notice it is. A person who is not on the care team yet is stood in for by the organisation."""
    if owner is Owner.ADDRESSEE:
        return UUID(event.data["owner"])
    if owner is Owner.OPERATIONS:
        return operations_desk(session)
    if episode is None:
        raise NotFound("This event names no episode, so its owner cannot be found.")
    return {
        Owner.THERAPIST: episode.therapist_id or clinic_of(episode),
        Owner.PRESCRIBER: episode.prescriber_id or episode.medical_team_id,
        Owner.MEDICAL_TEAM: episode.medical_team_id,
        Owner.PHARMACY: episode.pharmacy_id,
    }[owner]
