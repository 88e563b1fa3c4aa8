"""What the clinic gives itself: no parcel and no stock, vitals all through an infusion, several routes in one plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core import clock
from services.core import config as configuration
from services.core.errors import IllegalTransition, RuleRefused
from services.core.vocabulary import EventKind
from services.prescribing.models import Prescription
from services.prescribing.routes import Route
from services.prescribing.views import dosing_order
from services.sessions import departures, histories, infusions, ledgers
from services.sessions.models import TherapySession
from services.sessions.orders import plan_in_force
from services.sessions.places import Site
from services.sessions.states import SessionState
from services.sessions.vitals import Phase
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, make_case, make_signed
from tests.factories_programmes import run_under
from tests.factories_sessions import (
    book,
    give,
    look,
    make_ready,
    measure,
    stopped_clock,
    supply,
    therapist,
    timers,
    well,
)

MINUTE = timedelta(minutes=1)
CLINICAL = """
[prescribing]
routes = ["sublingual", "intravenous", "intramuscular"]
[sessions]
dosing_sites = ["office", "home", "clinic"]
chaperone_sites = ["office", "home"]
"""
INFUSION: dict[str, Any] = {
    "route": Route.INTRAVENOUS,
    "form": "solution_for_infusion",
    "dose_mg": 40,
    "first_session_dose_mg": 20,
    "quantity_units": 1,
    "directions": "Infuse over 40 minutes.",
}
INJECTION = {**INFUSION, "route": Route.INTRAMUSCULAR, "form": "solution_for_injection", "directions": "Inject."}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(
    session: Session, moment: time_machine.Traveller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A patient of a clinic that gives infusions and injections and has lozenges sent, with an infusion signed."""
    file = tmp_path / "clinic.toml"
    file.write_text(f'[programme]\nname = "clinic"\nversion = "1"\nextends = "default"\n{CLINICAL}', encoding="utf-8")
    monkeypatch.setenv("COORDINATOR_PROGRAMME", str(file))
    configuration.config.cache_clear()
    case = make_case(session)
    make_signed(session, case, **INFUSION)
    yield case
    monkeypatch.undo()
    configuration.config.cache_clear()


def in_clinic(session: Session, case: Case, **changes: Any) -> TherapySession:
    return book(session, case, **{"site": Site.CLINIC, **changes})


def begun(session: Session, case: Case, row: TherapySession, mg: int = 20) -> TherapySession:
    make_ready(session, case, row, chaperone=None, staff_stays=True)
    measure(session, case, row)
    return give(session, case, row, mg)


def refused(act: Any, session: Session) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        act()
    return [finding.rule for finding in refusal.value.findings]


