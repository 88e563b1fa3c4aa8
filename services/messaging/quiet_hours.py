"""When a text may arrive: 08:00-21:00 where the recipient is, in some states 20:00 (DOMAIN 7); else held or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import Programme
from services.messaging.caps import Purpose
from services.people.zones import read_zone, zones_of_state


class Release(StrEnum):
    """What to do with a text that is ready."""

    SEND = "send"
    HOLD = "hold"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a text and why. ``at`` (aware, UTC) is when it may go: now, later, or ``None`` when dropped."""

    release: Release
    at: datetime | None
    rule: str
    reason: str


def next_allowed(moment: datetime, zone: str | None, programme: Programme, state: str | None = None) -> datetime:
    """The first moment from ``moment`` on (aware) outside quiet hours, in UTC; ``moment`` itself when it is allowed.

    The day opens at ``sms.quiet_hours.start_hour`` and closes just before ``end_hour`` (``early_end_hour`` in the
    states that the programme lists), by the wall clock of ``zone``, so a change of clocks is followed. Without
    ``zone`` every zone of ``state`` must allow it. Raises ``InvalidInput`` when both are missing or one is unknown,
    ``InvalidConfiguration`` when the settings leave no hour.
    """
    if zone is not None:
        names: tuple[str, ...] = (zone,)
    elif state is not None:
        names = zones_of_state(state)
    else:
        raise InvalidInput("Quiet hours need the person's time zone or state.", field="zone")
    zones = [read_zone(name) for name in names]
    opens, closes = _hours(programme, state)
    found = moment.astimezone(UTC)
    # Each pass moves forward to where one more zone allows it; four passes settle zones less than a day's window apart.
    for _ in range(4):
        latest = max(_next_in_zone(found, each, opens, closes) for each in zones)
        if latest == found:
            return found
        found = latest
    raise InvalidConfiguration("The quiet hours of this programme leave no hour that all zones of a state share.")


def _hours(programme: Programme, state: str | None) -> tuple[int, int]:
    early = state is not None and state in programme.choices("sms.quiet_hours.early_end_states")
    opens = programme.whole("sms.quiet_hours.start_hour")
    closes = programme.whole("sms.quiet_hours.early_end_hour" if early else "sms.quiet_hours.end_hour")
    if not 0 <= opens < closes <= 24:
        raise InvalidConfiguration("The quiet hours of this programme must start before they end, within one day.")
    return opens, closes


def _next_in_zone(moment: datetime, zone: ZoneInfo, opens: int, closes: int) -> datetime:
    local = moment.astimezone(zone)
    if opens <= local.hour < closes:
        return moment
    day = local.date() if local.hour < opens else local.date() + timedelta(days=1)
    return datetime.combine(day, time(opens), zone).astimezone(UTC)


def plan_release(
    now: datetime,
    expires_at: datetime,
    purpose: Purpose,
    programme: Programme,
    *,
    zone: str | None,
    state: str | None = None,
    not_before: datetime | None = None,
) -> Plan:
    """Send now, hold until a moment, or drop. ``not_before`` is where the caps (``Decision.next_at``) let it go.

    A text that could only go at or after ``expires_at`` is dropped: late news misleads. Purposes listed in
    ``sms.quiet_hours.bypass`` ignore the hours, not the expiry. Raises what ``next_allowed`` raises.
    """
    earliest = max(now, not_before) if not_before is not None else now
    bypassed = purpose in programme.choices("sms.quiet_hours.bypass")
    allowed = earliest if bypassed else next_allowed(earliest, zone, programme, state)
    if allowed >= expires_at:
        return Plan(Release.DROP, None, "sms.expired", "The text expires before it may be sent.")
    if allowed > now:
        rule = "sms.quiet_hours" if allowed > earliest else "sms.caps"
        return Plan(Release.HOLD, allowed.astimezone(UTC), rule, "The text waits until it is allowed.")
    if bypassed:
        reason = f"A {purpose.value} text does not wait for the morning."
        return Plan(Release.SEND, now, "sms.quiet_hours.bypass", reason)
    return Plan(Release.SEND, now, "sms.quiet_hours", "The recipient's day is open.")
