"""How many texts a patient may get: one in any 24 hours, three in any 7 days (DOMAIN 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.core.programme import Programme

SOURCE = "DOMAIN 7"


class Purpose(StrEnum):
    """Why a text is sent. Only ``care`` is rationed; which of the others go past the limits is a setting."""

    CARE = "care"
    SAFETY = "safety"
    REPLY = "reply"
    CODE = "code"
    ANSWER = "answer"


BYPASS_REASONS = {
    Purpose.CARE: "The programme lets texts about care pass the limits.",
    Purpose.SAFETY: "A safety message is never held back by the limits.",
    Purpose.REPLY: "An answer to the patient's own text is never held back by the limits.",
    Purpose.ANSWER: "Somebody's answer to the patient's own question is never held back by the limits.",
    Purpose.CODE: "The patient asked for this sign-in code just now.",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a text may go now.

    ``rule`` is the id of the rule that decided, ``reason`` a sentence to record, ``bypassed`` tells that the limits
    were not applied. ``next_at`` is the first moment the limits allow (``now`` when allowed, ``None`` when they never
    will).
    """

    allowed: bool
    rule: str
    reason: str
    next_at: datetime | None
    bypassed: bool = False


def may_send(now: datetime, sent_at: Sequence[datetime], purpose: Purpose, programme: Programme) -> Decision:
    """Decide over the rolling limits; a text sent exactly 24 hours (7 days) ago no longer counts.

    ``sent_at`` holds when rationed texts (those that did not bypass) were sent to this patient, in any order, aware;
    give at least the last 7 days. Texts whose fate is unknown count: they may have arrived.
    """
    if purpose in programme.choices("sms.caps.bypass"):
        return Decision(True, "sms.caps.bypass", BYPASS_REASONS[purpose], now, bypassed=True)
    waits: list[tuple[str, datetime | None, str]] = []
    for setting, window, words in (
        ("sms.caps.per_24_hours", timedelta(hours=24), "24 hours"),
        ("sms.caps.per_7_days", timedelta(days=7), "7 days"),
    ):
        limit = programme.whole(setting)
        counted = sorted(moment for moment in sent_at if moment > now - window)
        if len(counted) >= limit:
            free_at = counted[-limit] + window if limit > 0 else None
            reason = f"The patient already got {len(counted)} text(s) in the last {words}; at most {limit} are allowed."
            waits.append((setting, free_at, reason))
    if not waits:
        return Decision(True, "sms.caps", "The limits leave room for this text.", now)
    rule, next_at, reason = max(waits, key=lambda wait: (wait[1] is None, wait[1] or now))
    return Decision(False, rule, reason, next_at)
