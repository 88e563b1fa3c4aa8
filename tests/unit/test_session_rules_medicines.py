"""Medicines and transport before a session: held, reconciled, counted; each rule on both sides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from services.core.findings import Finding, Severity
from services.core.programme import programme, shipped
from services.eligibility.holds import holds, holds_before_session
from services.sessions.medicine_rules import Intake, Reconciled, hold_findings, reconciliation_findings
from services.sessions.places import Site
from services.sessions.transport_rules import Arrived, Carried, is_brought, transport_findings
from tests.factories_programmes import changed

ZONE = ZoneInfo("America/Los_Angeles")
NOON = datetime(2026, 11, 20, 12, tzinfo=ZONE).astimezone(UTC)
BENZODIAZEPINES, STIMULANTS = "eligibility.medicine_benzodiazepines", "eligibility.medicine_adhd_stimulants"
ALCOHOL_AND_THC = "eligibility.medicine_alcohol_and_thc"


def ids(found: list[Finding]) -> list[str]:
    assert all(each.severity is Severity.STOP for each in found)
    return [each.rule for each in found]


def ago(**units: float) -> Intake:
    return Intake(last_taken_at=NOON - timedelta(**units))


@pytest.mark.parametrize(
    ("medicine", "intakes", "expected"),
    [
        ("sertraline", {}, []),
        ("lorazepam", {}, ["sessions.hold_unanswered"]),
        ("lorazepam", {STIMULANTS: Intake(last_taken_at=None)}, ["sessions.hold_unanswered"]),
        ("lorazepam", {BENZODIAZEPINES: Intake(last_taken_at=None)}, []),
        ("lorazepam", {BENZODIAZEPINES: ago(hours=24)}, []),
        ("lorazepam", {BENZODIAZEPINES: ago(hours=23, minutes=59)}, ["sessions.medicine_not_held"]),
        ("adderall", {STIMULANTS: ago(hours=36)}, []),
        ("adderall", {STIMULANTS: ago(hours=35, minutes=59)}, ["sessions.medicine_not_held"]),
    ],
)
def test_what_is_held_before_a_session_was_held(medicine: str, intakes: dict[str, Intake], expected: list[str]) -> None:
    found = hold_findings(holds([medicine], programme()), intakes, (), NOON, ZONE, programme())
    assert ids(found) == expected


def test_a_finding_names_the_hold_of_its_class() -> None:
    (found,) = hold_findings(holds(["adderall"], programme()), {}, (), NOON, ZONE, programme())
    assert (found.setting, found.value) == ("eligibility.medicines.stimulant_hold_days_before", 1)
    longer = changed({"eligibility.medicines.stimulant_hold_days_before": 2})
    late = {STIMULANTS: ago(hours=36)}
    assert ids(hold_findings(holds(["adderall"], longer), late, (), NOON, ZONE, longer)) == [
        "sessions.medicine_not_held"
    ]


def test_the_prescriber_allows_one_class_and_not_another() -> None:
    both = holds(["lorazepam", "adderall"], programme())
    taken = {BENZODIAZEPINES: ago(hours=1), STIMULANTS: ago(hours=1)}
    found = hold_findings(both, taken, {BENZODIAZEPINES}, NOON, ZONE, programme())
    assert [(each.rule, each.inputs["rule_of_class"]) for each in found] == [("sessions.medicine_not_held", STIMULANTS)]


@pytest.mark.parametrize(
    ("intakes", "expected"),
    [
        ({}, ["sessions.hold_unanswered"]),
        ({ALCOHOL_AND_THC: Intake(last_taken_at=None)}, []),
        ({ALCOHOL_AND_THC: ago(hours=48)}, []),
        ({ALCOHOL_AND_THC: ago(hours=47, minutes=59)}, ["sessions.medicine_not_held"]),
    ],
)
@pytest.mark.parametrize("medicines", [[], ["wine"]])
def test_nobody_lets_alcohol_and_thc_be_taken_whether_listed_or_not(
    medicines: list[str], intakes: dict[str, Intake], expected: list[str]
) -> None:
    asked = holds_before_session(medicines, programme())
    found = hold_findings(asked, intakes, {ALCOHOL_AND_THC}, NOON, ZONE, programme())
    assert ids(found) == expected
    assert all(each.setting == "eligibility.medicines.alcohol_thc_free_hours" for each in found)


RECONCILING = {"sessions.reconcile_medicines": True}


@pytest.mark.parametrize(
    ("needed", "done", "expected"),
    [
        (False, None, []),
        (True, None, ["sessions.medicines_not_reconciled"]),
        (True, Reconciled(today=False, must_decide=False, allowed=None), ["sessions.medicines_not_reconciled"]),
        (False, Reconciled(today=False, must_decide=False, allowed=None), []),
        (True, Reconciled(today=True, must_decide=False, allowed=None), []),
        (True, Reconciled(today=True, must_decide=True, allowed=None), ["sessions.medicines_undecided"]),
        (False, Reconciled(today=True, must_decide=True, allowed=None), ["sessions.medicines_undecided"]),
        (True, Reconciled(today=True, must_decide=True, allowed=True), []),
        (True, Reconciled(today=True, must_decide=True, allowed=False), ["sessions.medicines_refused"]),
        (True, Reconciled(today=True, must_decide=False, allowed=False), []),
    ],
)
def test_the_list_of_medicines_is_gone_through_and_what_is_new_is_decided(
    needed: bool, done: Reconciled | None, expected: list[str]
) -> None:
    given = changed({"sessions.reconcile_medicines": needed})
    assert ids(reconciliation_findings(done, given)) == expected


def test_only_avesta_reconciles_and_only_to_life_works_patients_bring_the_medicine() -> None:
    programmes = {name: programme(path) for name, path in shipped().items()}
    assert {name for name, each in programmes.items() if reconciliation_findings(None, each)} == {"avesta"}
    assert {name for name, each in programmes.items() if is_brought(Site.OFFICE, True, each)} == {"life_works"}
    assert not is_brought(Site.OFFICE, False, programmes["life_works"])
    assert not is_brought(Site.HOME, True, programmes["life_works"])


def carried(units: int = 4, left: int = 0, *, sealed: bool = True) -> Carried:
    return Carried(sealed=sealed, units=Fraction(units), left_at_home=Fraction(left))


def arrived(units: int = 4, expected: int = 4) -> Arrived:
    return Arrived(units=Fraction(units), expected_in_all=Fraction(expected))


@pytest.mark.parametrize(
    ("brought", "counted", "expected"),
    [
        (carried(), arrived(), []),
        (carried(1, 3), arrived(1), []),
        (None, arrived(), ["sessions.transport_missing"]),
        (carried(sealed=False), arrived(), ["sessions.transport_unsealed"]),
        (carried(), None, ["sessions.arrival_uncounted"]),
        (carried(sealed=False), None, ["sessions.transport_unsealed", "sessions.arrival_uncounted"]),
        (carried(), arrived(3), ["sessions.arrival_count_differs"]),
        (carried(), arrived(5), ["sessions.arrival_count_differs"]),
        (carried(3), arrived(3), ["sessions.arrival_count_differs"]),
        (carried(1, 2), arrived(1), ["sessions.arrival_count_differs"]),
        (carried(2, 2), arrived(1, 3), ["sessions.arrival_count_differs"]),
    ],
)
def test_what_the_patient_brings_is_what_must_be_there(
    brought: Carried | None, counted: Arrived | None, expected: list[str]
) -> None:
    assert ids(transport_findings(brought, counted, programme())) == expected
