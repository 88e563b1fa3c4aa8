"""Rules of following a parcel: what a carrier's event changes, and what its silence means (DOMAIN 8).

Events come at least once and out of order. The stage that results depends on what was reported and when, not on the
order of arrival:

- among reports on the way the newest wins, and of two with the same time the later stage of a parcel's life;
- a terminal report wins whenever it arrives, because carriers send late scans of earlier places after a delivery;
- within one tracker's history the first terminal report wins, and a parcel that is terminal here stays so. A second,
  different one is put in front of a person: only a person moves a parcel from delivered to returned or lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Any

from services.core.business_days import business_days_between
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.core.vocabulary import EventKind
from services.shipping.statuses import TERMINAL, Scan, Stage, TrackerFacts, UnknownCarrierStatus, status_map

PERSON_ONLY: Mapping[Stage, frozenset[Stage]] = MappingProxyType(
    {Stage.DELIVERED: frozenset({Stage.RETURNED, Stage.LOST})}
)
"""The moves out of a terminal stage; each takes a person with a reason."""

_SAID = "The carrier said so: there is nothing to compare with."


STAGES: Mapping[Stage, Rule] = MappingProxyType(
    {
        Stage.DELAYED: declare(
            "shipping.stage_delayed",
            Severity.INFORM,
            "DOMAIN 8",
            "The parcel is delayed: patient and therapist are told, and the session date needs another look.",
            fixed=_SAID,
        ),
        Stage.ADDRESS_PROBLEM: declare(
            "shipping.stage_address_problem",
            Severity.REVIEW,
            "DOMAIN 8",
            "The carrier has a question about the address: contact the patient; the pharmacy verifies the address.",
            fixed=_SAID,
        ),
        Stage.AVAILABLE_FOR_PICKUP: declare(
            "shipping.stage_available_for_pickup",
            Severity.INFORM,
            "DOMAIN 8",
            "The parcel waits to be picked up: the patient is told by when; on the third day it escalates.",
            setting="shipping.tracking.pickup_kept_days",
        ),
        Stage.DELIVERED: declare(
            "shipping.stage_delivered",
            Severity.INFORM,
            "DOMAIN 8",
            "The carrier delivered the parcel: no dosing before the patient has confirmed receipt, count and seal.",
            fixed=_SAID,
        ),
        Stage.RETURNED: declare(
            "shipping.stage_returned",
            Severity.STOP,
            "DOMAIN 8",
            "The parcel goes back: no session; the pharmacy quarantines it; the prescriber decides; "
            "nothing is resent by itself.",
            fixed=_SAID,
        ),
        Stage.DAMAGED: declare(
            "shipping.stage_damaged",
            Severity.STOP,
            "DOMAIN 8",
            "The parcel is damaged: do not take what is in it; pharmacy and prescriber decide.",
            fixed=_SAID,
        ),
        Stage.LOST: declare(
            "shipping.stage_lost",
            Severity.STOP,
            "DOMAIN 8, 21 CFR 1301.76(b)",
            "The parcel is lost: pharmacy at once; both loss timers run; "
            "the prescriber decides after a new PDMP check.",
            fixed=_SAID,
        ),
        Stage.FAILED: declare(
            "shipping.stage_failed",
            Severity.REVIEW,
            "DOMAIN 8",
            "The carrier reports a failure: somebody must look the same day.",
            fixed=_SAID,
        ),
        Stage.CANCELLED: declare(
            "shipping.stage_cancelled",
            Severity.REVIEW,
            "DOMAIN 8",
            "The carrier cancelled the parcel: somebody must look the same day.",
            fixed=_SAID,
        ),
    }
)
"""What a person reads when a parcel enters a stage; the other stages are nobody's work."""

