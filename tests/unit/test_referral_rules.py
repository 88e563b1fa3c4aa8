"""Who may refer a patient, at each of its conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.core.programme import Programme, programme
from services.eligibility.referral_rules import Referrer as By
from services.eligibility.referral_rules import ReferrerFacts, referrer_findings

BY_THERAPIST = ReferrerFacts(
    by=By.THERAPIST, is_enquiry=False, kap_trained=True, has_medical_team=True, has_pharmacy=True
)
BY_TEAM = ReferrerFacts(
    by=By.MEDICAL_TEAM, is_enquiry=True, kap_trained=False, has_medical_team=False, has_pharmacy=True
)


def open_to(*names: str) -> Programme:
    """The default programme, in which these refer."""
    return replace(programme(), settings={**programme().settings, "referrals.by": list(names)})


EVERYBODY = open_to("therapist", "medical_team")


def rules(facts: ReferrerFacts, under: Programme = EVERYBODY) -> list[str]:
    return [finding.rule for finding in referrer_findings(facts, under)]


@pytest.mark.parametrize("facts", [BY_THERAPIST, BY_TEAM, replace(BY_TEAM, is_enquiry=False, kap_trained=True)])
def test_whoever_meets_the_conditions_refers(facts: ReferrerFacts) -> None:
    assert rules(facts) == []


@pytest.mark.parametrize(
    ("changes", "rule", "inputs"),
    [
        ({"is_enquiry": True}, "referral.enquiry_by_medical_team", {"by": "therapist", "is_enquiry": True}),
        ({"kap_trained": False}, "referral.kap_training", {"kap_trained": False}),
        (
            {"has_medical_team": False},
            "referral.practice_has_partners",
            {"has_medical_team": False, "has_pharmacy": True},
        ),
        ({"has_pharmacy": False}, "referral.practice_has_partners", {"has_medical_team": True, "has_pharmacy": False}),
    ],
)
def test_each_condition_of_a_therapists_referral_is_named(
    changes: dict[str, Any], rule: str, inputs: dict[str, Any]
) -> None:
    (finding,) = referrer_findings(replace(BY_THERAPIST, **changes), EVERYBODY)
    assert (finding.rule, finding.inputs) == (rule, inputs)


def test_a_team_needs_a_pharmacy_and_nothing_else() -> None:
    (finding,) = referrer_findings(replace(BY_TEAM, has_pharmacy=False), EVERYBODY)
    assert (finding.rule, finding.inputs) == ("referral.team_has_pharmacy", {"has_pharmacy": False})


@pytest.mark.parametrize(("facts", "name"), [(BY_THERAPIST, "therapist"), (BY_TEAM, "medical_team")])
def test_the_programme_says_who_refers(facts: ReferrerFacts, name: str) -> None:
    assert rules(facts, open_to(name)) == []
    (other,) = {"therapist", "medical_team"} - {name}
    (finding,) = referrer_findings(facts, open_to(other))
    assert (finding.rule, finding.setting, finding.value) == ("referral.not_by_these", "referrals.by", [other])
    assert finding.inputs == {"by": name}
    assert finding.severity == "stop"


def test_all_that_is_missing_is_named_at_once() -> None:
    facts = replace(BY_THERAPIST, is_enquiry=True, kap_trained=False, has_pharmacy=False)
    found = referrer_findings(facts, open_to("medical_team"))
    assert [each.rule.removeprefix("referral.") for each in found] == [
        "not_by_these",
        "enquiry_by_medical_team",
        "kap_training",
        "practice_has_partners",
    ]
    assert {each.severity.value for each in found} == {"stop"}
    of_team = referrer_findings(replace(BY_TEAM, has_pharmacy=False), open_to("therapist"))
    assert [each.rule for each in of_team] == ["referral.not_by_these", "referral.team_has_pharmacy"]
    assert {each.severity.value for each in of_team} == {"stop"}
