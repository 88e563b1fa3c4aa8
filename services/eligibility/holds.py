"""What must not be taken before a session, and for how long (DOMAIN 3.2): asked when a session begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.core.programme import Programme
from services.eligibility.medicine_names import read_names
from services.eligibility.medicines import MedicineClass, load_medicines


@dataclass(frozen=True, slots=True, repr=False)
class Hold:
    """One class that is held before a session. Clinical data: ``repr`` shows nothing.

    ``medicines`` are the names as given; one that is only nearly a listed name counts as what it may be.
    Either ``hours`` before the session or whole ``days_before`` the day of the session, which is held itself, counts;
    the other is None. ``rule`` is the eligibility rule of the class, ``setting`` where the time stands.
    ``may_continue`` says that the prescriber may let it be taken on, such as a benzodiazepine that is needed daily.
    ``of_everybody``: every patient is asked, and nobody lets it be taken on.
    """

    rule: str
    medicines: tuple[str, ...]
    setting: str
    hours: float | None
    days_before: int | None
    may_continue: bool
    of_everybody: bool

    def begins_at(self, session_at: datetime, zone: ZoneInfo) -> datetime:
        """From when nothing of it may be taken before a session at ``session_at`` (aware), by the days of ``zone``."""
        if self.hours is not None:
            return session_at - timedelta(hours=self.hours)
        day: date = session_at.astimezone(zone).date() - timedelta(days=self.days_before or 0)
        return datetime.combine(day, time(), tzinfo=zone).astimezone(session_at.tzinfo)

    def was_kept(self, last_taken_at: datetime | None, session_at: datetime, zone: ZoneInfo) -> bool:
        """Whether the last intake (aware; None when there was none) lies before the hold began."""
        return last_taken_at is None or last_taken_at <= self.begins_at(session_at, zone)


def holds(medicines: Iterable[str], programme: Programme) -> list[Hold]:
    """What of ``medicines`` (names as given) must be held before a session and for how long, in the table's order.

    A medicine that no class knows is not here: eligibility asked the prescriber about it.
    """
    return [each for each in holds_before_session(medicines, programme) if each.medicines]


def holds_before_session(medicines: Iterable[str], programme: Programme) -> list[Hold]:
    """What is asked before a session: the holds of ``medicines``, and those that concern everybody, listed or not."""
    named = _by_class(medicines, programme)
    held = (each for each in load_medicines() if each.setting is not None)
    return [
        _hold(each, named.get(each.name, ()), programme) for each in held if each.of_everybody or each.name in named
    ]


def _by_class(medicines: Iterable[str], programme: Programme) -> Mapping[str, Sequence[str]]:
    named: dict[str, list[str]] = {}
    for each in read_names(medicines):
        for name in each.possible_classes(programme):
            named.setdefault(name, []).append(each.given)
    return named


def _hold(of: MedicineClass, names: Iterable[str], programme: Programme) -> Hold:
    setting = of.setting or ""
    return Hold(
        rule=f"eligibility.medicine_{of.name}",
        medicines=tuple(names),
        setting=setting,
        hours=None if of.holds_by_day else programme.number(setting),
        days_before=programme.whole(setting) if of.holds_by_day else None,
        may_continue=of.may_continue,
        of_everybody=of.of_everybody,
    )
