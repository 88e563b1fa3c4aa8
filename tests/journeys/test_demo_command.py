"""``make demo ONCE=1``: the demo's command as a shell runs it, beside another stack that is busy."""

from __future__ import annotations

from tests.journeys.evidence import Evidence


def test_the_demo_tells_its_story_and_exits_with_0(journey: Evidence) -> None:
    assert journey.demo_exit_code == 0, journey.demo
    assert "All steps went as they must" in journey.demo
    assert "14 of 14" in journey.demo


def test_the_demo_needs_no_marked_data_and_shows_its_people_by_name(journey: Evidence) -> None:
    assert "Dana Whitfield" in journey.demo
    assert "Thea Terrell (therapist)" in journey.demo