def test_an_infusion_needs_no_receipt_and_uses_no_stock(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = begun(session, case, in_clinic(session, case))
    doses = histories.read_session(session, therapist(case), row.id).doses
    assert doses is not None
    (dose,) = doses.reveal()
    assert (dose.mg, dose.units, dose.route, dose.ended_at) == (20, 0.0, Route.INTRAVENOUS, None)
    kept = ledgers.ledger(session, case.episode.id).balance
    assert (kept.dispensed, kept.taken, kept.overdrawn, kept.remaining) == (0, 0, 0, 0)
    assert refused(lambda: give(session, case, row, 1), session) == ["sessions.dose_over_cap"]


def test_it_is_given_in_the_clinic_only(session: Session, case: Case) -> None:
    assert refused(lambda: book(session, case, site=Site.HOME), session) == ["sessions.route_not_here"]
    row = in_clinic(session, case)
    run_under(session, case.episode, {"sessions.clinic_route_sites": ["office"]})
    ready = refused(lambda: make_ready(session, case, row, chaperone=None, staff_stays=True), session)
    assert ready == ["sessions.route_not_here"]


def test_the_patient_is_observed_from_the_end_of_the_infusion_on(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = begun(session, case, in_clinic(session, case))
    by = therapist(case)
    for _ in range(3):
        moment.shift(10 * MINUTE)
        measure(session, case, row, Phase.DURING)
    going = refused(lambda: departures.pass_discharge(session, by, row.id, well()), session)
    assert "vitals.infusion_running" in going
    moment.shift(10 * MINUTE)
    assert refused(lambda: infusions.end_infusion(session, by, row.id, 21), session) == ["sessions.infusion_over_dose"]
    for wrong in (clock.now() + MINUTE, clock.now() - 41 * MINUTE):
        late = refused(lambda at=wrong: infusions.end_infusion(session, by, row.id, at=at), session)
        assert late == ["sessions.infusion_out_of_time"]
    measure(session, case, row, Phase.DURING)
    infusions.end_infusion(session, by, row.id, 15)
    assert (row.last_dose_at, row.state) == (clock.now(), "monitoring")
    doses = histories.read_session(session, by, row.id).doses
    assert doses is not None
    assert [(dose.mg, dose.ended_at) for dose in doses.reveal()] == [(15, clock.now())]
    assert refused(lambda: infusions.end_infusion(session, by, row.id), session) == ["sessions.infusion_not_running"]
    for _ in range(6):
        moment.shift(20 * MINUTE)
        look(session, case, row)
    moment.shift(-MINUTE)
    measure(session, case, row, Phase.AFTER)
    unsaid = well(missed_because=None)
    early = refused(lambda: departures.pass_discharge(session, by, row.id, unsaid), session)
    assert early == ["vitals.discharge_too_soon"]
    moment.shift(MINUTE)
    assert departures.pass_discharge(session, by, row.id, unsaid).state == "discharge_ready"


def test_a_missed_reading_gives_the_therapist_a_task_and_holds_the_discharge_until_it_is_explained(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = begun(session, case, in_clinic(session, case))
    assert timers(session, row.id)["look.missed"] == 20 * MINUTE
    moment.shift(15 * MINUTE)
    look(session, case, row)  # looked at, and not measured
    assert timers(session, row.id)["look.missed"] == 5 * MINUTE
    moment.shift(25 * MINUTE)
    measure(session, case, row, Phase.DURING)
    infusions.end_infusion(session, therapist(case), row.id)
    for _ in range(6):
        moment.shift(20 * MINUTE)
        measure(session, case, row, Phase.AFTER)
    held = refused(
        lambda: departures.pass_discharge(session, therapist(case), row.id, well(missed_because=None)), session
    )
    assert held == ["vitals.checks_missed", "vitals.series_missed"]
    assert departures.pass_discharge(session, therapist(case), row.id, well()).state == "discharge_ready"
    departures.discharge(session, therapist(case), row.id)
    assert "look.missed" not in timers(session, row.id)


def test_after_an_emergency_the_infusion_still_ends(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = begun(session, case, in_clinic(session, case))
    moment.shift(10 * MINUTE)
    look(session, case, row, red_flags={"seizure"})
    assert "look.missed" not in timers(session, row.id)
    assert infusions.end_infusion(session, therapist(case), row.id, 5).state == SessionState.EMERGENCY
    with pytest.raises(IllegalTransition):
        infusions.end_infusion(session, therapist(case), in_clinic(session, case, starts_at=in_weeks(2)).id)


def in_weeks(weeks: int) -> Any:
    return clock.now() + timedelta(weeks=weeks)


def test_a_plan_has_several_routes_and_each_begins_with_a_first_session(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    lozenges = make_signed(session, case)
    supply(session, case, lozenges, 4)
    make_signed(session, case, **INJECTION)
    first = begun(session, case, in_clinic(session, case, route=Route.INTRAVENOUS))
    assert first.prescription_id is not None
    moment.shift(timedelta(days=8))
    home = book(session, case, route=Route.SUBLINGUAL)
    moment.shift(timedelta(hours=1))
    make_ready(session, case, home)
    measure(session, case, home)
    assert refused(lambda: give(session, case, home, 101), session) == ["sessions.dose_over_cap"]
    give(session, case, home, 50)
    assert home.prescription_id == lozenges.id
    moment.shift(timedelta(days=8))
    injected = begun(session, case, in_clinic(session, case, route=Route.INTRAMUSCULAR), 20)
    assert refused(lambda: infusions.end_infusion(session, therapist(case), injected.id), session) == [
        "sessions.infusion_not_running"
    ]
    assert ledgers.ledger(session, case.episode.id).balance.taken == 0.5
    shown = histories.read_session(session, therapist(case), injected.id)
    assert shown.place.route is Route.INTRAMUSCULAR


def test_no_more_sessions_are_held_on_an_order_than_it_covers(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    make_signed(session, case, **{**INJECTION, "sessions_supply": 1})
    first = begun(session, case, in_clinic(session, case, route=Route.INTRAMUSCULAR), 10)
    give(session, case, first, 10)
    moment.shift(timedelta(days=8))
    second = in_clinic(session, case, route=Route.INTRAMUSCULAR)
    assert refused(lambda: begun(session, case, second), session) == ["sessions.clinic_order_used_up"]


def test_an_order_ends_with_its_last_day_whoever_noted_it(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    (order,) = session.query(Prescription)
    assert order.expires_on is not None
    by = therapist(case)
    session.execute(text("UPDATE eligibility_decisions SET valid_until = '2030-01-01'"))
    moment.move_to(datetime.combine(order.expires_on, time(20), tzinfo=UTC))
    assert plan_in_force(session, by, case.episode, Route.INTRAVENOUS) is not None
    moment.shift(timedelta(days=1))
    assert order.state == "signed"
    assert dosing_order(session, by, case.episode, Route.INTRAVENOUS) is None
    assert plan_in_force(session, by, case.episode, Route.INTRAVENOUS) is None


def test_a_route_that_is_not_prescribed_is_not_booked(session: Session, case: Case) -> None:
    missing = refused(lambda: in_clinic(session, case, route=Route.NASAL), session)
    assert missing == ["sessions.prescription_missing"]
    assert in_clinic(session, case, route=Route.INTRAVENOUS).id


def test_nobody_is_told_of_a_look_that_was_made(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = begun(session, case, in_clinic(session, case))
    moment.shift(10 * MINUTE)
    measure(session, case, row, Phase.DURING)
    assert timers(session, row.id)["look.missed"] == 20 * MINUTE
    assert emitted(session, EventKind.LOOK_MISSED) == []
