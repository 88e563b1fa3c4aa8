"""Access to signing, as two people give it: operations nominates, a DEA registrant approves with two factors.

It is taken away the same day when the second factor is lost, the account is shut, or the papers run out, are suspended
or revoked (21 CFR 1311.125). A package above tells the desk of what ended; this one cannot: it stands below messaging.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CompoundSelect, bindparam, literal, or_, select, union_all
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import InvalidInput, NotFound, RuleRefused
from services.core.findings import Finding, Severity, of_severity
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Secret
from services.people.access import Action, authorize
from services.people.attempts import Refused
from services.people.grant_rules import GRANT_OPEN, Papers, approval_findings, naming_findings, nomination_findings
from services.people.models import OPEN_GRANT, Account, DeaRegistration, Licence, SigningGrant
from services.people.paper_rules import DeaFacts, LicenceFacts
from services.people.sign_in import verify_second_factor
from services.people.states import GRANT_TRANSITIONS, GrantState, GrantStep

NOT_VISIBLE: Final = "There is no such grant, or it is not yours to see."
# Where a US calendar day begins last. A paper revoked "today" is dated here, so that its last valid day is over in
# every state at the moment of revoking.
LAST_ZONE: Final = ZoneInfo("Pacific/Pago_Pago")


class EndCode(StrEnum):
    """Why access to signing ended."""

    WITHDRAWN = "withdrawn"
    FACTOR_LOST = "factor_lost"
    PAPERS_ENDED = "papers_ended"
    ACCOUNT_CLOSED = "account_closed"


def nominate(session: Session, actor: Actor, account_id: UUID, approver_id: UUID | None = None) -> SigningGrant:
    """Operations proposes a prescriber for signing, having seen who they are and their papers.

    ``approver_id`` names a DEA registrant of another medical team, who alone may approve then: for a team whose only
    prescriber this is. Raises ``InvalidInput`` for anybody but an active prescriber, and on ``approver_id`` for anybody
    but one of another team; ``RuleRefused`` without valid papers of either; ``Conflict`` when an earlier nomination or
    grant is open.
    """
    authorize(actor, Action.NOMINATE_SIGNER)
    account = session.get(Account, account_id, with_for_update={"key_share": True})
    if account is None:
        raise NotFound("There is no such account.")
    if account.role != Role.PRESCRIBER or account.disabled_at is not None:
        raise InvalidInput("Only an active prescriber signs prescriptions.", field="account_id")
    if _open_grant(session, account_id) is not None:
        raise GRANT_OPEN.conflict(account_id=str(account_id))
    _refuse(nomination_findings(papers_of(session, account_id), today()))
    if approver_id is not None:
        _check_named(session, account, approver_id)
    row = SigningGrant(
        id=new_id(),
        account_id=account_id,
        state=GrantState.NOMINATED,
        nominated_by=actor.id,
        nominated_at=clock.now(),
        approver_id=approver_id,
    )
    session.add(row)
    session.flush()
    named: dict[str, Any] = {} if approver_id is None else {"approver": approver_id}
    record(session, actor, "signing_grant.nominate", "signing_grant", row.id, account=account_id, **named)
    return row


def _check_named(session: Session, nominee: Account, approver_id: UUID) -> None:
    """Within a team every registrant may approve: nobody is named there, least of all the nominee."""
    approver = session.get(Account, approver_id)
    if approver is None or approver.role != Role.PRESCRIBER or approver.disabled_at is not None:
        raise InvalidInput("Only an active prescriber approves access to signing.", field="approver_id")
    if approver.organisation_id == nominee.organisation_id:
        raise InvalidInput("Name a prescriber of another medical team.", field="approver_id")
    _refuse(naming_findings(papers_of(session, approver_id), today()))


def approve(
    session: Session, actor: Actor, grant_id: UUID, code: Secret[str], *, password: Secret[str]
) -> SigningGrant | Refused:
    """A second person, another DEA registrant of the nominee's team or the one named, gives access with two factors.

    Wrong factors are counted: let the transaction commit and call ``require()`` on ``Refused``. Raises ``RuleRefused``
    with the findings, ``IllegalTransition`` for what is granted or ended, ``NotFound``.
    """
    authorize(actor, Action.APPROVE_SIGNER)
    row = _locked(session, grant_id)
    _check_sees(session, actor, row)
    after = GRANT_TRANSITIONS.advance(GrantState(row.state), GrantStep.APPROVE, actor.role)
    nominee, approver = papers_of(session, row.account_id), papers_of(session, actor.id)
    is_nominee, may_approve = actor.id == row.account_id, row.approver_id in (None, actor.id)
    _refuse(
        approval_findings(
            is_nominee=is_nominee, may_approve=may_approve, nominee=nominee, approver=approver, on=today()
        )
    )
    proof = verify_second_factor(session, actor.id, code, password=password)
    if isinstance(proof, Refused):
        return proof
    row.state, row.approved_by, row.approved_at = after, actor.id, proof.proven_at
    session.flush()
    record(session, actor, "signing_grant.approve", "signing_grant", row.id, account=row.account_id)
    return row


def end(session: Session, actor: Actor, grant_id: UUID, code: EndCode) -> SigningGrant:
    """Take access to signing away at once. Raises ``IllegalTransition`` when it has ended, ``NotFound``."""
    authorize(actor, Action.END_SIGNING_GRANT)
    row = _locked(session, grant_id)
    _check_serves(session, actor, row)
    _end(session, actor, row, code)
    return row


def end_grant_of(session: Session, actor: Actor, account_id: UUID, code: EndCode) -> None:
    """Take somebody's access to signing away, if they have any: a factor was lost, or the account is shut."""
    row = _open_grant(session, account_id)
    if row is not None:
        _end(session, actor, row, code)


