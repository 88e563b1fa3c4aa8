"""Texts and status reports that come in, read by the patient party's worker from their stored deliveries (DOMAIN 7).

STOP, START and HELP are answered here. What a text means for a visit or a parcel is done by the packages that own
those, through ``CommandHandler``. Whatever is not plain goes to a person; what may be a crisis is answered at once and
urgently put before the care team.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging.deliveries import MESSAGE, Hook, OpenedDelivery, open_delivery
from services.messaging.fates import report
from services.messaging.governing import governing_programme
from services.messaging.keywords import Command, Reading, read, resemblances
from services.messaging.messages import InboundText, episodes_of, senders_of, text_in
from services.messaging.models import Notice
from services.messaging.notices import answer_text, suppress_waiting
from services.messaging.outbox import emit
from services.people.consents import renew_sms_consent, withdraw_sms_consent
from services.people.models import Episode, Patient
from services.people.patients import mobile_index

log = structlog.get_logger()

QUESTION: Final = "question"
_REFUSALS: Final = (Conflict, NotFound, NotAllowed, InvalidInput)


class CommandHandler(Protocol):
    """Does what a patient's text asks, in the package that owns the visit or the parcel."""

    def __call__(self, session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
        """Do it as the patient (``actor``); False when there is nothing that the text can mean right now.

        A ``CoordinationError`` (a rule refuses, a step is not possible) undoes what was begun. Either way a person
        reads the text.
        """


@dataclass(frozen=True, slots=True, repr=False)
class AskedText:
    """A patient's text that is no command. ``resembles``: what it seems to be about, never to be acted upon."""

    text: Personal[str]
    message_id: UUID
    resembles: frozenset[Command]


class QuestionTaker(Protocol):
    """Takes a text as a question that somebody answers, in the package that owns those."""

    def __call__(self, session: Session, actor: Actor, episode: Episode, asked: AskedText) -> bool:
        """Take it as the patient (``actor``); False when this programme takes none: then the desk reads the text."""


_THANKS: Final[Mapping[Command, NoticeKind]] = {
    Command.RECEIVED: NoticeKind.RECEIPT_THANKS,
    Command.NOT_RECEIVED: NoticeKind.RECEIPT_THANKS,
    Command.RESCHEDULE: NoticeKind.REPLY_RECEIVED,
}


def read_sms(
    session: Session,
    delivery_id: UUID,
    programme: Programme,
    commands: Mapping[Command, CommandHandler],
    questions: QuestionTaker | None = None,
) -> None:
    """Read one stored text and do what it asks, or put it before a person. A text that was read is left alone.

    ``commands`` holds who does CONFIRM, RESCHEDULE, RECEIVED and NOT_RECEIVED; a missing one is a person's.
    ``questions`` takes what is no command.
    """
    delivery = open_delivery(session, delivery_id, Hook.TWILIO_INBOUND)
    if delivery.row.read_at is not None:
        return
    text = text_in(delivery)
    if text is None:
        emit_unclear(session, delivery, (), "malformed")
        outcome = "malformed"
    else:
        patients = senders_of(session, text)
        episodes = episodes_of(session, patients)
        # Where it is plain whose text this is, that episode's programme says how it is answered.
        governing = governing_programme(session, episodes[0].id if len(episodes) == 1 else None, programme)
        exchange = _Exchange(session, delivery, text, patients, episodes, governing)
        outcome = exchange.take_up(read(text.body.reveal()), commands, questions)
    delivery.close(outcome)
    record(session, SYSTEM, "message.handle", MESSAGE, delivery.row.id, result=outcome)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One text that came in, with everybody it may come from. Several people can have one phone."""

    session: Session
    delivery: OpenedDelivery
    text: InboundText
    patients: Sequence[Patient]
    episodes: Sequence[Episode]
    programme: Programme

    def take_up(
        self, reading: Reading, commands: Mapping[Command, CommandHandler], questions: QuestionTaker | None
    ) -> str:
        """Do what the text asks; gives what came of it, as a code."""
        match reading.command:
            case Command.CRISIS:
                return self._crisis()
            case Command.STOP:
                return self._stop()
            case Command.START if self.patients:
                return self._start()
            case Command.HELP:
                return self._help()
        if not self.patients:
            return self._ask_staff("unknown_number", reading)
        handler = commands.get(reading.command)
        if handler is None:
            self._answer_now_and_then()
            if questions is not None and self._is_question(questions, reading):
                return QUESTION
            return self._ask_staff(Command.UNCLEAR.value, reading)
        return self._hand_on(handler, reading)

    def _is_question(self, questions: QuestionTaker, reading: Reading) -> bool:
        """Whether the text was taken as a question: it holds words, and it is plain whose it is."""
        if reading.command is not Command.UNCLEAR or len(self.episodes) != 1 or not self.text.body.reveal().strip():
            return False
        episode = self.episodes[0]
        asked = AskedText(self.text.body, self.delivery.row.id, resemblances(self.text.body.reveal()))
        return questions(self.session, Actor(episode.patient_id, Role.PATIENT, episode_id=episode.id), episode, asked)

    def _crisis(self) -> str:
        """The 988/911 reply at once, past all limits, and the care team of everybody it may come from (DOMAIN 2.2)."""
        pause = timedelta(minutes=self.programme.number("sms.incoming.crisis_reply_every_minutes"))
        if not self._answered_within(NoticeKind.CRISIS_REPLY, pause):
            self._answer(NoticeKind.CRISIS_REPLY, every=pause)
        for episode in self.episodes:
            emit(self.session, EventKind.SMS_CRISIS, subject=self.delivery.subject, episode_id=episode.id)
        if not self.episodes:
            emit(self.session, EventKind.SMS_CRISIS_UNPLACED, subject=self.delivery.subject)
        return Command.CRISIS.value

    def _stop(self) -> str:
        """Opt out whoever has the number, at once, with exactly one confirmation."""
        ended = 0 if self.text.number is None else withdraw_sms_consent(self.session, self._actor(), self.text.number)
        for patient in self.patients:
            suppress_waiting(self.session, patient.id)
        if ended or not self._answered_within(NoticeKind.OPT_OUT_CONFIRMED, None):
            self._answer(NoticeKind.OPT_OUT_CONFIRMED, every=None)
        if not self.patients:
            self._ask_staff("unknown_number", Reading(Command.STOP))
        return Command.STOP.value

    def _start(self) -> str:
        """Put the consent on record again, as texted, for whoever has the number."""
        if self.text.number is not None:
            version = self.programme.text("sms.incoming.opt_in_text_version")
            renew_sms_consent(
                self.session, self._actor(), self.text.number, text_version=version, wording=self.text.body
            )
        self._answer(NoticeKind.OPT_IN_CONFIRMED)
        return Command.START.value

    def _help(self) -> str:
        self._answer(NoticeKind.HELP, every=timedelta(days=1))
        if not self.patients:
            self._ask_staff("unknown_number", Reading(Command.HELP))
        return Command.HELP.value

    def _hand_on(self, handler: CommandHandler, reading: Reading) -> str:
        """Let the owner of the visit or parcel do it, when it is plain whose it is; otherwise a person."""
        if len(self.episodes) != 1:
            return self._ask_staff("several_episodes" if self.episodes else "no_open_episode", reading)
        episode = self.episodes[0]
        actor = Actor(episode.patient_id, Role.PATIENT, episode_id=episode.id)
        try:
            with self.session.begin_nested():
                done = handler(self.session, actor, episode, reading)
        except _REFUSALS as error:
            log.info("command_refused", command=reading.command.value, error=error.code)
            done = False
        if not done:
            self._answer_now_and_then()
            return self._ask_staff("not_possible", reading)
        thanks = _THANKS.get(reading.command)
        if thanks is NoticeKind.REPLY_RECEIVED:
            self._answer_now_and_then()
        elif thanks is not None:
            self._answer(thanks)
        return reading.command.value

    def _ask_staff(self, why: str, reading: Reading) -> str:
        resembles = reading.resembles or (None if reading.command is Command.UNCLEAR else reading.command)
        emit_unclear(self.session, self.delivery, self.episodes, why, resembles)
        return why

    def _answer_now_and_then(self) -> None:
        """A gentle answer to a patient whose text a person will read, at most once in a while."""
        pause = timedelta(hours=self.programme.number("sms.incoming.auto_reply_every_hours"))
        if self.patients and not self._answered_within(NoticeKind.REPLY_RECEIVED, pause):
            self._answer(NoticeKind.REPLY_RECEIVED)

    def _answered_within(self, kind: NoticeKind, pause: timedelta | None) -> bool:
        """Whether a known sender got this answer lately (ever, without ``pause``)."""
        query = select(Notice.id).where(
            Notice.recipient_id.in_([patient.id for patient in self.patients]), Notice.kind == kind
        )
        if pause is not None:
            query = query.where(Notice.created_at > clock.now() - pause)
        return self.session.scalar(query.limit(1)) is not None

    def _answer(self, kind: NoticeKind, *, every: timedelta | None = timedelta(0)) -> None:
        """Answer the number once, however many people have it. Where Twilio answered STOP or HELP, that is enough.

        To an unknown number at most one such answer goes in each stretch of ``every`` (None: ever), so that two
        machines never talk to each other without end.
        """
        if self.text.number is None or (self.text.answered_by_provider and kind is not NoticeKind.CRISIS_REPLY):
            return
        patient = self.patients[0] if self.patients else None
        episode = next((each for each in self.episodes if patient and each.patient_id == patient.id), None)
        once_key = None if patient is not None else _once(kind, self.text.number, every)
        answer_text(
            self.session,
            kind,
            self.delivery.subject,
            patient,
            episode,
            self.text.number,
            self.programme,
            once_key=once_key,
        )

    def _actor(self) -> Actor:
        return Actor(self.patients[0].id, Role.PATIENT) if len(self.patients) == 1 else SYSTEM


def emit_unclear(
    session: Session, delivery: OpenedDelivery, episodes: Sequence[Episode], why: str, resembles: Command | None = None
) -> None:
    """Put a text before a person; ``why`` and ``resembles`` are codes that help to route it."""
    episode_id = episodes[0].id if len(episodes) == 1 else None
    emit(
        session,
        EventKind.SMS_UNCLEAR,
        subject=delivery.subject,
        episode_id=episode_id,
        why=why,
        resembles=resembles,
    )


def _once(kind: NoticeKind, number: Personal[str], every: timedelta | None) -> str | None:
    if every == timedelta(0):
        return None
    stretch = "" if every is None else f":{int(clock.now().timestamp() // every.total_seconds())}"
    return f"{kind}:{mobile_index(number).hex()[:40]}{stretch}"


def read_sms_status(session: Session, delivery_id: UUID, programme: Programme) -> None:
    """Apply one stored status report to its notice.

    Raises ``UnknownStatus`` for a word we do not know, ``InvalidInput`` for a report that is none, ``NotFound`` for a
    notice that was never sent: the event is tried again, then kept as a dead letter that a person looks at.
    """
    delivery = open_delivery(session, delivery_id, Hook.TWILIO_STATUS)
    if delivery.row.read_at is not None:
        return
    form = delivery.form().reveal()
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    if not re.fullmatch(r"[A-Za-z0-9]{2,40}", sid) or not status:
        raise InvalidInput("A status report needs the SID of its message and a status.", field="MessageStatus")
    notice = session.get(Notice, UUID(delivery.context["notice"]), with_for_update=True, populate_existing=True)
    if notice is None or notice.attempts == 0:
        raise NotFound("This status report is about a notice that was never sent.")
    code = form.get("ErrorCode", "")[:20]
    if not _is_latest(notice, sid, delivery.context.get("attempt")):
        # A late word about an attempt that was given up and repeated. Should it have arrived after all, say so loudly.
        log.warning("report_of_earlier_attempt", notice=str(notice.id), attempts=notice.attempts)
        delivery.close("earlier_attempt")
        return
    news = report(session, notice, sid, status, code if code not in ("", "0") else None, programme)
    delivery.close("applied" if news else "nothing_new")


def _is_latest(notice: Notice, sid: str, attempt: str | None) -> bool:
    """Whether a report is about the latest attempt: by its SID or, while that is not known, by the attempt's number."""
    if notice.provider_id is not None:
        return notice.provider_id == sid
    return attempt in (None, str(notice.attempts))
