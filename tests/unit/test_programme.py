"""Programme files: every setting by name and of the right type, or a sentence about what is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration
from services.core.programme import DEFAULT_FILE, Programme, load_programme, programme

HEADER = '[programme]\nname = "test"\nversion = "1"\n'


def written(directory: Path, content: str | bytes) -> Path:
    path = directory / "clinic.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def loaded(directory: Path, settings: str = "") -> Programme:
    return load_programme(written(directory, HEADER + settings))


def test_settings_are_found_by_their_dotted_names(tmp_path: Path) -> None:
    read = loaded(tmp_path, '[vitals]\nrest_minutes = 10\n[vitals.start]\nsystolic_below = 140\nwords = ["a", "b"]\n')
    assert read.value("vitals.start.systolic_below") == 140
    assert read.number("vitals.rest_minutes") == 10
    assert read.choices("vitals.start.words") == {"a", "b"}
    assert read.name == "test"


@pytest.mark.parametrize(
    ("kind", "value", "is_right"),
    [
        ("number", "1", True),
        ("number", "0.25", True),
        ("number", "true", False),
        ("number", '"1"', False),
        ("number", "nan", False),
        ("number", "inf", False),
        ("whole", "3", True),
        ("whole", "3.0", False),
        ("whole", "true", False),
        ("text", '"office"', True),
        ("text", "1", False),
        ("choices", '["a"]', True),
        ("choices", "[]", True),
        ("choices", '"a"', False),
        ("choices", '["a", 1]', False),
    ],
)
def test_a_setting_has_the_type_that_is_asked_for_or_is_named(
    tmp_path: Path, kind: str, value: str, is_right: bool
) -> None:
    read = loaded(tmp_path, f"[a]\nb = {value}\n")
    ask = getattr(read, kind)
    if is_right:
        assert ask("a.b") is not None
    else:
        with pytest.raises(InvalidConfiguration, match=r"'a\.b' of 'test' must be a"):
            ask("a.b")


def test_a_setting_that_nobody_defined_is_named_with_its_programme(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"The programme 'test' has no setting 'a\.c'"):
        loaded(tmp_path, "[a]\nb = 1\n").number("a.c")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lacks 'programme'"),
        ("[programme]\nname = 'x'\n", "lacks 'version'"),
        ("[programme]\nversion = '1'\n", "lacks 'name'"),
        ("programme = 3\n", "lacks"),
        ("[[programme]]\nname = 'x'\n", "lacks"),
        ("[programme\n", "is not valid TOML"),
        (HEADER + "a = 1\na = 2\n", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_programme_is_named_with_what_is_wrong(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        load_programme(written(tmp_path, content))
    assert "clinic.toml" in refused.value.message
    assert said in refused.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(InvalidConfiguration, match=f"{path.name} cannot be read"):
            load_programme(path)


def test_any_change_of_a_file_is_another_version(tmp_path: Path) -> None:
    first = loaded(tmp_path, "[a]\nb = 1\n")
    assert loaded(tmp_path, "[a]\nb = 1\n").version == first.version
    assert loaded(tmp_path, "[a]\nb = 2\n").version != first.version
    assert first.version.startswith("test-1-")
    assert len(first.version) <= 80  # what the tables have room for


def test_the_default_programme_is_read_once_and_names_its_numbers_finite() -> None:
    assert programme(DEFAULT_FILE) is programme(DEFAULT_FILE)
    numbers: list[Any] = [value for value in programme().settings.values() if isinstance(value, int | float)]
    assert len(numbers) > 50
    assert all(math.isfinite(number) for number in numbers)


def test_a_programme_never_changes(tmp_path: Path) -> None:
    read = loaded(tmp_path, "[a]\nb = 1\n")
    with pytest.raises((AttributeError, TypeError)):
        read.settings["a.b"] = 2  # type: ignore[index]  # that it cannot be done is the point