LABEL_UNSCANNED = declare(
    "shipping.label_unscanned",
    Severity.REVIEW,
    "DOMAIN 8",
    "The parcel has a label and no scan: the pharmacy checks whether it left.",
    setting="shipping.unscanned_label_business_days",
)
NO_SCAN = declare(
    "shipping.no_scan",
    Severity.REVIEW,
    "DOMAIN 8",
    "The carrier has not scanned the parcel for too long.",
    setting="shipping.silent_business_days",
)
UNKNOWN_DETAIL = declare(
    "shipping.unknown_status_detail",
    Severity.REVIEW,
    "DOMAIN 8",
    "The carrier used an unknown detail.",
    fixed="The details we know stand in statuses.toml.",
)
DELIVERED_UNSIGNED = declare(
    "shipping.delivered_unsigned",
    Severity.REVIEW,
    "DOMAIN 8",
    "The carrier delivered the parcel and names nobody who signed for it.",
    fixed=_SAID,
)
DAMAGE_ON_THE_WAY = declare(
    "shipping.damage_on_the_way",
    Severity.STOP,
    "DOMAIN 8",
    "The carrier reported damage on the way: do not take what is in the parcel; pharmacy and prescriber decide.",
    fixed=_SAID,
)
END_CONTRADICTED = declare(
    "shipping.end_contradicted",
    Severity.REVIEW,
    "DOMAIN 8",
    "The carrier contradicts the recorded end of this parcel; a person decides where it is.",
    fixed=_SAID,
)

_RANK = {stage: rank for rank, stage in enumerate(Stage)}
_SAYS_NOTHING = frozenset({Stage.REGISTERED, Stage.UNKNOWN})
_NOT_HANDED_OVER = frozenset({Stage.REGISTERED, Stage.UNKNOWN, Stage.PRE_TRANSIT})
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelFacts:
    """What is known of a parcel: its stage, the time of the scan that decided it, and what was ever reported.

    ``seen`` are the stages it has been in. ``signed``, ``damage_reported`` and ``contradicted`` never become false
    again.
    """

    stage: Stage = Stage.REGISTERED
    last_scan_at: datetime | None = None
    seen: frozenset[Stage] = frozenset()
    signed: bool = False
    damage_reported: bool = False
    contradicted: bool = False


@dataclass(frozen=True, slots=True)
class ParcelChange:
    """What an event or a silence makes of a parcel: the facts after it, events to send on, findings to show."""

    before: ParcelFacts
    after: ParcelFacts
    events: tuple[EventKind, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def stage_changed(self) -> bool:
        """Whether the parcel is in another stage than before."""
        return self.before.stage is not self.after.stage


@dataclass(slots=True)
class _Consequences:
    """Events and findings, gathered in order and without repeats."""

    events: list[EventKind] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, event: EventKind | None, finding: Finding | None = None) -> None:
        if event is not None and event not in self.events:
            self.events.append(event)
        if finding is not None:
            self.findings.append(finding)


def apply(current: ParcelFacts, event: TrackerFacts, programme: Programme) -> ParcelChange | None:
    """What a tracker event changes; ``None`` when it is repeated, stale or says nothing new.

    Raises ``UnknownCarrierStatus`` when the tracker's own status is not in ``statuses.toml``.
    """
    stage, at, contradicted = _verdict(event.scans)
    moves = _moves(current, stage, at)
    after = ParcelFacts(
        stage=stage if moves else current.stage,
        last_scan_at=_latest(current.last_scan_at, at) if moves else current.last_scan_at,
        seen=current.seen | {current.stage, stage} if moves else current.seen,
        signed=current.signed or event.signed,
        damage_reported=current.damage_reported or any(_stage(scan) is Stage.DAMAGED for scan in event.scans),
        contradicted=current.contradicted or contradicted or _contradicts(current, stage, at),
    )
    if after == current:
        return None
    gathered = _consequences(current, after, programme)
    if moves and not status_map().knows_detail(event.scans[-1].detail):
        gathered.add(None, UNKNOWN_DETAIL.finding(detail=event.scans[-1].detail))
    return ParcelChange(current, after, tuple(gathered.events), tuple(gathered.findings))


def silence(
    current: ParcelFacts,
    registered_at: datetime,
    now: datetime,
    zone: tzinfo,
    programme: Programme,
    state: str | None = None,
) -> ParcelChange | None:
    """What it means that the carrier has not scanned a parcel for a while; ``None`` when nothing follows.

    Days are counted in ``zone``, working days by the calendar of ``state``, both the pharmacy's. A parcel waiting to be
    picked up is not silent. Before the first scan the change keeps the stage and repeats on every call: keep one open
    task per parcel.
    """
    if current.stage in TERMINAL or current.stage is Stage.AVAILABLE_FOR_PICKUP:
        return None
    since = (current.last_scan_at or registered_at).astimezone(zone).date()
    today = now.astimezone(zone).date()
    if (today - since).days >= programme.whole("shipping.silent_days_until_lost"):
        days = {"days": (today - since).days}
        return _silent(current, Stage.LOST, "shipping.silent_days_until_lost", days, programme)
    working_days = business_days_between(since, today, state)
    if current.stage in _NOT_HANDED_OVER:
        if working_days <= programme.whole("shipping.unscanned_label_business_days"):
            return None
        finding = LABEL_UNSCANNED.finding(programme, working_days=working_days)
        return ParcelChange(current, current, (EventKind.SHIPMENT_UNSCANNED,), (finding,))
    setting = "shipping.silent_business_days"
    if current.stage is Stage.DELAYED or working_days < programme.whole(setting):
        return None
    return _silent(current, Stage.DELAYED, setting, {"working_days": working_days}, programme)


