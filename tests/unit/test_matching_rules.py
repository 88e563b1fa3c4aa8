"""Which therapist fits a patient, and in which order those who do stand on the list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.core.findings import Severity
from services.core.programme import programme, shipped
from services.matching.rules import (
    CaseFacts,
    TherapistFacts,
    capacity_findings,
    case_findings,
    fit_findings,
    options_findings,
    ranked,
)
from tests.factories_programmes import changed

ISHA = programme(shipped()["isha_health"])
CASE = CaseFacts(state="CA", indication="depression", has_therapist=False, evaluated=True, ended=False)
FITTING = TherapistFacts(
    account_id=UUID(int=1),
    active=True,
    partnered=True,
    licensed_in=frozenset({"CA", "NY"}),
    kap_trained=True,
    taking_patients=True,
    specialities=frozenset({"depression", "trauma"}),
    capacity=3,
    clients=2,
    practice_state="CA",
)


def rules(findings: Any) -> list[str]:
    return [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"has_therapist": True}, ["matching.has_therapist"]),
        ({"evaluated": False}, ["matching.not_evaluated"]),
        ({"ended": True}, ["matching.episode_ended"]),
        ({"ended": True, "evaluated": False}, ["matching.episode_ended"]),
    ],
)
def test_when_a_therapist_is_looked_for(changes: dict[str, Any], named: list[str]) -> None:
    findings = case_findings(replace(CASE, **changes), ISHA)
    assert rules(findings) == named
    assert all(finding.severity is Severity.STOP for finding in findings)


def test_a_programme_that_does_not_match_looks_for_nobody() -> None:
    (finding,) = case_findings(CASE, programme())
    assert (finding.rule, finding.setting, finding.value) == ("matching.not_offered", "matching.offered", False)


def test_a_programme_may_look_before_the_physician_has_evaluated() -> None:
    early = changed({"matching.after_evaluation": False}, ISHA)
    assert case_findings(replace(CASE, evaluated=False), early) == []


@pytest.mark.parametrize(("count", "named"), [(1, []), (5, []), (6, ["matching.too_many_options"])])
def test_a_list_is_short_enough_to_choose_from(count: int, named: list[str]) -> None:
    assert rules(options_findings(count, ISHA)) == named


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"active": False}, "matching.not_active"),
        ({"partnered": False}, "matching.not_partnered"),
        ({"licensed_in": frozenset({"NY"})}, "matching.not_licensed"),
        ({"kap_trained": False}, "matching.not_trained"),
        ({"taking_patients": False}, "matching.not_taking"),
        ({"clients": 3}, "matching.full"),
        ({"capacity": 0, "clients": 0}, "matching.full"),
        ({"specialities": frozenset({"ocd"})}, "matching.speciality_other"),
    ],
)
def test_each_thing_that_keeps_a_therapist_off_the_list_is_named(changes: dict[str, Any], named: str) -> None:
    findings = fit_findings(CASE, replace(FITTING, **changes), ISHA)
    assert [(finding.rule, finding.severity) for finding in findings] == [(named, Severity.STOP)]


def test_everything_that_stands_in_the_way_is_named_at_once() -> None:
    wrong = replace(FITTING, kap_trained=False, taking_patients=False, clients=9)
    assert rules(fit_findings(CASE, wrong, ISHA)) == ["matching.not_trained", "matching.not_taking", "matching.full"]


def test_who_fits_is_told_why() -> None:
    findings = fit_findings(CASE, FITTING, ISHA)
    assert rules(findings) == ["matching.speciality_fits", "matching.same_state", "matching.places_free"]
    assert all(finding.severity is Severity.INFORM for finding in findings)
    assert "1 free places" in findings[-1].sentence
    elsewhere = fit_findings(CASE, replace(FITTING, practice_state="NY"), ISHA)
    assert rules(elsewhere) == ["matching.speciality_fits", "matching.places_free"]


def test_another_speciality_is_only_told_where_the_programme_does_not_ask_for_it() -> None:
    anybody = changed({"matching.speciality_required": False}, ISHA)
    findings = fit_findings(CASE, replace(FITTING, specialities=frozenset()), anybody)
    assert rules(findings) == ["matching.speciality_differs", "matching.same_state", "matching.places_free"]


@pytest.mark.parametrize(("clients", "named"), [(0, []), (2, []), (3, ["matching.full"]), (4, ["matching.full"])])
def test_the_last_place_can_be_taken_and_none_beyond(clients: int, named: list[str]) -> None:
    assert rules(capacity_findings(clients, 3, ISHA)) == named


def test_a_full_therapist_is_told_in_numbers() -> None:
    (finding,) = capacity_findings(3, 3, ISHA)
    assert finding.sentence == "The therapist has 3 of at most 3 clients."
    assert dict(finding.inputs) == {"clients": 3, "capacity": 3}


def therapist(number: int, **changes: Any) -> TherapistFacts:
    return replace(FITTING, account_id=UUID(int=number), **changes)


def test_the_order_is_speciality_then_state_then_free_places_then_id() -> None:
    anybody = changed({"matching.speciality_required": False}, ISHA)
    other = frozenset({"ocd"})
    therapists = [
        therapist(1, specialities=other, capacity=50),
        therapist(2, practice_state="NY", capacity=40),
        therapist(3, capacity=4),
        therapist(6, capacity=9),
        therapist(5, capacity=9),
        therapist(4, specialities=other, practice_state="NY", capacity=90),
        therapist(7, taking_patients=False),
    ]
    order = [candidate.facts.account_id.int for candidate in ranked(CASE, therapists, anybody)]
    assert order == [5, 6, 3, 2, 1, 4]
    assert order == [candidate.facts.account_id.int for candidate in ranked(CASE, therapists[::-1], anybody)]
    assert [candidate.facts.account_id.int for candidate in ranked(CASE, therapists, ISHA)] == [5, 6, 3, 2]


def test_a_patient_without_an_indication_on_record_fits_no_speciality() -> None:
    assert rules(fit_findings(replace(CASE, indication=None), FITTING, ISHA)) == ["matching.speciality_other"]
