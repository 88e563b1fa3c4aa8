"""An operator's texts: a pack that fits is put in, a wrong one is refused by file, line and key (DOMAIN 2.3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from coordinator.cli import main
from services.core.errors import InvalidConfiguration
from services.core.programme import Programme, load_programme, shipped
from services.screening import instruments
from services.screening.content_packs import with_content_pack
from services.screening.instrument_files import load_instruments
from services.screening.scoring import score
from tests.factories_programmes import changed

LABELS = ", ".join(f'"{number}"' for number in range(9))
GOOD = f"""# A made-up pack.
[pack]
name = "Lakeside"
version = "7"

[wsas]
version = "1"
licence = "By permission."
prompt = "How much do your problems get in the way of:"
labels = [{LABELS}]

[wsas.items]
q1 = "One"
q2 = "Two"
q3 = "Three"
q4 = "Four"
q5 = {{ text = "Five", examples = "Such as this.", labels = [{LABELS.replace('"8"', '"very"')}] }}
"""
YES_NO = """
[pack]
name = "Lakeside"
version = "7"

[dast10]
version = "1"
licence = "By permission."
credit = "Skinner"
prompt = "In the past 12 months:"

[dast10.items]
""" + "\n".join(f'q{number} = "Question {number}"' for number in range(1, 11))


def written(folder: Path, text: str, name: str = "forms.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_pack_gives_the_words_and_leaves_the_scoring_alone(tmp_path: Path) -> None:
    ours = load_instruments()["wsas"]
    wsas = with_content_pack(load_instruments(), written(tmp_path, GOOD))["wsas"]

    assert (ours.is_offered, wsas.is_offered, wsas.texts_from) == (False, True, "Lakeside 7")
    assert [item.text for item in wsas.items] == ["One", "Two", "Three", "Four", "Five"]
    assert (wsas.prompt, wsas.licence) == ("How much do your problems get in the way of:", "By permission.")
    assert wsas.credit == ours.credit
    assert (wsas.items[0].labels[8], wsas.items[4].labels[8], wsas.items[4].examples) == ("8", "very", "Such as this.")
    assert [(item.id, item.low, item.high, item.may_not_apply) for item in wsas.items] == [
        (item.id, item.low, item.high, item.may_not_apply) for item in ours.items
    ]
    assert score(wsas, dict.fromkeys(("q1", "q2", "q3", "q4", "q5"), 2)).trace["texts"] == "Lakeside 7"


def test_yes_and_no_need_no_labels(tmp_path: Path) -> None:
    dast10 = with_content_pack(load_instruments(), written(tmp_path, YES_NO))["dast10"]

    assert {item.labels for item in dast10.items} == {("No", "Yes")}
    assert dast10.credit == "Skinner"
    assert dast10.items[2].reverse


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.toml")
    written(tmp_path, YES_NO, "b.toml")
    written(tmp_path, "not TOML", "notes.txt")
    told = with_content_pack(load_instruments(), tmp_path)

    assert [name for name in ("wsas", "dast10", "mdq") if told[name].is_offered] == ["wsas", "dast10"]
    assert list(told) == list(load_instruments())


def test_two_files_must_not_give_the_same_texts(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.toml")
    written(tmp_path, GOOD, "b.toml")
    with pytest.raises(InvalidConfiguration, match=r"^b\.toml: wsas: another file of the content pack"):
        with_content_pack(load_instruments(), tmp_path)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"holds no file that ends in \.toml"):
        with_content_pack(load_instruments(), tmp_path)


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('q2 = "Two"', 'q2 = "Two', "forms.toml is not valid TOML: Illegal character '\\n' (at line 14, column 10)"),
        ("[pack]", "[packs]", "forms.toml: pack: must be a table."),
        ('name = "Lakeside"', "", "forms.toml, line 2: pack: 'name' is missing."),
        ('name = "Lakeside"', 'name = " "', "forms.toml, line 3: pack: 'name' is empty."),
        ('name = "Lakeside"', 'name = "Lakeside"\nby = "us"', "forms.toml, line 4: pack: unknown key 'by'."),
        ("[wsas]\n", "[wsaz]\n[wsas]\n", "forms.toml, line 6: wsaz: there is no such instrument."),
        ("[wsas]\n", "[phq9]\n[wsas]\n", "forms.toml, line 6: phq9: its texts are part of this software"),
        ("[wsas]\n", "wsas = 3\n[mdq]\n", "forms.toml, line 6: pack: unknown key 'wsas'."),
        (
            'version = "1"',
            'version = "2"',
            "forms.toml, line 7: wsas: 'version' must be '1', the scoring that these texts belong to.",
        ),
        ('version = "1"\n', "", "forms.toml, line 6: wsas: 'version' is missing."),
        ('version = "1"', "version = 1", "forms.toml, line 7: wsas: 'version' must be a text."),
        ('licence = "By permission."', "", "forms.toml, line 6: wsas: 'licence' is missing."),
        (
            'prompt = "How much do your problems get in the way of:"',
            'prompt = ""',
            "forms.toml, line 9: wsas: 'prompt' is",
        ),
        (
            'licence = "By permission."',
            'licence = "By permission."\nrange = [0, 4]',
            "forms.toml, line 9: wsas: unknown key 'range'.",
        ),
        ('q3 = "Three"\n', "", "forms.toml, line 12: wsas.items: the item 'q3' is missing."),
        ('q3 = "Three"', 'q3 = "Three"\nq6 = "Six"', "forms.toml, line 16: wsas.items: unknown key 'q6'."),
        ('q3 = "Three"', 'q3 = ""', "forms.toml, line 15: wsas.items.q3: 'text' is empty."),
        ('q3 = "Three"', "q3 = 3", "forms.toml, line 15: wsas.items.q3: must be a table."),
        (
            'q3 = "Three"',
            'q3 = { text = "Three", scored = false }',
            "forms.toml, line 15: wsas.items.q3: unknown key 'scored'.",
        ),
        (
            '["0", "1", "2", "3", "4", "5", "6", "7", "8"]\n\n',
            '["0", "1"]\n\n',
            "forms.toml, line 13: wsas.items.q1: 'labels' must hold 9 texts, one for each answer from 0 to 8; there",
        ),
        (
            '["0", "1", "2", "3", "4", "5", "6", "7", "8"]\n\n',
            '["0", "1", "2", "3", "4", "5", "6", "7", " "]\n\n',
            "forms.toml, line 10: wsas: one of 'labels' is empty.",
        ),
        (
            'labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8"]\n\n',
            "\n",
            "forms.toml, line 12: wsas.items.q1: 'labels' must hold 9 texts",
        ),
    ],
)
def test_a_wrong_pack_is_refused_by_file_line_and_key(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in GOOD
    with pytest.raises(InvalidConfiguration) as refusal:
        with_content_pack(load_instruments(), written(tmp_path, GOOD.replace(was, becomes, 1)))

    assert refusal.value.message.startswith(complaint)


def test_a_pack_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"nowhere\.toml cannot be read"):
        with_content_pack(load_instruments(), tmp_path / "nowhere.toml")


def asking_for(*names: str) -> Programme:
    return changed({"screening.instruments": list(names)})


def test_a_programme_asks_only_for_what_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = "screening.instruments"
    with pytest.raises(InvalidConfiguration, match=r"asks for mdq, wsas, whose texts we may not ship"):
        instruments.asked_by(asking_for("phq9", "wsas", "mdq"), setting)
    with pytest.raises(InvalidConfiguration, match=r"names no instrument of ours: beck"):
        instruments.asked_by(asking_for("phq9", "beck"), setting)

    monkeypatch.setenv("COORDINATOR_CONTENT_PACK", str(written(tmp_path, GOOD)))

    assert [each.id for each in instruments.asked_by(asking_for("wsas", "phq9"), setting)] == ["phq9", "wsas"]
    assert "wsas" in [each.id for each in instruments.offered()]
    assert instruments.get("wsas").items[0].text == "One"


@pytest.mark.parametrize("name", list(shipped()))
def test_what_a_shipped_programme_asks_for_can_be_shown_without_a_pack(name: str) -> None:
    instruments.check_asked(load_programme(shipped()[name]))


@pytest.mark.parametrize(
    "setting",
    [
        "screening.instruments",
        "outcomes.instruments",
        "outcomes.scales_for_refill",
        "outcomes.cadence.instruments",
        "outcomes.cadence.by_diagnosis.trauma",
    ],
)
def test_every_list_of_instruments_is_checked(setting: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"'{setting}' of 'default' asks for wsas"):
        instruments.check_asked(changed({setting: ["wsas"]}))


def test_the_command_line_checks_a_pack(tmp_path: Path) -> None:
    good = CliRunner().invoke(main, ["check-content-pack", str(written(tmp_path, GOOD))])
    wrong = CliRunner().invoke(main, ["check-content-pack", str(written(tmp_path, GOOD.replace("q5", "q6")))])

    assert good.exit_code == 0
    assert good.output.splitlines() == [
        "wsas           5 items, texts of Lakeside 7",
        "The content pack fits.",
    ]
    assert wrong.exit_code == 1
    assert "forms.toml, line 12: wsas.items: the item 'q5' is missing." in wrong.output


def test_the_example_in_the_document_fits(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "content-packs.md").read_text(encoding="utf-8")
    example = document.split("```toml\n")[1].split("```")[0]

    assert with_content_pack(load_instruments(), written(tmp_path, example))["wsas"].is_offered