def end_without_papers(session: Session, actor: Actor, account_id: UUID) -> None:
    """Take somebody's access to signing away once no licence or no DEA registration of theirs is valid any more."""
    if not papers_of(session, account_id).are_valid(today()):
        end_grant_of(session, actor, account_id, EndCode.PAPERS_ENDED)


def end_lapsed(session: Session) -> int:
    """Take access away from everybody whose papers ran out; gives from how many. The ticker calls it."""
    held = session.scalars(select(SigningGrant).where(OPEN_GRANT).order_by(SigningGrant.id)).all()
    lapsed = [row for row in held if not papers_of(session, row.account_id).are_valid(today())]
    for row in lapsed:
        locked = _locked(session, row.id)
        if locked.state != GrantState.ENDED:
            _end(session, SYSTEM, locked, EndCode.PAPERS_ENDED)
    return len(lapsed)


def _end(session: Session, actor: Actor, row: SigningGrant, code: EndCode) -> None:
    row.state = GRANT_TRANSITIONS.advance(GrantState(row.state), GrantStep.END, actor.role)
    row.ended_by, row.ended_at, row.code = actor.id, clock.now(), code
    session.flush()
    record(session, actor, "signing_grant.end", "signing_grant", row.id, account=row.account_id, code=code)


def may_sign(session: Session, account_id: UUID) -> bool:
    """Whether somebody was given access to signing, and has it still. The grant is held until the commit."""
    query = select(SigningGrant.id).where(
        SigningGrant.account_id == account_id, SigningGrant.state == GrantState.GRANTED
    )
    return session.scalar(query.with_for_update(read=True)) is not None


def papers_of(session: Session, account_id: UUID) -> Papers:
    """All licences and DEA registrations of an account, as the rules read them; without the numbers."""
    licences: list[LicenceFacts] = []
    registrations: list[DeaFacts] = []
    for is_licence, state, expires_on, revoked_on in session.execute(_PAPERS, {"account": account_id}):
        if is_licence:
            licences.append(LicenceFacts(state=state, expires_on=expires_on, revoked_on=revoked_on))
        else:
            registrations.append(DeaFacts(state=state, expires_on=expires_on, revoked_on=revoked_on))
    return Papers(licences, registrations)


# Prepared once: every draft that is signed, every refill and every search for a therapist asks.
_PAPERS: Final[CompoundSelect[Any]] = union_all(
    *(
        select(literal(paper is Licence), paper.state, paper.expires_on, paper.revoked_on).where(
            paper.account_id == bindparam("account")
        )
        for paper in (Licence, DeaRegistration)
    )
)


def read_grant(session: Session, actor: Actor, grant_id: UUID) -> SigningGrant:
    """One nomination or grant. Raises ``NotFound``, for prescribers also for those of another team."""
    authorize(actor, Action.READ_SIGNING_GRANT)
    row = session.get(SigningGrant, grant_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    _check_sees(session, actor, row)
    return row


def list_grants(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 20
) -> Sequence[SigningGrant]:
    """Nominations and grants, newest first, from behind the id ``after``.

    A prescriber sees those of the own team, and those to whose approval they were named.
    """
    authorize(actor, Action.READ_SIGNING_GRANT)
    query = page_of(select(SigningGrant), SigningGrant.id, after=after, limit=limit)
    if actor.role is Role.PRESCRIBER:
        team = select(Account.id).where(Account.organisation_id == actor.organisation_id)
        query = query.where(or_(SigningGrant.account_id.in_(team), SigningGrant.approver_id == actor.id))
    return session.scalars(query).all()


def today() -> date:
    """The calendar day where it begins last."""
    return clock.now().astimezone(LAST_ZONE).date()


def _locked(session: Session, grant_id: UUID) -> SigningGrant:
    row = session.get(SigningGrant, grant_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    return row


def _check_sees(session: Session, actor: Actor, row: SigningGrant) -> None:
    """As ``_check_serves``; whoever was named to approve sees that one as well, and nothing else of the team."""
    if row.approver_id is None or row.approver_id != actor.id:
        _check_serves(session, actor, row)


def _check_serves(session: Session, actor: Actor, row: SigningGrant) -> None:
    """The desk serves every team; for a prescriber there are only the colleagues of the own one (``NotFound``)."""
    if actor.role is Role.PRESCRIBER:
        nominee = session.get_one(Account, row.account_id)
        if nominee.organisation_id != actor.organisation_id:
            raise NotFound(NOT_VISIBLE)


def _open_grant(session: Session, account_id: UUID) -> SigningGrant | None:
    query = select(SigningGrant).where(SigningGrant.account_id == account_id, OPEN_GRANT).with_for_update()
    return session.scalar(query, execution_options={"populate_existing": True})


def _refuse(findings: list[Finding]) -> None:
    if of_severity(findings, Severity.STOP):
        raise RuleRefused(findings[0].sentence, findings)
