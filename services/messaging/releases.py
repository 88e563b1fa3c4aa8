"""Whether a text may go now, later, or not at all: consent, limits, quiet hours, expiry (DOMAIN 7).

Asked when a notice is made, and again right before it is sent: much can change over night.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.programme import Programme
from services.core.vocabulary import NoticeKind
from services.messaging.addressees import opted_out, reach_of, staff_zone
from services.messaging.caps import Purpose, may_send
from services.messaging.models import Notice
from services.messaging.notice_states import COUNTED, Channel, NoticeState
from services.messaging.quiet_hours import Release, plan_release
from services.people import consents
from services.people.models import Patient

LONGEST_WINDOW: Final = timedelta(days=7)

# The patient asked for these a moment ago, so they go even to somebody who opted out: the one confirmation of STOP,
# help, the answer to a crisis, a sign-in code.
ASKED_FOR: Final = frozenset(
    {
        NoticeKind.OPT_OUT_CONFIRMED,
        NoticeKind.OPT_IN_CONFIRMED,
        NoticeKind.HELP,
        NoticeKind.CRISIS_REPLY,
        NoticeKind.SIGN_IN_CODE,
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a text: ``pending`` (now), ``held`` (``at``), ``expired`` or ``suppressed``.

    ``reason`` is the id of the rule that held, dropped or let it pass a limit; None when nothing stood in its way.
    """

    state: NoticeState
    at: datetime | None
    reason: str | None


def judge(session: Session, notice: Notice, programme: Programme) -> Verdict:
    """Decide over a text as things stand now."""
    patient = session.get(Patient, notice.recipient_id)
    refused = None if patient is None else _refused(session, notice, patient)
    if refused is not None:
        return Verdict(NoticeState.SUPPRESSED, None, refused)
    now, purpose = clock.now(), Purpose(notice.purpose)
    limits = may_send(now, [] if patient is None else _sent_lately(session, notice, programme), purpose, programme)
    expires_at = notice.expires_at or now + timedelta(seconds=1)
    if limits.next_at is None:
        return Verdict(NoticeState.EXPIRED, None, limits.rule)
    if patient is None:
        zone, state = staff_zone(session, notice.recipient_id), None
    else:
        reach = reach_of(session, patient.id)
        zone, state = reach.zone, reach.state
    plan = plan_release(now, expires_at, purpose, programme, zone=zone, state=state, not_before=limits.next_at)
    match plan.release:
        case Release.SEND:
            return Verdict(NoticeState.PENDING, now, limits.rule if limits.bypassed else None)
        case Release.HOLD:
            return Verdict(NoticeState.HELD, plan.at, plan.rule)
        case Release.DROP:
            return Verdict(NoticeState.EXPIRED, None, plan.rule)


def _refused(session: Session, notice: Notice, patient: Patient) -> str | None:
    """The rule under which a patient must not get this text, if there is one."""
    if notice.kind in ASKED_FOR:
        return None
    if opted_out(session, patient):
        return "sms.opted_out"
    if notice.purpose == Purpose.CARE and not consents.may_be_texted(session, patient.id):
        return "sms.no_consent"
    return None


def _sent_lately(session: Session, notice: Notice, programme: Programme) -> list[datetime]:
    """When the patient got (or may have got) texts that count against the limits."""
    query = select(Notice.attempted_at).where(
        Notice.recipient_id == notice.recipient_id,
        Notice.channel == Channel.SMS,
        Notice.state.in_(sorted(COUNTED)),
        Notice.purpose.not_in(sorted(programme.choices("sms.caps.bypass"))),
        Notice.attempted_at > clock.now() - LONGEST_WINDOW,
        Notice.id != notice.id,
    )
    return [moment for moment in session.scalars(query) if moment is not None]
