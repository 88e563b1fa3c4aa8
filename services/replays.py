"""Stored decisions, judged again under a changed programme: who would be judged differently, and why.

The facts of each decision and the findings it was made on are on record. Nothing is written, and nobody is named: what
comes out are ids of episodes and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from services.core.errors import CoordinationError
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.eligibility.decisions import Decision
from services.eligibility.facts import Facts
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.eligibility.rules import evaluate as evaluate_eligibility
from services.eligibility.rules import may_override
from services.refills.gate import facts_from
from services.refills.models import RefillAct, RefillRequest
from services.refills.rules import evaluate as evaluate_refill
from services.vault.boxes import Box, boxes

PAGE: Final = 500

Row = EligibilityDecision | EligibilityReview | RefillRequest | RefillAct


class Kind(StrEnum):
    """What was decided. A review counts while nobody decided on it; of a refill both the request and its approval."""

    DECISION = "eligibility decision"
    REVIEW = "eligibility review"
    REQUEST = "refill request"
    APPROVAL = "refill approval"


@dataclass(frozen=True, slots=True)
class Change:
    """One decision that would be judged differently.

    ``before`` and ``after`` are what follows from the findings: that it stands (``approve``, ``pass``), or what weighs
    most (``stop``, ``review``, ``inform``, ``clear``). ``gained`` and ``lost`` are findings by rule, ``turned`` those
    whose weight changed, as (before, after).
    """

    kind: Kind
    id: UUID
    episode_id: UUID
    programme_version: str
    before: str
    after: str
    gained: tuple[Finding, ...]
    lost: tuple[Finding, ...]
    turned: tuple[tuple[Finding, Finding], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions judged again. ``unreadable`` are the ids of those whose facts do not open or do not fit."""

    judged: int
    episodes: frozenset[UUID]
    changes: tuple[Change, ...]
    unreadable: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where decisions of a kind stand: the row, which of them count, and how to judge one again."""

    kind: Kind
    row: type[Row]
    counts: ColumnElement[bool]
    judge: Callable[[Any, Box, Programme], Change | None]


def count(session: Session, made_under: Sequence[str] = ()) -> int:
    """How many decisions ``replay`` would judge again."""
    return sum(
        session.scalar(select(func.count()).select_from(each.row).where(*_which(each, made_under))) or 0
        for each in _SOURCES
    )


def replay(
    session: Session, programme: Programme, made_under: Sequence[str] = (), *, page: int = PAGE
) -> Iterator[Page]:
    """Judge every stored decision again under ``programme``, ``page`` of them at a time; ``session`` only reads.

    ``made_under`` leaves only what was decided under programmes of these names.
    """
    for source in _SOURCES:
        after: UUID | None = None
        while rows := _page(session, source, made_under, after, page):
            after = rows[-1].id
            yield _judged(session, source, rows, programme)
            session.expunge_all()


def not_replayed(before: Programme, after: Programme) -> list[str]:
    """The settings that differ between two programmes and change no judgement here, since the facts hold their result.

    Of AUDIT-C and MDQ the facts keep whether they were positive, and of a therapist whether one was offered.
    """
    names = before.settings.keys() | after.settings.keys()
    settled = (name for name in sorted(names) if name.startswith(_SETTLED))
    return [name for name in settled if before.settings.get(name) != after.settings.get(name)]


_SETTLED: Final = ("instruments.audit_c.", "instruments.mdq.", "matching.offered")


def versions(session: Session) -> list[str]:
    """The programme versions that stored decisions were made under."""
    found = {
        version
        for each in _SOURCES
        for version in session.scalars(select(each.row.programme_version).where(each.counts).distinct())
        if version is not None
    }
    return sorted(found)


def _which(source: _Source, made_under: Sequence[str]) -> list[ColumnElement[bool]]:
    if not made_under:
        return [source.counts]
    named = [source.row.programme_version.startswith(f"{name}-", autoescape=True) for name in made_under]
    return [source.counts, or_(*named)]


def _page(session: Session, source: _Source, made_under: Sequence[str], after: UUID | None, size: int) -> Sequence[Row]:
    query = select(source.row).where(*_which(source, made_under)).order_by(source.row.id).limit(size)
    rows = session.scalars(query if after is None else query.where(source.row.id > after)).all()
    return cast("Sequence[Row]", rows)


def _judged(session: Session, source: _Source, rows: Sequence[Row], programme: Programme) -> Page:
    own = boxes(session, {row.patient_id for row in rows})
    changes, unreadable = [], []
    for row in rows:
        try:
            change = source.judge(row, own[row.patient_id], programme)
        except (CoordinationError, KeyError, TypeError, ValueError):
            unreadable.append(row.id)
            continue
        if change is not None:
            changes.append(change)
    return Page(len(rows), frozenset(row.episode_id for row in rows), tuple(changes), tuple(unreadable))


def _judge_decision(row: EligibilityDecision, own: Box, programme: Programme) -> Change | None:
    before = _stored(row, own)
    after = evaluate_eligibility(Facts.from_dict(own.open(row, "inputs").reveal()), programme)
    if _weights(before) == _weights(after):
        return None
    if row.decision != Decision.APPROVE:
        return _change(Kind.DECISION, row, before, after, _heaviest(before), _heaviest(after))
    reasons = own.open(row, "reasons").reveal()["findings"]
    return _change(Kind.DECISION, row, before, after, "approve", _approval_under(after, reasons))


def _judge_review(row: EligibilityReview, own: Box, programme: Programme) -> Change | None:
    before = _stored(row, own)
    after = evaluate_eligibility(Facts.from_dict(own.open(row, "inputs").reveal()), programme)
    if _weights(before) == _weights(after):
        return None
    return _change(Kind.REVIEW, row, before, after, _heaviest(before), _heaviest(after))


def _judge_refill(kind: Kind) -> Callable[[RefillRequest | RefillAct, Box, Programme], Change | None]:
    def judge(row: RefillRequest | RefillAct, own: Box, programme: Programme) -> Change | None:
        before = _stored(row, own)
        after = evaluate_refill(facts_from(own.open(row, "facts").reveal()), programme)
        if _weights(before) == _weights(after):
            return None
        passed = "approve" if kind is Kind.APPROVAL else "pass"
        return _change(kind, row, before, after, _gate(before, passed), _gate(after, passed))

    return judge


def _gate(findings: Sequence[Finding], passed: str) -> str:
    return "stop" if any(each.severity is Severity.STOP for each in findings) else passed


def _approval_under(findings: Sequence[Finding], reasons: Mapping[str, str]) -> str:
    """What becomes of an approval: whoever gave a reason for a finding would give it again."""
    open_ones = {each.severity for each in findings if each.rule not in reasons or not _may_explain(each)}
    for severity, word in ((Severity.STOP, "stop"), (Severity.REVIEW, "review")):
        if severity in open_ones:
            return word
    return "approve"


def _may_explain(finding: Finding) -> bool:
    return finding.severity is not Severity.STOP or may_override(finding.rule)


def _stored(row: Row, own: Box) -> list[Finding]:
    return [Finding.from_dict(each) for each in own.open(row, "findings").reveal() or ()]


def _weights(findings: Sequence[Finding]) -> dict[str, Severity]:
    return {each.rule: each.severity for each in findings}


def _heaviest(findings: Sequence[Finding]) -> str:
    found = {each.severity for each in findings}
    return next((severity.value for severity in Severity if severity in found), "clear")


def _change(
    kind: Kind, row: Row, before: Sequence[Finding], after: Sequence[Finding], was: str, becomes: str
) -> Change:
    old, new = ({each.rule: each for each in findings} for findings in (before, after))
    return Change(
        kind=kind,
        id=row.id,
        episode_id=row.episode_id,
        programme_version=row.programme_version or "",
        before=was,
        after=becomes,
        gained=tuple(each for rule, each in new.items() if rule not in old),
        lost=tuple(each for rule, each in old.items() if rule not in new),
        turned=tuple(
            (old[rule], each) for rule, each in new.items() if rule in old and old[rule].severity is not each.severity
        ),
    )


_SOURCES: Final = (
    _Source(Kind.DECISION, EligibilityDecision, EligibilityDecision.id.is_not(None), _judge_decision),
    _Source(
        Kind.REVIEW,
        EligibilityReview,
        ~exists().where(EligibilityDecision.review_id == EligibilityReview.id),
        _judge_review,
    ),
    _Source(Kind.REQUEST, RefillRequest, RefillRequest.id.is_not(None), _judge_refill(Kind.REQUEST)),
    _Source(Kind.APPROVAL, RefillAct, RefillAct.facts.is_not(None), _judge_refill(Kind.APPROVAL)),
)
