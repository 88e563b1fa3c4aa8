"""What a programme words in its own way: text messages, consents and prompts, checked before anybody reads them.

Each package knows what its texts have to hold; this asks all of them.
"""

from __future__ import annotations

from pathlib import Path

from services.core.errors import InvalidConfiguration
from services.core.programme import Programme, line_of
from services.journals.prompts import prompt_problems
from services.messaging.texts import text_problems
from services.screening.consent_texts import consent_problems


def wording_problems(programme: Programme) -> dict[str, str]:
    """What is wrong with a programme's own words, by setting; empty when nothing is."""
    return {**text_problems(programme), **consent_problems(programme), **prompt_problems(programme)}


def check_wording(programme: Programme, file: Path) -> None:
    """Raise ``InvalidConfiguration`` with everything that is wrong with a programme's words, by line and setting."""
    problems = wording_problems(programme)
    if not problems:
        return
    lines = {setting: line_of(file, setting) for setting in problems}
    told = [
        f"{file.name}{'' if lines[setting] is None else f', line {lines[setting]}'}: '{setting}': {wrong}"
        for setting, wrong in sorted(problems.items(), key=lambda each: lines[each[0]] or 0)
    ]
    raise InvalidConfiguration("\n".join(told))
