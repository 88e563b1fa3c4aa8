"""Made-up texts for the instruments whose wording we may not ship.

make_content_pack(tmp_path)      a content pack that fits, with all of them
"""

from __future__ import annotations

from pathlib import Path

from services.screening.definitions import Instrument, Kind
from services.screening.instrument_files import load_instruments


def make_content_pack(folder: Path) -> Path:
    """A file in ``folder`` with texts for every instrument that has none."""
    file = folder / "made-up.toml"
    head = '[pack]\nname = "Made up"\nversion = "1"\n'
    parts = [_part(each) for each in load_instruments().values() if not each.is_offered]
    file.write_text("\n".join([head, *parts]), encoding="utf-8")
    return file


def _part(instrument: Instrument) -> str:
    items = "\n".join(
        f'{item.id} = {{ text = "{instrument.title}, {item.id}"{_labels(item.low, item.high, item.kind)} }}'
        for item in instrument.items
    )
    head = f'[{instrument.id}]\nversion = "{instrument.version}"\nlicence = "Made up."\nprompt = "Choose."\n'
    return f"{head}\n[{instrument.id}.items]\n{items}\n"


def _labels(low: int, high: int, kind: Kind) -> str:
    words = ", ".join(f'"{value}"' for value in range(low, high + 1))
    return f", labels = [{words}]" if kind is Kind.SCALE else ""
