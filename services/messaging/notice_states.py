"""How a notice moves: a text on its way to a phone, or an in-app notice until somebody has read it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class Channel(StrEnum):
    """How a notice reaches its reader."""

    SMS = "sms"
    IN_APP = "in_app"


class NoticeState(StrEnum):
    """Where a notice stands. ``unread`` and ``read`` are those of in-app notices, all others those of texts."""

    PENDING = "pending"  # to be sent now, or again
    HELD = "held"  # waits for the morning, or until the limits allow it
    SENDING = "sending"  # handed to the provider, no answer recorded yet
    SENT = "sent"  # the provider has it
    DELIVERED = "delivered"
    FAILED = "failed"  # refused, or given up
    SUPPRESSED = "suppressed"  # the recipient does not want to be texted
    EXPIRED = "expired"  # could not go in time
    REPLACED = "replaced"  # newer news made it pointless before it went
    UNKNOWN = "unknown"  # may or may not have been sent; being looked for
    UNRESOLVED = "unresolved"  # not found; a person looks into it
    UNREAD = "unread"
    READ = "read"


class NoticeStep(StrEnum):
    """What can happen to a notice."""

    HOLD = "hold"
    SEND = "send"
    ACCEPT = "accept"
    DELIVER = "deliver"
    FAIL = "fail"
    RETRY = "retry"
    SUPPRESS = "suppress"
    EXPIRE = "expire"
    REPLACE = "replace"
    LOSE = "lose"
    HAND_OVER = "hand_over"
    READ = "read"


WAITING: Final = frozenset({NoticeState.PENDING, NoticeState.HELD})
# Ended without the provider: bad news from it changes nothing any more.
GIVEN_UP: Final = frozenset({NoticeState.FAILED, NoticeState.SUPPRESSED, NoticeState.EXPIRED, NoticeState.REPLACED})
# What a patient got, or may have got: it counts against the limits (DOMAIN 7).
COUNTED: Final = frozenset(
    {
        NoticeState.SENDING,
        NoticeState.SENT,
        NoticeState.DELIVERED,
        NoticeState.UNKNOWN,
        NoticeState.UNRESOLVED,
    }
)

_SYSTEM = by(Role.SYSTEM)
_READERS = by(
    Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST, Role.OPERATIONS, Role.PATIENT, Role.SYSTEM
)
_S, _T = NoticeState, NoticeStep

# Good news from the provider is believed from wherever a text stands here: it may arrive before the answer to the send,
# or after we gave up. What is never undone is the provider's own last word, see ``twilio_statuses.advance``.
_BEFORE_THE_PROVIDERS_WORD: Final = (
    *(_S.SENDING, _S.PENDING, _S.HELD, _S.UNKNOWN, _S.UNRESOLVED),
    *(_S.FAILED, _S.SUPPRESSED, _S.EXPIRED, _S.REPLACED),
)
_MAY_FAIL: Final = (_S.SENDING, _S.SENT, _S.PENDING, _S.HELD, _S.UNKNOWN, _S.UNRESOLVED)

NOTICE_TRANSITIONS: Final = Transitions(
    "notice",
    {
        (_S.PENDING, _T.HOLD): (_S.HELD, _SYSTEM),
        (_S.HELD, _T.HOLD): (_S.HELD, _SYSTEM),
        (_S.PENDING, _T.SEND): (_S.SENDING, _SYSTEM),
        (_S.HELD, _T.SEND): (_S.SENDING, _SYSTEM),
        **{
            (waiting, step): (after, _SYSTEM)
            for waiting in (_S.PENDING, _S.HELD)
            for step, after in (
                (_T.SUPPRESS, _S.SUPPRESSED),
                (_T.EXPIRE, _S.EXPIRED),
                (_T.REPLACE, _S.REPLACED),
            )
        },
        **{(state, _T.ACCEPT): (_S.SENT, _SYSTEM) for state in _BEFORE_THE_PROVIDERS_WORD},
        **{(state, _T.DELIVER): (_S.DELIVERED, _SYSTEM) for state in (*_BEFORE_THE_PROVIDERS_WORD, _S.SENT)},
        **{(state, _T.FAIL): (_S.FAILED, _SYSTEM) for state in _MAY_FAIL},
        **{(state, _T.RETRY): (_S.PENDING, _SYSTEM) for state in _MAY_FAIL},
        (_S.SENDING, _T.LOSE): (_S.UNKNOWN, _SYSTEM),
        (_S.UNKNOWN, _T.HAND_OVER): (_S.UNRESOLVED, _SYSTEM),
        (_S.UNREAD, _T.READ): (_S.READ, _READERS),
        (_S.READ, _T.READ): (_S.READ, _READERS),
    },
)
