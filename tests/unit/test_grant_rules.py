"""Who may be given access to signing, and by whom, on the last day of a paper and the day after."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from services.people.grant_rules import Papers, approval_findings, naming_findings, nomination_findings
from services.people.paper_rules import DeaFacts, LicenceFacts

LAST_DAY = date(2026, 11, 30)
AFTER = LAST_DAY + timedelta(days=1)
LICENCE = LicenceFacts(state="CA", expires_on=LAST_DAY)
REGISTRATION = DeaFacts(state="CA", expires_on=LAST_DAY)
WHOLE = Papers([LICENCE], [REGISTRATION])


def approved(
    *,
    is_nominee: bool = False,
    may_approve: bool = True,
    nominee: Papers = WHOLE,
    approver: Papers = WHOLE,
    on: date = LAST_DAY,
) -> list[str]:
    found = approval_findings(is_nominee=is_nominee, may_approve=may_approve, nominee=nominee, approver=approver, on=on)
    return [each.rule.removeprefix("people.") for each in found]


@pytest.mark.parametrize("papers", [Papers([], [REGISTRATION]), Papers([LICENCE], []), Papers([], [])])
def test_a_nominee_needs_a_licence_and_a_registration(papers: Papers) -> None:
    assert nomination_findings(WHOLE, LAST_DAY) == []
    (finding,) = nomination_findings(papers, LAST_DAY)
    assert finding.rule == "people.nominee_without_papers"


def test_papers_count_up_to_their_last_day() -> None:
    assert [WHOLE.are_valid(LAST_DAY), WHOLE.are_valid(AFTER)] == [True, False]
    assert [WHOLE.is_registrant(LAST_DAY), WHOLE.is_registrant(AFTER)] == [True, False]


def test_one_valid_paper_of_each_kind_is_enough() -> None:
    old = LicenceFacts(state="NY", expires_on=LAST_DAY - timedelta(days=1))
    lapsed = DeaFacts(state="NY", expires_on=LAST_DAY - timedelta(days=1))
    assert Papers([old, LICENCE], [lapsed, REGISTRATION]).are_valid(LAST_DAY)
    assert not Papers([old], [lapsed, REGISTRATION]).are_valid(LAST_DAY)
    assert not Papers([LICENCE], [lapsed]).is_registrant(LAST_DAY)


def test_whoever_is_named_to_approve_is_a_registrant() -> None:
    assert naming_findings(Papers([], [REGISTRATION]), LAST_DAY) == []
    assert [each.rule for each in naming_findings(WHOLE, AFTER)] == ["people.approver_without_dea"]


def test_another_registrant_approves() -> None:
    assert approved() == []
    assert approved(is_nominee=True) == ["grant_by_nominee"]
    assert approved(may_approve=False) == ["grant_by_unnamed_approver"]
    assert approved(approver=Papers([LICENCE], [])) == ["approver_without_dea"]
    assert approved(approver=Papers([], [REGISTRATION])) == []
    assert approved(nominee=Papers([LICENCE], [])) == ["nominee_without_papers"]
    assert approved(is_nominee=True, on=AFTER) == ["grant_by_nominee", "approver_without_dea", "nominee_without_papers"]
