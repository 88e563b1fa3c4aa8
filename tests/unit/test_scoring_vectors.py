"""Hand-computed scores of the other instruments: both sides of every edge, missing answers (DOMAIN 2.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import Programme, load_programme, programme
from services.screening import instruments
from services.screening.definitions import NOT_APPLICABLE
from services.screening.result_rules import Sex, read_result
from services.screening.scoring import OutcomeClass, Score, compare, outcome_class, score


def scored(name: str, answers: dict[str, Any]) -> Score:
    return score(instruments.get(name), answers)


def numbered(*answers: Any) -> dict[str, Any]:
    """The answers to q1, q2, …"""
    return {f"q{number}": answer for number, answer in enumerate(answers, start=1)}


def rules_of(name: str, answers: dict[str, Any], programme: Programme, sex: Sex = Sex.UNSPECIFIED) -> list[str]:
    instrument = instruments.get(name)
    return [each.rule for each in read_result(instrument, score(instrument, answers), programme, sex=sex).findings]


def positive(name: str, answers: dict[str, Any], sex: Sex = Sex.UNSPECIFIED) -> bool | None:
    instrument = instruments.get(name)
    return read_result(instrument, score(instrument, answers), programme(), sex=sex).positive


def changed(**settings: float) -> Programme:
    ours = programme()
    named = {f"instruments.{name.replace('__', '.')}": value for name, value in settings.items()}
    return Programme(ours.name, ours.version, {**ours.settings, **named})


# --- PCL-5 -----------------------------------------------------------------------------------------------------------


def pcl5(b: Any = 0, c: Any = 0, d: Any = 0, e: Any = 0) -> dict[str, Any]:
    """Answers by cluster: one for all items of it, or the first ones with zeros after."""
    answers: list[int] = []
    for given, items in ((b, 5), (c, 2), (d, 7), (e, 6)):
        first = list(given) if isinstance(given, list) else [given] * items
        answers += [*first, *[0] * (items - len(first))]
    return numbered(*answers)


def test_the_pcl5_adds_twenty_items_and_its_clusters() -> None:
    lowest, highest = scored("pcl5", pcl5()), scored("pcl5", pcl5(4, 4, 4, 4))

    assert (lowest.total, highest.total) == (0, 80)
    assert highest.parts == {"B": 20, "C": 8, "D": 28, "E": 24}
    assert scored("pcl5", pcl5(1, 2, 3, 4)).parts == {"B": 5, "C": 4, "D": 21, "E": 24}
    assert scored("pcl5", pcl5(1, 2, 3, 4)).total == 54


def test_one_missing_answer_makes_the_pcl5_unscorable() -> None:
    found = scored("pcl5", {**pcl5(4, 4, 4, 4), "q20": None})

    assert (found.total, found.missing) == (None, ("q20",))
    assert positive("pcl5", {**pcl5(4, 4, 4, 4), "q20": None}) is None


@pytest.mark.parametrize(
    ("answers", "rules"),
    [
        (pcl5([2], [2], [2, 2], [2, 2]), ["screening.ptsd_clusters"]),  # total 12
        (pcl5([1], [2], [2, 2], [2, 2]), []),
        (pcl5([2], [1], [2, 2], [2, 2]), []),
        (pcl5([2], [2], [2, 1], [2, 2]), []),
        (pcl5([2], [2], [2, 2], [2, 1]), []),
        (pcl5(4, 0, [4, 4], [4]), []),  # 20 + 8 + 4 = 32
        (pcl5(4, 0, [4, 4], [4, 1]), ["screening.ptsd_total"]),  # 33
        (pcl5(4, 4, 4, 4), ["screening.ptsd_clusters", "screening.ptsd_total"]),
    ],
)
def test_provisional_ptsd_is_by_clusters_or_by_the_total(answers: dict[str, Any], rules: list[str]) -> None:
    assert rules_of("pcl5", answers, programme()) == rules
    assert positive("pcl5", answers) is bool(rules)


def test_a_clinic_sets_the_cut_off_of_the_pcl5_from_31_to_33() -> None:
    thirty_one = pcl5(4, 0, [4, 4], [3])

    assert rules_of("pcl5", thirty_one, changed(pcl5__positive_from=31)) == ["screening.ptsd_total"]
    assert rules_of("pcl5", thirty_one, changed(pcl5__positive_from=32)) == []


@pytest.mark.parametrize("wrong", [30, 34])
def test_a_cut_off_of_the_pcl5_outside_its_authors_range_is_refused(tmp_path: Path, wrong: int) -> None:
    file = tmp_path / "ours.toml"
    header = '[programme]\nname = "ours"\nversion = "1"\nextends = "default"\n'
    file.write_text(f"{header}[instruments.pcl5]\npositive_from = {wrong}\n", encoding="utf-8")

    with pytest.raises(InvalidConfiguration, match="line 6"):
        load_programme(file)


# --- QIDS-SR16 -------------------------------------------------------------------------------------------------------

# Sleep 0–3, mood, appetite and weight by 6 or 7 and 8 or 9, …, 15 and 16 together.
QIDS_ZERO: dict[str, Any] = {**numbered(*[0] * 16), "q7": None, "q9": None}


def qids(**answers: Any) -> dict[str, Any]:
    return {**QIDS_ZERO, **answers}


@pytest.mark.parametrize(
    ("answers", "total", "band"),
    [
        (qids(), 0, "none"),
        (qids(q1=1, q2=2, q3=3, q4=2, q5=2), 5, "none"),  # max 3 + 2
        (qids(q1=1, q2=2, q3=3, q4=2, q5=3), 6, "mild"),
        (qids(q4=3, q5=3, q6=2, q8=1, q10=2), 10, "mild"),  # 3 + 3 + max(2, 1) + 2
        (qids(q4=3, q5=3, q6=2, q8=3, q10=2), 11, "moderate"),
        (qids(q1=3, q5=3, q8=3, q10=3, q11=3), 15, "moderate"),
        (qids(q1=3, q5=3, q8=3, q10=3, q11=3, q12=1), 16, "severe"),
        (qids(q1=3, q5=3, q8=3, q10=3, q11=3, q13=3, q14=2), 20, "severe"),
        (qids(q1=3, q5=3, q8=3, q10=3, q11=3, q13=3, q14=2, q16=1), 21, "very severe"),
        ({**numbered(*[3] * 16), "q6": None, "q9": None}, 27, "very severe"),
        (qids(q15=2, q16=3), 3, "none"),
    ],
)
def test_the_qids_takes_the_highest_answer_of_each_domain(answers: dict[str, Any], total: int, band: str) -> None:
    found = scored("qids_sr16", answers)

    assert (found.total, found.band, found.missing, found.prorated) == (total, band, (), False)


@pytest.mark.parametrize("less", ["q6", "q7"])
@pytest.mark.parametrize("loss", ["q8", "q9"])
def test_in_the_qids_six_or_seven_and_eight_or_nine_are_answered(less: str, loss: str) -> None:
    neither = {**QIDS_ZERO, "q6": None, "q8": None}

    assert scored("qids_sr16", {**neither, less: 2, loss: 1}).total == 2
    assert scored("qids_sr16", {**neither, less: 1, loss: 3}).total == 3


def test_in_the_qids_both_of_two_alternatives_count_with_the_higher() -> None:
    assert scored("qids_sr16", qids(q6=1, q7=2, q8=0, q9=3)).total == 3


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [(("q6", "q7"), ("q6", "q7")), (("q8", "q9"), ("q8", "q9")), (("q1",), ("q1",)), (("q16",), ("q16",))],
)
def test_the_qids_must_be_complete(left_out: tuple[str, ...], missing: tuple[str, ...]) -> None:
    found = scored("qids_sr16", {**QIDS_ZERO, **dict.fromkeys(left_out)})

    assert (found.total, found.missing) == (None, missing)


def test_item_twelve_of_the_qids_is_never_imputed() -> None:
    found = scored("qids_sr16", qids(q12=None))

    assert (found.total, found.unscorable_because) == (None, "Item q12 is not answered and is never imputed.")


def test_the_qids_is_positive_from_the_moderate_band() -> None:
    assert positive("qids_sr16", qids(q1=3, q5=3, q10=3, q11=1)) is False  # 10
    assert positive("qids_sr16", qids(q1=3, q5=3, q10=3, q11=2)) is True  # 11


# --- AUDIT-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "sex", "rules"),
    [
        ((0, 0, 0), Sex.FEMALE, []),
        ((1, 1, 0), Sex.FEMALE, []),
        ((1, 1, 1), Sex.FEMALE, ["screening.alcohol_positive"]),
        ((1, 1, 0), Sex.UNSPECIFIED, []),
        ((1, 1, 1), Sex.UNSPECIFIED, ["screening.alcohol_positive"]),
        ((1, 1, 1), Sex.MALE, []),
        ((2, 1, 1), Sex.MALE, ["screening.alcohol_positive"]),
        ((4, 4, 4), Sex.MALE, ["screening.alcohol_positive"]),
        ((3, 0, 0), Sex.FEMALE, ["screening.alcohol_positive", "screening.alcohol_one_question"]),
        ((2, 0, 0), Sex.FEMALE, []),
        ((3, 0, 0), Sex.MALE, []),
        ((4, 0, 0), Sex.MALE, ["screening.alcohol_positive", "screening.alcohol_one_question"]),
        ((0, 4, 0), Sex.MALE, ["screening.alcohol_positive"]),
    ],
)
def test_the_audit_c_is_judged_by_sex(answers: tuple[int, int, int], sex: Sex, rules: list[str]) -> None:
    given = numbered(*answers)

    assert scored("audit_c", given).total == sum(answers)
    assert rules_of("audit_c", given, programme(), sex) == rules
    assert positive("audit_c", given, sex) is bool(rules)


def test_the_finding_of_the_audit_c_names_the_setting_of_the_sex() -> None:
    instrument = instruments.get("audit_c")
    found = read_result(instrument, score(instrument, numbered(4, 1, 0)), programme(), sex=Sex.MALE)

    assert [(each.setting, each.value) for each in found.findings] == [("instruments.audit_c.positive_from_men", 4)]


def test_the_audit_c_must_be_complete() -> None:
    assert scored("audit_c", numbered(4, 4)).total is None
    assert positive("audit_c", numbered(4, 4)) is None


# --- DAST-10 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said_yes", "total", "band"),
    [
        ("q3", 0, "none"),
        ("", 1, "low"),
        ("q1", 2, "low"),
        ("q1 q2", 3, "moderate"),
        ("q1 q2 q4 q5", 5, "moderate"),
        ("q1 q2 q4 q5 q6", 6, "substantial"),
        ("q1 q2 q4 q5 q6 q7 q8", 8, "substantial"),
        ("q1 q2 q4 q5 q6 q7 q8 q9", 9, "severe"),
        ("q1 q2 q3 q4 q5 q6 q7 q8 q9 q10", 9, "severe"),
        ("q1 q2 q4 q5 q6 q7 q8 q9 q10", 10, "severe"),
    ],
)
def test_in_the_dast10_a_yes_counts_one_and_in_question_three_a_no(said_yes: str, total: int, band: str) -> None:
    answers = {f"q{number}": f"q{number}" in said_yes.split() for number in range(1, 11)}
    found = scored("dast10", answers)

    assert (found.total, found.band) == (total, band)
    assert found.trace["added"]["q3"] == int("q3" not in said_yes.split())
    assert found.trace["answers"] == answers


def test_the_dast10_must_be_complete() -> None:
    assert scored("dast10", dict.fromkeys((f"q{number}" for number in range(1, 10)), True)).missing == ("q10",)


# --- MDQ -------------------------------------------------------------------------------------------------------------


def mdq(said_yes: int, **answers: Any) -> dict[str, Any]:
    return {**numbered(*[number < said_yes for number in range(13)]), **answers}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (mdq(7, co_occurrence=True, problem=2), True),
        (mdq(13, co_occurrence=True, problem=3), True),
        (mdq(6, co_occurrence=True, problem=3), False),
        (mdq(7, co_occurrence=False, problem=3), False),
        (mdq(7, co_occurrence=True, problem=1), False),
        (mdq(7, co_occurrence=True, problem=0), False),
        (mdq(0, problem=0), False),
        (mdq(1, problem=3), False),
    ],
)
def test_the_mdq_is_positive_with_seven_signs_together_and_a_problem(answers: dict[str, Any], expected: bool) -> None:
    assert positive("mdq", answers) is expected
    assert rules_of("mdq", answers, programme()) == (["screening.bipolar_positive"] if expected else [])


def test_what_the_mdq_did_not_ask_confirms_nothing() -> None:
    assert rules_of("mdq", mdq(1, problem=3), changed(mdq__positive_from=1)) == []
    assert rules_of("mdq", mdq(2, co_occurrence=True, problem=2), changed(mdq__positive_from=1)) != []


def test_the_mdq_counts_the_thirteen_signs_alone() -> None:
    assert scored("mdq", mdq(13, co_occurrence=True, problem=3)).total == 13


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        (mdq(7, problem=2), ("co_occurrence",)),
        (mdq(2, problem=2), ("co_occurrence",)),
        (mdq(1), ("problem",)),
        (mdq(7, co_occurrence=True), ("problem",)),
        ({**mdq(7, co_occurrence=True, problem=2), "q13": None}, ("q13",)),
    ],
)
def test_the_mdq_must_be_complete(answers: dict[str, Any], missing: tuple[str, ...]) -> None:
    assert scored("mdq", answers).missing == missing
    assert positive("mdq", answers) is None


# --- WSAS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "total", "band"),
    [
        ((0, 0, 0, 0, 0), 0, "subclinical"),
        ((2, 2, 2, 2, 1), 9, "subclinical"),
        ((2, 2, 2, 2, 2), 10, "significant"),
        ((4, 4, 4, 4, 4), 20, "significant"),
        ((4, 4, 4, 4, 5), 21, "moderately severe or worse"),
        ((8, 8, 8, 8, 8), 40, "moderately severe or worse"),
        ((NOT_APPLICABLE, 2, 2, 2, 2), 10, "significant"),  # 8 × 5/4
        ((NOT_APPLICABLE, 2, 2, 2, 1), 9, "subclinical"),  # 8.75
        ((NOT_APPLICABLE, 2, 2, 1, 1), 8, "subclinical"),  # 7.5, halves go up
        ((NOT_APPLICABLE, 4, 4, 4, 4), 20, "significant"),
        ((NOT_APPLICABLE, 8, 8, 8, 8), 40, "moderately severe or worse"),
        ((NOT_APPLICABLE, 0, 0, 0, 0), 0, "subclinical"),
    ],
)
def test_the_wsas_brings_four_items_up_to_five_when_there_is_no_work(
    answers: tuple[Any, ...], total: int, band: str
) -> None:
    found = scored("wsas", numbered(*answers))

    assert (found.total, found.band, found.missing) == (total, band, ())
    assert found.prorated is (answers[0] == NOT_APPLICABLE)
    assert positive("wsas", numbered(*answers)) is (total >= 10)


def test_work_left_open_is_not_the_same_as_no_work() -> None:
    assert scored("wsas", numbered(None, 8, 8, 8, 8)).missing == ("q1",)
    assert scored("wsas", numbered(8, None, 8, 8, 8)).total is None


@pytest.mark.parametrize(
    ("name", "item", "answer"),
    [
        ("wsas", "q2", NOT_APPLICABLE),
        ("wsas", "q1", "n/a"),
        ("wsas", "q1", 9),
        ("phq9", "q1", NOT_APPLICABLE),
        ("b_ipf", "q1", 7),
        ("b_ipf", "q1", True),
    ],
)
def test_not_applicable_is_an_answer_only_where_the_instrument_allows_it(name: str, item: str, answer: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        scored(name, {item: answer})

    assert refusal.value.field == f"{name}.{item}"


# --- B-IPF -----------------------------------------------------------------------------------------------------------

NA = NOT_APPLICABLE


@pytest.mark.parametrize(
    ("answers", "total", "band"),
    [
        ((0, 0, 0, 0, 0, 0, 0), 0, "little or none"),
        ((6, 6, 6, 6, 6, 6, 6), 100, "extreme"),
        ((4, 0, 0, 0, 0, 0, 0), 10, "little or none"),  # 4 ÷ 42 = 9.5 %
        ((5, 0, 0, 0, 0, 0, 0), 12, "mild"),  # 11.9
        ((6, 6, 1, 0, 0, 0, 0), 31, "moderate"),  # 13 ÷ 42 = 30.95
        ((6, 6, 0, 0, 0, 0, 0), 29, "mild"),  # 28.6
        ((6, 6, 6, 3, 0, 0, 0), 50, "moderate"),
        ((6, 6, 6, 4, 0, 0, 0), 52, "severe"),  # 52.4
        ((6, 6, 6, 6, 6, 3, 0), 79, "severe"),  # 33 ÷ 42 = 78.6
        ((6, 6, 6, 6, 6, 4, 0), 81, "extreme"),  # 34 ÷ 42 = 80.95
        ((3, NA, NA, NA, NA, NA, NA), 50, "moderate"),  # 3 ÷ 6
        ((3, 3, 1, 1, NA, NA, NA), 33, "moderate"),  # 8 ÷ 24
        ((1, 0, 0, 0, NA, NA, NA), 4, "little or none"),  # 4.17
        ((1, NA, 2, 3, 4, 5, 6), 58, "severe"),  # 21 ÷ 36 = 58.3
        ((3, 0, 0, 0, NA, NA, NA), 13, "mild"),  # 12.5, halves go up
        ((5, 0, 0, 0, 0, NA, NA), 17, "mild"),  # 16.7
    ],
)
def test_the_bipf_is_a_percent_of_what_the_areas_that_apply_could_give(
    answers: tuple[Any, ...], total: int, band: str
) -> None:
    found = scored("b_ipf", numbered(*answers))

    assert (found.total, found.band, found.missing, found.prorated) == (total, band, (), False)
    assert positive("b_ipf", numbered(*answers)) is (total >= 11)


def test_the_bipf_must_be_complete_and_say_something() -> None:
    assert scored("b_ipf", numbered(1, 2, 3, 4, 5, 6)).missing == ("q7",)
    nothing_applies = scored("b_ipf", numbered(*[NA] * 7))
    assert (nothing_applies.total, nothing_applies.unscorable_because) == (None, "No item is answered with a value.")


# --- MEQ-30 ----------------------------------------------------------------------------------------------------------

FACTORS = {group.name: group.items for group in instruments.get("meq30").groups}
# 60 % of 75, 30, 30 and 15 is 45, 18, 18 and 9: an average of 3 on each.
THREES = numbered(*[3] * 30)


def test_the_meq30_adds_each_factor_and_no_total() -> None:
    found = scored("meq30", numbered(*[5] * 30))

    assert list(found.parts.values()) == [75, 30, 30, 15]
    assert (found.total, found.band) == (None, None)
    assert list(scored("meq30", numbered(*[0] * 30)).parts.values()) == [0, 0, 0, 0]


def test_an_experience_is_complete_with_sixty_percent_on_each_factor() -> None:
    assert positive("meq30", THREES) is True
    assert rules_of("meq30", THREES, programme()) == ["screening.experience_complete"]
    assert positive("meq30", numbered(*[5] * 30)) is True


@pytest.mark.parametrize("factor", list(FACTORS))
def test_one_point_less_on_one_factor_is_not_complete(factor: str) -> None:
    assert positive("meq30", {**THREES, FACTORS[factor][0]: 2}) is False
    rest = dict.fromkeys(THREES, 5)
    assert positive("meq30", {**rest, **dict.fromkeys(FACTORS[factor], 2)}) is False


def test_a_clinic_may_set_the_percent() -> None:
    assert rules_of("meq30", THREES, changed(meq30__complete_from_percent=61)) == []
    assert rules_of("meq30", THREES, changed(meq30__complete_from_percent=60.5)) == []


def test_the_meq30_must_be_complete() -> None:
    found = scored("meq30", {**THREES, "q30": None})

    assert found.missing == ("q30",)
    assert positive("meq30", {**THREES, "q30": None}) is None


# --- Session ratings, PSS-10, CADSS ----------------------------------------------------------------------------------


def test_session_ratings_are_kept_and_never_added() -> None:
    given = {"dissociation": 10, "distress": 0, "nausea": 3, "sedation": 7}
    found = scored("session_ratings", given)

    assert (found.total, found.missing, found.trace["added"]) == (None, (), given)
    assert scored("session_ratings", {"dissociation": 0}).missing == ("distress", "nausea", "sedation")
    for wrong in (-1, 11):
        with pytest.raises(InvalidInput):
            scored("session_ratings", {"nausea": wrong})


def test_the_pss10_turns_four_items_around() -> None:
    assert scored("pss10", numbered(*[0] * 10)).total == 16
    assert scored("pss10", numbered(4, 4, 4, 0, 0, 4, 0, 0, 4, 4)).total == 40
    assert scored("pss10", numbered(0, 0, 0, 4, 4, 0, 4, 4, 0, 0)).total == 0
    assert scored("pss10", numbered(*[0] * 9)).total is None


def test_the_cadss_adds_its_items() -> None:
    assert scored("cadss", numbered(*[4] * 23)).total == 92
    assert scored("cadss", numbered(*[4] * 22)).total is None


# --- Change ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "baseline", "current", "expected"),
    [
        ("pcl5", 32, 0, None),  # under the positive cut-off
        ("pcl5", 33, 0, OutcomeClass.RESPONSE),  # no remission is defined
        ("pcl5", 40, 20, OutcomeClass.RESPONSE),  # exactly 50 %
        ("pcl5", 40, 21, OutcomeClass.PARTIAL),
        ("pcl5", 40, 30, OutcomeClass.PARTIAL),  # exactly 25 %, under the minimal change of 15
        ("pcl5", 40, 31, OutcomeClass.NO_CHANGE),
        ("pcl5", 70, 55, OutcomeClass.PARTIAL),  # 21 %, but 15 points
        ("pcl5", 70, 56, OutcomeClass.NO_CHANGE),
        ("pcl5", 40, 54, OutcomeClass.NO_CHANGE),
        ("pcl5", 40, 55, OutcomeClass.DETERIORATED),
        ("qids_sr16", 10, 0, None),
        ("qids_sr16", 11, 5, OutcomeClass.REMISSION),
        ("qids_sr16", 12, 6, OutcomeClass.RESPONSE),
        ("qids_sr16", 12, 7, OutcomeClass.PARTIAL),
        ("qids_sr16", 12, 9, OutcomeClass.PARTIAL),
        ("qids_sr16", 12, 10, OutcomeClass.NO_CHANGE),
        ("qids_sr16", 24, 19, OutcomeClass.PARTIAL),  # 21 %, but 5 points
        ("qids_sr16", 24, 20, OutcomeClass.NO_CHANGE),
        ("qids_sr16", 12, 16, OutcomeClass.NO_CHANGE),
        ("qids_sr16", 12, 17, OutcomeClass.DETERIORATED),
        ("wsas", 9, 0, None),
        ("wsas", 10, 0, OutcomeClass.RESPONSE),
        ("wsas", 20, 10, OutcomeClass.RESPONSE),
        ("wsas", 20, 11, OutcomeClass.PARTIAL),
        ("wsas", 20, 15, OutcomeClass.PARTIAL),
        ("wsas", 20, 16, OutcomeClass.NO_CHANGE),
        ("wsas", 40, 32, OutcomeClass.PARTIAL),  # 20 %, but 8 points
        ("wsas", 40, 33, OutcomeClass.NO_CHANGE),
        ("wsas", 20, 27, OutcomeClass.NO_CHANGE),
        ("wsas", 20, 28, OutcomeClass.DETERIORATED),
        ("b_ipf", 10, 0, None),
        ("b_ipf", 11, 0, OutcomeClass.RESPONSE),
        ("b_ipf", 60, 30, OutcomeClass.RESPONSE),
        ("b_ipf", 60, 31, OutcomeClass.PARTIAL),
        ("b_ipf", 60, 50, OutcomeClass.PARTIAL),  # 17 %, but 10 points
        ("b_ipf", 60, 51, OutcomeClass.NO_CHANGE),
        ("b_ipf", 30, 22, OutcomeClass.PARTIAL),  # 8 points, but 27 %
        ("b_ipf", 60, 69, OutcomeClass.NO_CHANGE),
        ("b_ipf", 60, 70, OutcomeClass.DETERIORATED),
        ("dast10", 10, 0, None),
        ("audit_c", 12, 0, None),
        ("mdq", 13, 0, None),
        ("pss10", 40, 0, None),
        ("meq30", 100, 0, None),
    ],
)
def test_each_instrument_with_a_change_rule_forms_its_class(
    name: str, baseline: int, current: int, expected: OutcomeClass | None
) -> None:
    found = outcome_class(instruments.get(name), baseline=baseline, current=current, programme=programme())

    assert found is expected


@pytest.mark.parametrize(
    ("baseline", "current", "reliable", "significant"),
    [
        (43, 28, True, True),  # 15 points, and down to 28
        (42, 28, False, False),  # 14 points
        (44, 29, True, False),
        (43, 29, False, False),
        (80, 28, True, True),
        (40, 55, True, False),  # reliably worse
        (40, 54, False, False),
    ],
)
def test_the_pcl5_tells_reliable_and_clinically_significant_change(
    baseline: int, current: int, reliable: bool, significant: bool
) -> None:
    change = compare(instruments.get("pcl5"), baseline=baseline, current=current, programme=programme())

    assert change is not None
    assert (change.drop, change.reliable, change.clinically_significant) == (baseline - current, reliable, significant)
    assert str(baseline) not in repr(change).split(" at ")[0]


def test_other_instruments_tell_no_reliable_change() -> None:
    change = compare(instruments.get("phq9"), baseline=20, current=4, programme=programme())

    assert change is not None
    assert (change.outcome, change.drop) == (OutcomeClass.REMISSION, 16)
    assert (change.reliable, change.clinically_significant) == (None, None)


def test_the_phq9_and_the_gad7_are_positive_by_their_total() -> None:
    assert rules_of("phq9", numbered(3, 3, 3, 1, 0, 0, 0, 0, 0), programme()) == ["screening.total_positive"]
    assert positive("phq9", numbered(3, 3, 3, 0, 0, 0, 0, 0, 0)) is False
    assert positive("gad7", numbered(3, 3, 3, 1, 0, 0, 0)) is True
    assert positive("gad7", numbered(3, 3, 3, 0, 0, 0, 0)) is False
    assert positive("cssrs", {"q1": False, "q2": False, "q6_ever": False}) is None


def test_a_result_is_kept_with_its_findings() -> None:
    instrument = instruments.get("audit_c")
    result = read_result(instrument, score(instrument, numbered(3, 0, 0)), programme())

    assert result.as_dict() == {
        "positive": True,
        "findings": [finding.as_dict() for finding in result.findings],
    }
    assert [each["rule"] for each in result.as_dict()["findings"]] == [
        "screening.alcohol_positive",
        "screening.alcohol_one_question",
    ]
    assert "True" not in repr(result)


def test_a_score_is_kept_as_plain_json_with_its_whole_trace() -> None:
    found = scored("qids_sr16", {**QIDS_ZERO, "q1": 2, "q16": None})

    assert (found.complete, scored("qids_sr16", QIDS_ZERO).complete) == (False, True)
    assert found.as_dict()["missing"] == ["q16"]
    assert found.as_dict() == {
        "instrument": "qids_sr16",
        "version": "1",
        "total": None,
        "band": None,
        "prorated": False,
        "missing": ["q16"],
        "unscorable_because": "Not answered: q16. At most 0 may be missing.",
        "parts": found.parts,
        "trace": {
            "answers": {
                name: answer for name, answer in {**QIDS_ZERO, "q1": 2}.items() if answer is not None and name != "q16"
            },
            "added": found.trace["added"],
            "groups": found.parts,
            "sum": 2,
            "answered": 13,
            "items": 16,
            "texts": None,
        },
    }
    assert scored("session_ratings", {"nausea": 3}).trace == {
        "answers": {"nausea": 3},
        "added": {"nausea": 3},
        "groups": {},
        "sum": None,
        "answered": 1,
        "texts": "shipped",
    }


@pytest.mark.parametrize(
    ("setting", "percent", "current", "expected"),
    [
        ("response_drop_percent", 47.5, 21, OutcomeClass.RESPONSE),  # 19 of 40 is 47.5 %
        ("response_drop_percent", 47.7, 21, OutcomeClass.PARTIAL),
        ("partial_drop_percent", 22.5, 31, OutcomeClass.PARTIAL),  # 9 of 40 is 22.5 %
        ("partial_drop_percent", 22.6, 31, OutcomeClass.NO_CHANGE),
    ],
)
def test_a_part_of_a_percent_decides_too(setting: str, percent: float, current: int, expected: OutcomeClass) -> None:
    ours = changed(**{f"outcome_classes__{setting}": percent})

    assert outcome_class(instruments.get("pcl5"), baseline=40, current=current, programme=ours) is expected


def test_an_empty_form_says_that_nothing_is_answered() -> None:
    assert scored("session_ratings", {}).unscorable_because is not None
    assert scored("cssrs", {}).missing == ("q1", "q2", "q6_ever")
    assert scored("b_ipf", numbered(*[NA] * 7)).prorated is False
