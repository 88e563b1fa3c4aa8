"""The command that judges stored decisions again under a changed programme, before anybody adopts it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy.orm import Session

from services import replays
from services.core.database import only_reading, transaction
from services.core.errors import InvalidConfiguration
from services.core.findings import Finding
from services.core.programme import Programme, load_programme
from services.people import programmes
from services.replays import Change


@click.command("replay")
@click.option(
    "--programme",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The changed programme.",
)
@click.option(
    "--of", "names", multiple=True, help="Only what was decided under this programme (a name); repeat for more."
)
def replay(file: Path, names: tuple[str, ...]) -> None:
    """Judge all stored decisions again under a changed programme: who would be judged differently, and why.

    Eligibility decisions, undecided reviews, refill requests and their approvals, by the facts on record. Writes
    nothing, and names episodes by id alone.
    """
    given = load_programme(file)
    programmes.check_complete(given)
    tally = _Tally()
    with transaction() as session, only_reading(session):
        settled = _settled(session, given)
        changed = {version: _changed(session, version, given) for version in replays.versions(session)}
        total = replays.count(session, names)
        bar = click.progressbar(length=total, label="judging again", file=sys.stderr, show_pos=True)
        with bar:
            for page in replays.replay(session, given, names):
                tally.add(page)
                bar.update(page.judged)
    for change in sorted(tally.changes, key=lambda each: (each.episode_id, each.kind, each.id)):
        for line in _lines(change, changed.get(change.programme_version, {})):
            click.echo(line)
    for line in tally.summary(given):
        click.echo(line)
    for setting in settled:
        click.echo(f"WARNING: a change of {setting} is not judged again: the facts hold its result.", err=True)
    for row_id in tally.unreadable:
        click.echo(f"the facts of {row_id} do not open or do not fit the rules of today", err=True)


class _Tally:
    """What came of all pages together."""

    def __init__(self) -> None:
        self.judged = 0
        self.episodes: set[UUID] = set()
        self.changes: list[Change] = []
        self.unreadable: list[UUID] = []

    def add(self, page: replays.Page) -> None:
        """Count a page in."""
        self.judged += page.judged
        self.episodes |= page.episodes
        self.changes += page.changes
        self.unreadable += page.unreadable

    def summary(self, given: Programme) -> Iterator[str]:
        """How many, and what became of them, the most frequent first."""
        differing = {change.episode_id for change in self.changes}
        yield (
            f"{self.judged} decision(s) of {len(self.episodes)} episode(s) judged again under {given.version}: "
            f"{len(self.changes)} decision(s) of {len(differing)} episode(s) would be judged differently."
        )
        turns = Counter(f"{change.kind}: {_turn(change)}" for change in self.changes)
        rules = Counter(f"{sign} {each.rule}" for change in self.changes for sign, each in _moves(change))
        for what, times in [*turns.most_common(), *rules.most_common()]:
            yield f"{times:>7}  {what}"
        if self.unreadable:
            yield f"{len(self.unreadable)} could not be judged again."


def _settled(session: Session, given: Programme) -> list[str]:
    """The settings in which a programme on record differs from the given one without any effect here."""
    found: set[str] = set()
    for version in replays.versions(session):
        with suppress(InvalidConfiguration):  # lost; its decisions are judged by their facts all the same
            found.update(replays.not_replayed(programmes.version_of(session, version), given))
    return sorted(found)


def _changed(session: Session, version: str, given: Programme) -> Mapping[str, tuple[object, object]]:
    """The settings in which the programme of a decision and the given one differ; nothing when the former is lost."""
    try:
        return programmes.changes_between(programmes.version_of(session, version), given)
    except InvalidConfiguration:
        return {}


def _lines(change: Change, changed: Mapping[str, tuple[object, object]]) -> Iterator[str]:
    yield f"episode {change.episode_id}  {change.kind}  {_turn(change)}"
    for sign, finding in _moves(change):
        yield f"    {sign} {finding.rule} ({finding.severity.value}){_why(finding, changed)}"


def _turn(change: Change) -> str:
    if change.before == change.after:
        return f"{change.before}, with other findings"
    return f"{change.before} → {change.after}"


def _moves(change: Change) -> Iterator[tuple[str, Finding]]:
    yield from (("+", finding) for finding in change.gained)
    yield from (("-", finding) for finding in change.lost)
    yield from ((f"{before.severity.value} →", after) for before, after in change.turned)


def _why(finding: Finding, changed: Mapping[str, tuple[object, object]]) -> str:
    if finding.setting is None:
        return ""
    if finding.setting in changed:
        old, new = changed[finding.setting]
        return f"  {finding.setting}: {old} → {new}"
    return f"  {finding.setting}: {finding.value}"
