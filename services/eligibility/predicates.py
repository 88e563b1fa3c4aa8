"""The ways in which an eligibility rule can look at the facts of a case.

Each function here gives a predicate: facts and programme in; out come the facts that made the rule speak, as plain JSON
types, or None when the rule has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.core.programme import Programme
from services.eligibility.facts import Condition, Facts, Status
from services.eligibility.medicines import UNLISTED

Inputs = Mapping[str, Any]
Predicate = Callable[[Facts, Programme], Inputs | None]
Reading = Callable[[Facts, Programme], float | None]


def not_known(name: str) -> Predicate:
    """The fact of that name is not known."""
    return lambda facts, programme: {name: None} if getattr(facts, name) is None else None


def equals(name: str, wanted: object) -> Predicate:
    """The fact of that name has exactly this value."""
    return lambda facts, programme: {name: wanted} if getattr(facts, name) == wanted else None


def not_true(name: str) -> Predicate:
    """The fact of that name is false or not known."""
    return lambda facts, programme: None if getattr(facts, name) is True else {name: getattr(facts, name)}


def has(condition: Condition, *statuses: Status) -> Predicate:
    """The condition has one of these statuses; ``present`` when none is named."""
    wanted = statuses or (Status.PRESENT,)

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        status = facts.status(condition)
        return {condition.value: status.value} if status in wanted else None

    return predicate


def unanswered(condition: Condition) -> Predicate:
    """The condition was left out, or the patient does not know."""
    return lambda facts, programme: {condition.value: None} if facts.status(condition) is None else None


def within(name: str, least: str, below: str | None = None, *, read: Reading | None = None) -> Predicate:
    """A number reaches the setting ``least`` and, if there is one, stays under the setting ``below``.

    The number is the fact of that name, or what ``read`` gives; it is reported under ``name``.
    """

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        number = getattr(facts, name) if read is None else read(facts, programme)
        if number is None or number < programme.number(least):
            return None
        return None if below is not None and number >= programme.number(below) else {name: number}

    return predicate


def under(name: str, limit: str) -> Predicate:
    """The number of that name is known and under the setting ``limit``."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        number = getattr(facts, name)
        return {name: number} if number is not None and number < programme.number(limit) else None

    return predicate


def unless(first: Predicate, second: Predicate) -> Predicate:
    """The first holds and the second does not; the inputs of the first are reported."""
    return lambda facts, programme: first(facts, programme) if second(facts, programme) is None else None


def both(first: Predicate, second: Predicate) -> Predicate:
    """Two predicates hold together; the inputs of both are reported."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        one, other = first(facts, programme), second(facts, programme)
        return None if one is None or other is None else {**one, **other}

    return predicate


def either(first: Predicate, second: Predicate) -> Predicate:
    """One or both of two predicates hold; the inputs of those that do are reported."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        found = [inputs for inputs in (first(facts, programme), second(facts, programme)) if inputs is not None]
        return {name: value for inputs in found for name, value in inputs.items()} if found else None

    return predicate


def mean_pressure(name: str) -> Reading:
    """The mean ``systolic`` or ``diastolic`` of the latest readings; of those there are when there are too few.

    Too few readings is a finding of its own; judging the one there is as well keeps a single very high reading from
    waiting for a second.
    """

    def read(facts: Facts, programme: Programme) -> float | None:
        values = _latest(name, facts, programme)
        return sum(values) / len(values) if values else None

    return read


def highest_pressure(name: str) -> Reading:
    """The highest ``systolic`` or ``diastolic`` of the latest readings.

    The table asks for review of a raised pressure without saying of which reading: one raised reading is enough.
    """

    def read(facts: Facts, programme: Programme) -> float | None:
        return max(_latest(name, facts, programme), default=None)

    return read


def _latest(name: str, facts: Facts, programme: Programme) -> list[int]:
    latest = sorted(facts.blood_pressures, key=lambda reading: reading.taken_at)
    latest = latest[-programme.whole("eligibility.blood_pressure.readings_averaged") :]
    return [getattr(reading, name) for reading in latest]


def too_few_readings(facts: Facts, programme: Programme) -> Inputs | None:
    """There are fewer blood-pressure readings than are averaged."""
    count = len(facts.blood_pressures)
    return {"readings": count} if count < programme.whole("eligibility.blood_pressure.readings_averaged") else None


def state_not_served(facts: Facts, programme: Programme) -> Inputs | None:
    """The state of residence is known and is none of those of the medical team that the programme leaves open."""
    if facts.state is None:
        return None
    listed = programme.choices("eligibility.states")
    served = facts.states_of_operation & listed if listed else facts.states_of_operation
    return None if facts.state in served else {"state": facts.state}


def therapist_not_known(facts: Facts, programme: Programme) -> Inputs | None:
    """It is neither known that there is or will be a therapist, nor that there is and will be none."""
    known = (facts.has_therapist, facts.will_have_therapist)
    if True in known or None not in known:
        return None
    return {"has_therapist": known[0], "will_have_therapist": known[1]}


def diagnosis_not_treated(facts: Facts, programme: Programme) -> Inputs | None:
    """The diagnosis is known and the programme does not list it."""
    treated = programme.choices("eligibility.diagnoses")
    return {"diagnosis": facts.diagnosis} if facts.diagnosis is not None and facts.diagnosis not in treated else None


def result_missing(name: str) -> Predicate:
    """The programme requires this result and it is not there."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        required = name in programme.choices("eligibility.results_required")
        return {name: None} if required and getattr(facts, name) is None else None

    return predicate


def result_not_asked(name: str) -> Predicate:
    """The programme does not require this result, and it is not there."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        required = name in programme.choices("eligibility.results_required")
        return {name: None} if not required and getattr(facts, name) is None else None

    return predicate


def takes(medicine_class: str) -> Predicate:
    """The patient takes a medicine of that class; the names as given are reported."""

    def predicate(facts: Facts, programme: Programme) -> Inputs | None:
        names = facts.medicines_by_class.get(medicine_class)
        return {"medicines": list(names)} if names else None

    return predicate


def takes_unlisted(facts: Facts, programme: Programme) -> Inputs | None:
    """The patient takes something that the table does not know and that is no misspelt name of it."""
    names = [each.given for each in facts.medicines_read if UNLISTED in each.classes and not each.maybe(programme)]
    return {"medicines": names} if names else None


def takes_unclear(facts: Facts, programme: Programme) -> Inputs | None:
    """The patient takes something that may be a misspelt name of the table; what it may be is reported with it."""
    asked = [(each.given, each.did_you_mean(programme)) for each in facts.medicines_read]
    unclear = [{"given": given, "did_you_mean": list(meant)} for given, meant in asked if meant]
    return {"medicines": unclear} if unclear else None