def _silent(
    current: ParcelFacts, stage: Stage, setting: str, silent_for: Mapping[str, Any], programme: Programme
) -> ParcelChange:
    """The parcel enters a stage because nothing was heard of it."""
    after = ParcelFacts(
        stage=stage,
        last_scan_at=current.last_scan_at,
        seen=current.seen | {current.stage, stage},
        signed=current.signed,
        damage_reported=current.damage_reported,
        contradicted=current.contradicted,
    )
    gathered = _consequences(current, after, programme)
    gathered.add(None, NO_SCAN.finding(programme, setting=setting, **silent_for))
    return ParcelChange(current, after, tuple(gathered.events), tuple(gathered.findings))


def _verdict(scans: Iterable[Scan]) -> tuple[Stage, datetime | None, bool]:
    """One tracker's history read in time: the stage, when it was reached, and whether it contradicts itself."""
    *history, last = scans
    # An unknown status in the past was loud when it was the newest; here it must not hold up a delivery.
    known = [(scan, stage) for scan in history if (stage := _stage(scan)) is not None]
    known.append((last, status_map().stage_of(last.status, last.detail)))
    known.sort(key=lambda pair: pair[0].at or _NEVER)
    endings = [(scan, stage) for scan, stage in known if stage in TERMINAL]
    if endings:
        scan, stage = endings[0]
        return stage, scan.at, any(other is not stage for _, other in endings)
    scan, stage = max(known, key=lambda pair: _order(pair[1], pair[0].at))
    return stage, None if stage in _SAYS_NOTHING else scan.at, False


def _stage(scan: Scan) -> Stage | None:
    try:
        return status_map().stage_of(scan.status, scan.detail)
    except UnknownCarrierStatus:
        return None


def _order(stage: Stage, at: datetime | None) -> tuple[bool, datetime, int]:
    """What wins on the way: something over nothing said, then the newer, then the later stage."""
    return stage not in _SAYS_NOTHING, at or _NEVER, _RANK[stage]


def _moves(current: ParcelFacts, stage: Stage, at: datetime | None) -> bool:
    if current.stage in TERMINAL:
        return False
    return stage in TERMINAL or _order(stage, at) > _order(current.stage, current.last_scan_at)


def _contradicts(current: ParcelFacts, stage: Stage, at: datetime | None) -> bool:
    """Whether a report speaks against the end already recorded: another end, or life in a lost parcel."""
    if current.stage not in TERMINAL or stage is current.stage:
        return False
    revived = current.stage is Stage.LOST and (at or _NEVER) > (current.last_scan_at or _NEVER)
    return stage in TERMINAL or revived


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _consequences(before: ParcelFacts, after: ParcelFacts, programme: Programme) -> _Consequences:
    gathered = _Consequences()
    if after.stage is not before.stage:
        calling = status_map().callings[after.stage]
        said_before = calling.once and after.stage in before.seen
        rule = STAGES.get(after.stage)
        gathered.add(
            None if said_before else calling.event, rule.finding(programme, stage=after.stage.value) if rule else None
        )
        if after.stage is Stage.DELIVERED and not after.signed:
            gathered.add(EventKind.SHIPMENT_UNSIGNED, DELIVERED_UNSIGNED.finding(signed=False))
    newly_damaged = after.damage_reported and not before.damage_reported and after.stage is not Stage.DAMAGED
    arrives_damaged = after.damage_reported and after.stage is Stage.DELIVERED and before.stage is not after.stage
    if newly_damaged or arrives_damaged:
        event = EventKind.SHIPMENT_DAMAGED if newly_damaged else None
        gathered.add(event, DAMAGE_ON_THE_WAY.finding(damage_reported=True))
    if after.contradicted and not before.contradicted:
        gathered.add(EventKind.SHIPMENT_FAILED, END_CONTRADICTED.finding(recorded=after.stage.value))
    return gathered
