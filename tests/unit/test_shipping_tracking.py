"""Following a parcel: what an event changes, in any order and any number, and what silence means (DOMAIN 8)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.findings import Severity
from services.core.programme import programme
from services.core.vocabulary import EventKind
from services.shipping import rules as shipping_rules
from services.shipping.rules import PERSON_ONLY, ParcelChange, ParcelFacts, silence
from services.shipping.statuses import TERMINAL, Scan, Stage, TrackerFacts, UnknownCarrierStatus

START = datetime(2026, 11, 16, 9, tzinfo=UTC)


def apply(parcel: ParcelFacts, each: TrackerFacts) -> ParcelChange | None:
    return shipping_rules.apply(parcel, each, programme())


def scan(status: str, hour: float | None = 0, detail: str | None = None) -> Scan:
    return Scan(status, detail, None if hour is None else START + timedelta(hours=hour))


def event(*scans: Scan, signed: bool = False) -> TrackerFacts:
    return TrackerFacts(tracker_id="trk_1", scans=scans, signed=signed)


def after(*events: TrackerFacts, parcel: ParcelFacts | None = None) -> ParcelFacts:
    """The parcel after events in their order of arrival."""
    parcel = parcel or ParcelFacts()
    for each in events:
        change = apply(parcel, each)
        parcel = change.after if change else parcel
    return parcel


def change(parcel: ParcelFacts, each: TrackerFacts) -> ParcelChange:
    found = apply(parcel, each)
    assert found is not None
    return found


def rules(found: ParcelChange) -> list[str]:
    return [finding.rule for finding in found.findings]


@pytest.mark.parametrize(
    ("status", "detail", "stage", "sent"),
    [
        ("pre_transit", "label_created", Stage.PRE_TRANSIT, ()),
        ("in_transit", None, Stage.IN_TRANSIT, (EventKind.SHIPMENT_IN_TRANSIT,)),
        ("out_for_delivery", None, Stage.OUT_FOR_DELIVERY, (EventKind.SHIPMENT_OUT_FOR_DELIVERY,)),
        ("in_transit", "held", Stage.DELAYED, (EventKind.SHIPMENT_DELAYED,)),
        ("in_transit", "address_correction", Stage.ADDRESS_PROBLEM, (EventKind.SHIPMENT_ADDRESS_PROBLEM,)),
        ("available_for_pickup", None, Stage.AVAILABLE_FOR_PICKUP, (EventKind.SHIPMENT_AWAITING_PICKUP,)),
        ("return_to_sender", None, Stage.RETURNED, (EventKind.SHIPMENT_RETURNED,)),
        ("failure", "refused", Stage.RETURNED, (EventKind.SHIPMENT_RETURNED,)),
        ("failure", "lost", Stage.LOST, (EventKind.SHIPMENT_LOST,)),
        ("failure", "damaged", Stage.DAMAGED, (EventKind.SHIPMENT_DAMAGED,)),
        ("failure", None, Stage.FAILED, (EventKind.SHIPMENT_FAILED,)),
        ("error", None, Stage.FAILED, (EventKind.SHIPMENT_FAILED,)),
        ("cancelled", None, Stage.CANCELLED, (EventKind.SHIPMENT_FAILED,)),
    ],
)  # fmt: skip
def test_an_event_moves_the_parcel_and_sends_on_what_follows(
    status: str, detail: str | None, stage: Stage, sent: tuple[EventKind, ...]
) -> None:
    found = change(ParcelFacts(), event(scan(status, 1, detail)))
    assert (found.after.stage, found.events, found.stage_changed) == (stage, sent, True)
    assert found.after.last_scan_at == START + timedelta(hours=1)
    assert found.after.seen == {Stage.REGISTERED, stage}


@pytest.mark.parametrize(
    ("status", "detail", "rule", "severity"),
    [
        ("in_transit", "held", "shipping.stage_delayed", Severity.INFORM),
        ("in_transit", "address_correction", "shipping.stage_address_problem", Severity.REVIEW),
        ("available_for_pickup", None, "shipping.stage_available_for_pickup", Severity.INFORM),
        ("return_to_sender", None, "shipping.stage_returned", Severity.STOP),
        ("failure", "lost", "shipping.stage_lost", Severity.STOP),
        ("failure", "damaged", "shipping.stage_damaged", Severity.STOP),
        ("failure", None, "shipping.stage_failed", Severity.REVIEW),
        ("cancelled", None, "shipping.stage_cancelled", Severity.REVIEW),
    ],
)
def test_what_the_carrier_says_is_a_finding(status: str, detail: str | None, rule: str, severity: Severity) -> None:
    (finding,) = change(ParcelFacts(), event(scan(status, 1, detail))).findings
    assert (finding.rule, finding.severity) == (rule, severity)


def test_a_delivery_signed_for_is_only_a_delivery() -> None:
    found = change(ParcelFacts(), event(scan("delivered", 1), signed=True))
    assert found.events == (EventKind.SHIPMENT_DELIVERED,)
    assert rules(found) == ["shipping.stage_delivered"]


def test_a_delivery_without_a_signer_goes_to_review() -> None:
    found = change(ParcelFacts(), event(scan("delivered", 1)))
    assert found.events == (EventKind.SHIPMENT_DELIVERED, EventKind.SHIPMENT_UNSIGNED)
    assert found.findings[-1].rule == "shipping.delivered_unsigned"
    assert (found.findings[-1].severity, found.findings[-1].inputs) == (Severity.REVIEW, {"signed": False})


def test_a_signer_named_later_is_taken_in_without_another_delivery() -> None:
    delivered = after(event(scan("delivered", 1)))
    found = change(delivered, event(scan("delivered", 1), signed=True))
    assert (found.after.signed, found.stage_changed, found.events) == (True, False, ())


def test_the_same_event_again_changes_nothing() -> None:
    for each in (event(scan("in_transit", 1)), event(scan("delivered", 1)), event(scan("unknown", None))):
        assert apply(after(each), each) is None


def test_a_repeat_changes_nothing_even_where_its_first_arrival_left_no_trace() -> None:
    parcel = ParcelFacts(stage=Stage.IN_TRANSIT, last_scan_at=START)
    assert apply(parcel, event(scan("in_transit", 0))) is None


def test_a_repeat_of_the_last_scan_does_not_revive_a_parcel_lost_in_silence() -> None:
    assert apply(ParcelFacts(stage=Stage.LOST, last_scan_at=START), event(scan("in_transit", 0))) is None


def test_a_stale_event_changes_nothing() -> None:
    assert apply(after(event(scan("out_for_delivery", 2))), event(scan("in_transit", 1))) is None


def test_a_newer_scan_of_the_same_stage_only_moves_its_time() -> None:
    found = change(after(event(scan("in_transit", 1))), event(scan("in_transit", 5)))
    assert (found.stage_changed, found.events, found.findings) == (False, (), ())
    assert found.after.last_scan_at == START + timedelta(hours=5)


def test_a_stage_entered_again_tells_the_patient_on_the_way_once_only() -> None:
    moving = after(event(scan("in_transit", 1)), event(scan("in_transit", 2, "held")))
    assert change(moving, event(scan("in_transit", 3))).events == ()
    held_again = after(event(scan("in_transit", 3)), parcel=moving)
    assert change(held_again, event(scan("in_transit", 4, "held"))).events == (EventKind.SHIPMENT_DELAYED,)


@pytest.mark.parametrize(
    ("scans", "stage"),
    [
        ([scan("in_transit", 1), scan("out_for_delivery", 2)], Stage.OUT_FOR_DELIVERY),
        ([scan("out_for_delivery", 2), scan("in_transit", 1)], Stage.OUT_FOR_DELIVERY),
        ([scan("out_for_delivery", None), scan("in_transit", 1)], Stage.IN_TRANSIT),
        ([scan("in_transit", 1), scan("unknown", 2)], Stage.IN_TRANSIT),
    ],
)
def test_the_newest_of_a_history_that_says_anything_wins(scans: list[Scan], stage: Stage) -> None:
    assert after(event(*scans)).stage is stage


def test_an_end_without_a_time_is_the_first_end() -> None:
    found = change(ParcelFacts(), event(scan("return_to_sender", 1), scan("delivered", None)))
    assert (found.after.stage, found.after.contradicted) == (Stage.DELIVERED, True)


def test_a_delivery_wins_over_a_later_scan_of_an_earlier_place() -> None:
    late = event(scan("in_transit", 5))
    assert after(late, event(scan("delivered", 3))).stage is Stage.DELIVERED
    assert apply(after(event(scan("delivered", 3))), late) is None


@pytest.mark.parametrize("ending", ["delivered", "return_to_sender", "cancelled"])
@pytest.mark.parametrize("later", ["in_transit", "pre_transit", "out_for_delivery", "unknown"])
def test_a_terminal_stage_is_kept(ending: str, later: str) -> None:
    assert apply(after(event(scan(ending, 1), signed=True)), event(scan(later, 2))) is None


@pytest.mark.parametrize(("status", "detail"), [("return_to_sender", None), ("failure", "lost"), ("cancelled", None)])
def test_a_second_end_goes_to_a_person_once_and_changes_no_stage(status: str, detail: str | None) -> None:
    delivered = after(event(scan("delivered", 1), signed=True))
    second = event(scan(status, 2, detail))
    found = change(delivered, second)
    assert found.after.stage is Stage.DELIVERED
    assert rules(found) == ["shipping.end_contradicted"]
    assert found.events == (EventKind.SHIPMENT_FAILED,)
    assert apply(found.after, second) is None


def test_a_return_that_reaches_the_sender_stays_a_return() -> None:
    way_back = event(scan("return_to_sender", 1), scan("delivered", 9), scan("delivered", 9))
    assert after(way_back).stage is Stage.RETURNED


def test_a_history_with_two_ends_takes_the_earlier_and_goes_to_a_person() -> None:
    found = change(ParcelFacts(), event(scan("delivered", 9), scan("return_to_sender", 1), scan("delivered", 9)))
    assert found.after.stage is Stage.RETURNED
    assert "shipping.end_contradicted" in rules(found)


def test_a_history_that_fails_and_contradicts_itself_is_sent_on_once() -> None:
    found = change(ParcelFacts(), event(scan("cancelled", 1), scan("return_to_sender", 2)))
    assert rules(found) == ["shipping.stage_cancelled", "shipping.end_contradicted"]
    assert found.events == (EventKind.SHIPMENT_FAILED,)


def test_a_signer_named_after_a_contradiction_does_not_repeat_it() -> None:
    contradicted = after(event(scan("delivered", 1)), event(scan("return_to_sender", 2)))
    found = change(contradicted, event(scan("delivered", 1), signed=True))
    assert (found.events, found.findings) == ((), ())


def test_a_lost_parcel_that_moves_again_goes_to_a_person() -> None:
    lost = after(event(scan("in_transit", 1)), event(scan("failure", 2, "lost")))
    assert rules(change(lost, event(scan("in_transit", 3)))) == ["shipping.end_contradicted"]
    assert apply(lost, event(scan("in_transit", 1))) is None


def test_only_delivered_has_ways_out_and_only_for_a_person() -> None:
    assert dict(PERSON_ONLY) == {Stage.DELIVERED: {Stage.RETURNED, Stage.LOST}}


def test_damage_is_never_forgotten() -> None:
    damaged = after(event(scan("in_transit", 1, "damaged")))
    arrived = change(damaged, event(scan("delivered", 2), signed=True))
    assert arrived.after.damage_reported
    assert "shipping.damage_on_the_way" in rules(arrived)
    assert arrived.events == (EventKind.SHIPMENT_DELIVERED,)
    assert after(event(scan("in_transit", 1, "damaged"), scan("in_transit", 2))).damage_reported


def test_a_signer_named_after_a_damaged_delivery_does_not_repeat_the_damage() -> None:
    arrived = after(event(scan("in_transit", 1, "damaged")), event(scan("delivered", 2)))
    assert change(arrived, event(scan("delivered", 2), signed=True)).findings == ()


def test_damage_in_a_late_event_still_counts_after_the_delivery() -> None:
    delivered = after(event(scan("delivered", 2), signed=True))
    found = change(delivered, event(scan("in_transit", 1, "damaged")))
    assert (found.after.stage, found.events) == (Stage.DELIVERED, (EventKind.SHIPMENT_DAMAGED,))
    assert (found.findings[0].severity, found.findings[0].inputs) == (Severity.STOP, {"damage_reported": True})


def test_an_unknown_status_is_loud_when_new_and_silent_in_the_past() -> None:
    with pytest.raises(UnknownCarrierStatus):
        apply(ParcelFacts(), event(scan("in_transit", 1), scan("teleported", 2)))
    assert after(event(scan("teleported", 1), scan("delivered", 2))).stage is Stage.DELIVERED


def test_an_unknown_detail_keeps_the_stage_of_its_status_and_is_reviewed() -> None:
    found = change(ParcelFacts(), event(scan("in_transit", 1, "abducted")))
    assert found.after.stage is Stage.IN_TRANSIT
    assert rules(found) == ["shipping.unknown_status_detail"]
    later = change(ParcelFacts(), event(scan("in_transit", 1), scan("in_transit", 2, "abducted")))
    assert [finding.inputs for finding in later.findings] == [{"detail": "abducted"}]


def test_an_unknown_detail_is_reviewed_only_where_it_is_the_newest_and_moves_the_parcel() -> None:
    assert rules(change(ParcelFacts(), event(scan("in_transit", 1, "abducted"), scan("in_transit", 2)))) == []
    delivered = after(event(scan("delivered", 1)))
    assert rules(change(delivered, event(scan("delivered", 1, "abducted"), signed=True))) == []


def test_unknown_says_nothing_about_a_parcel_already_seen() -> None:
    first = change(ParcelFacts(), event(scan("unknown", 1)))
    assert (first.after.stage, first.stage_changed) == (Stage.UNKNOWN, True)
    assert apply(after(event(scan("in_transit", 1))), event(scan("unknown", 2))) is None
    assert after(event(scan("unknown", 3)), event(scan("in_transit", 1))).stage is Stage.IN_TRANSIT


ON_THE_WAY = st.sampled_from(
    [
        ("pre_transit", None),
        ("in_transit", None),
        ("out_for_delivery", None),
        ("in_transit", "delayed"),
        ("unknown", None),
        ("available_for_pickup", None),
        ("failure", None),
        ("in_transit", "damaged"),
        ("in_transit", "awaiting_information"),
    ]
)
ENDINGS = st.sampled_from([("delivered", None), ("return_to_sender", None), ("failure", "lost"), ("cancelled", None)])


@st.composite
def separate_events(draw: st.DrawFn) -> list[TrackerFacts]:
    """Events of single scans with any times, equal ones too; at most one kind of end among them."""
    words = draw(st.lists(ON_THE_WAY, min_size=1, max_size=6))
    if draw(st.booleans()):
        words += [draw(ENDINGS)]
    hours = st.one_of(st.none(), st.integers(min_value=0, max_value=5))
    return [event(scan(status, draw(hours), detail), signed=draw(st.booleans())) for status, detail in words]


@st.composite
def growing_histories(draw: st.DrawFn) -> list[TrackerFacts]:
    """Events as EasyPost sends them: each holds the whole history so far; several ends may follow each other."""
    words = draw(st.lists(st.one_of(ON_THE_WAY, ENDINGS), min_size=1, max_size=6))
    scans = [scan(status, hour, detail) for hour, (status, detail) in enumerate(words)]
    return [event(*scans[: count + 1]) for count in range(len(scans))]


@given(st.data(), st.one_of(separate_events(), growing_histories()))
def test_any_order_and_any_repetition_of_events_gives_the_same_end(
    data: st.DataObject, events: list[TrackerFacts]
) -> None:
    repeated = events + data.draw(st.lists(st.sampled_from(events), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    expected, found = after(*events), after(*shuffled)
    assert (found.stage, found.signed, found.damage_reported) == (
        expected.stage,
        expected.signed,
        expected.damage_reported,
    )
    if expected.stage not in TERMINAL:
        assert found.last_scan_at == expected.last_scan_at


@given(st.one_of(separate_events(), growing_histories()))
def test_a_parcel_that_took_in_all_events_takes_in_none_again(events: list[TrackerFacts]) -> None:
    parcel = after(*events)
    assert [apply(parcel, each) for each in events] == [None] * len(events)


@given(growing_histories())
def test_no_stage_is_announced_while_the_parcel_is_in_it(events: list[TrackerFacts]) -> None:
    parcel = ParcelFacts()
    for each in events:
        found = apply(parcel, each)
        if found is None:
            continue
        assert found.stage_changed or EventKind.SHIPMENT_DELIVERED not in found.events
        assert parcel.stage not in TERMINAL or found.after.stage is parcel.stage
        parcel = found.after


NEW_YORK = ZoneInfo("America/New_York")


def at(day: int, month: int = 11) -> datetime:
    return datetime.combine(date(2026, month, day), datetime.min.time(), NEW_YORK) + timedelta(hours=12)


def quiet(parcel: ParcelFacts, now: datetime, registered_at: datetime | None = None) -> ParcelChange | None:
    return silence(parcel, registered_at or at(16), now, NEW_YORK, programme())


@pytest.mark.parametrize("stage", [Stage.REGISTERED, Stage.UNKNOWN, Stage.PRE_TRANSIT])
@pytest.mark.parametrize(
    ("registered_day", "today", "told"),
    [(16, 18, False), (16, 19, True), (19, 23, False), (19, 24, True), (24, 27, False), (24, 30, True)],
)
def test_a_label_without_a_scan_for_more_than_two_business_days_is_a_pharmacy_task(
    stage: Stage, registered_day: int, today: int, told: bool
) -> None:
    # 2026-11-16 is a Monday, the 26th is Thanksgiving.
    found = quiet(ParcelFacts(stage=stage), at(today), at(registered_day))
    assert (found is not None) is told
    if found:
        assert (found.events, found.after) == ((EventKind.SHIPMENT_UNSCANNED,), found.before)
        assert rules(found) == ["shipping.label_unscanned"]


@pytest.mark.parametrize("stage", [Stage.IN_TRANSIT, Stage.OUT_FOR_DELIVERY, Stage.ADDRESS_PROBLEM, Stage.FAILED])
@pytest.mark.parametrize(("today", "delayed"), [(18, False), (19, True)])
def test_no_scan_for_three_business_days_is_a_delay(stage: Stage, today: int, delayed: bool) -> None:
    found = quiet(ParcelFacts(stage=stage, last_scan_at=at(16)), at(today))
    assert (found is not None) is delayed
    if found:
        assert (found.after.stage, found.events) == (Stage.DELAYED, (EventKind.SHIPMENT_DELAYED,))
        assert "shipping.no_scan" in rules(found)
        assert found.after.seen == {stage, Stage.DELAYED}
        assert quiet(found.after, at(today)) is None


@pytest.mark.parametrize("stage", [Stage.DELAYED, Stage.PRE_TRANSIT, Stage.DAMAGED])
@pytest.mark.parametrize(("today", "lost"), [(22, False), (23, True)])
def test_no_scan_for_seven_days_is_a_loss(stage: Stage, today: int, lost: bool) -> None:
    found = quiet(ParcelFacts(stage=stage, last_scan_at=at(16)), at(today))
    assert (found is not None and found.after.stage is Stage.LOST) is lost
    if lost and found:
        assert found.events == (EventKind.SHIPMENT_LOST,)
        assert found.findings[-1].setting == "shipping.silent_days_until_lost"
        assert quiet(found.after, at(30)) is None


@pytest.mark.parametrize("stage", sorted([*TERMINAL, Stage.AVAILABLE_FOR_PICKUP]))
def test_a_parcel_that_ended_or_waits_is_not_silent(stage: Stage) -> None:
    assert quiet(ParcelFacts(stage=stage, last_scan_at=at(2)), at(30)) is None


def test_days_are_the_pharmacys() -> None:
    late = datetime(2026, 11, 17, 3, tzinfo=UTC)  # still the 16th in New York
    assert quiet(ParcelFacts(stage=Stage.IN_TRANSIT, last_scan_at=late), at(19)) is not None


def test_silence_begins_with_the_last_scan_however_long_ago_the_parcel_was_registered() -> None:
    assert quiet(ParcelFacts(stage=Stage.IN_TRANSIT, last_scan_at=at(16)), at(18), registered_at=at(2)) is None


def test_a_scan_ends_a_delay_that_silence_began() -> None:
    silent = quiet(ParcelFacts(stage=Stage.IN_TRANSIT, last_scan_at=START), at(20))
    assert silent is not None
    assert after(event(scan("in_transit", 200)), parcel=silent.after).stage is Stage.IN_TRANSIT
