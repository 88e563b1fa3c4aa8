"""A cohort report as files: JSON, CSV for a spreadsheet, and a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from services.core.errors import InvalidInput
from services.outcomes.cohort_pictures import draw

LEFT_OUT: Final = "left out"
PICTURES: Final = ("png", "svg")
FORMATS: Final = ("json", "csv", *PICTURES)
COLUMNS: Final = (
    "section",
    "table",
    "row",
    "name",
    "count",
    "of",
    "percent",
    "low",
    "high",
    "published_low",
    "published_high",
    "source",
)


def format_of(path: Path) -> str:
    """The format that the ending of a file asks for. Raises ``InvalidInput`` naming the known ones."""
    wanted = path.suffix.removeprefix(".").lower()
    if wanted not in FORMATS:
        raise InvalidInput(f"The ending of the file says what to write: {', '.join(FORMATS)}.", field="to_file")
    return wanted


def document(report: Mapping[str, Any], wanted: str) -> bytes:
    """The report in one of ``FORMATS``."""
    match wanted:
        case "json":
            return json.dumps(report, indent=2, ensure_ascii=False).encode()
        case "csv":
            return _csv(report).encode()
    return draw(report, wanted)


def _csv(report: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(report))
    return stream.getvalue()


def _lines(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line for each number. What is left out says so: an empty field would look like nobody."""
    years = f"{report['first_year']}-{report['last_year']}"
    yield {"section": "about", "name": "programme", "row": report["programme_version"]}
    yield {"section": "about", "name": "years of the first dose", "row": years}
    yield {"section": "about", "name": "interval", "row": report["method"]["interval"]}
    yield {"section": "about", "name": "confidence in percent", "row": report["method"]["confidence_percent"]}
    if report["message"]:
        yield {"section": "about", "name": "message", "row": report["message"]}
    for figure in report["figures"]:
        line = {"section": "published", "name": figure["says"], **_numbers(figure, is_known=figure["assessed"])}
        yield line | {name: figure[name] for name in ("published_low", "published_high", "source")}
    for rate in report["rates"]:
        yield {"section": "rate", **{name: rate[name] for name in ("table", "row", "name")}, **_numbers(rate)}
    for table, rows in report["tables"].items():
        for row, counts in rows.items():
            for name, count in counts.items():
                shown = LEFT_OUT if count is None else count
                yield {"section": "table", "table": table, "row": row, "name": name, "count": shown}
    for row, days in report["first_dose_days"].items():
        for name, value in days.items():
            shown = LEFT_OUT if value is None else value
            yield {"section": "days from referral to first dose", "row": row, "name": name, "count": shown}


def _numbers(rate: Mapping[str, Any], *, is_known: bool = True) -> dict[str, Any]:
    missing = LEFT_OUT if is_known else "nobody assessed"
    return {name: missing if rate[name] is None else rate[name] for name in ("count", "of", "percent", "low", "high")}
