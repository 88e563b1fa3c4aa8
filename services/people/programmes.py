"""Programmes in force: a medical director adopts a version, an episode is pinned to the one it was decided under.

A practice (or, for patients who have none yet, a medical team) names its programme; the configured one holds for those
that do not. Of a programme the newest adopted version whose day has come is in force; until somebody adopts one, the
file that was shipped or configured. What an episode was pinned to is kept whole and the database refuses to change it,
so that changing a programme never rewrites history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.config import config
from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.ids import new_id
from services.core.programme import Programme, missing_settings, programme, shipped
from services.people.accounts import active_account
from services.people.episode_rules import PROGRAMME_ADOPTED
from services.people.models import Account, Episode, Organisation, ProgrammeAdoption, ProgrammeVersion
from services.people.settings import settings
from services.vault.boxes import box

log = structlog.get_logger()


def programme_of(session: Session, episode: Episode) -> Programme:
    """The programme that an episode is pinned to.

    One opened before versions were kept is read by what holds today, approved or not; a decision pins it (``pin``).
    """
    if not episode.programme_version:
        return holding(session, _named_by(session, episode.practice_id, episode.medical_team_id))
    return version_of(session, episode.programme_version)


def programme_in_force(session: Session, episode: Episode) -> Programme:
    """The programme that a decision on an episode is made under today, and that it is then pinned to."""
    return in_force(session, _named_by(session, episode.practice_id, episode.medical_team_id))


def programme_for(session: Session, practice_id: UUID | None, medical_team_id: UUID) -> Programme:
    """The programme in force for a new episode, stored so that the episode can be pinned to it."""
    found = in_force(session, _named_by(session, practice_id, medical_team_id))
    _keep(session, found)
    return found


def pin(session: Session, actor: Actor, episode: Episode) -> Programme:
    """Pin an episode to the programme in force today: a prescriber decides on it under that version."""
    found = programme_for(session, episode.practice_id, episode.medical_team_id)
    if episode.programme_version != found.version:
        record(
            session,
            actor,
            "episode.pin_programme",
            "episode",
            episode.id,
            episode_id=episode.id,
            before=episode.programme_version,
            programme=found.version,
        )
        episode.programme_version = found.version
    return found


def in_force(session: Session, name: str | None) -> Programme:
    """The version of a programme that holds today; the configured programme for None.

    Raises ``InvalidConfiguration`` when nobody knows such a programme, and in production when nobody approved it.
    """
    found = holding(session, name)
    if found.is_starting and config().is_production:
        raise InvalidConfiguration(
            f"The programme '{found.name}' was shipped with starting values that no medical director approved: "
            "copy its file, put a name and a day into it, and adopt it."
        )
    return found


def holding(session: Session, name: str | None) -> Programme:
    """What ``in_force`` finds, approved or not: to compare with, not to treat by."""
    configured = settings()
    name = name or configured.name
    row = ProgrammeAdoption
    query = (
        select(row.version)
        .where(row.name == name, row.effective_from <= clock.now().date())
        .order_by(row.effective_from.desc(), row.adopted_at.desc())
    )
    version = session.scalar(query.limit(1))
    if version is not None:
        return version_of(session, version)
    if name == configured.name:
        return configured
    path = shipped().get(name)
    if path is None:
        raise InvalidConfiguration(f"There is no programme '{name}': adopt one of that name first.")
    return programme(path)


def version_of(session: Session, version: str) -> Programme:
    """A stored version. Raises ``InvalidConfiguration`` when there is none, or when it was altered.

    Settings that a later release added have the default's values in it: whoever adopted it could not know them.
    """
    configured = settings()
    if version == configured.version:
        return configured
    known = _OPENED.get(version)
    if known is None:
        row = session.get(ProgrammeVersion, version)
        if row is None:
            raise InvalidConfiguration(f"The programme version '{version}' is not on record.")
        known = _OPENED[version] = _filled(Programme.from_dict(row.content))
    return known


def _filled(stored: Programme) -> Programme:
    """A stored version with the settings that it lacks; its version and digest stay those it was stored with."""
    missing = missing_settings(stored)
    if not missing:
        return stored
    default = programme().settings
    log.warning("programme.settings_filled", programme=stored.version, number=len(missing))
    return replace(stored, settings=MappingProxyType({**stored.settings, **{name: default[name] for name in missing}}))


# Versions never change, and a service has few of them.
_OPENED: dict[str, Programme] = {}


@dataclass(frozen=True, slots=True)
class Adoption:
    """A version that was put into force, and the settings in which it differs from the one before (old, new)."""

    programme: Programme
    changes: dict[str, tuple[object, object]]


def adopt(session: Session, actor: Actor, approver_id: UUID, given: Programme) -> Adoption:
    """Put a version into force from its day on, in the name of its medical director.

    Raises ``InvalidInput`` when the approver is not an active prescriber or not the one that the file names,
    ``InvalidConfiguration`` for starting values or missing settings, ``Conflict`` when the version is in force already.
    """
    approver = active_account(session, approver_id, Role.PRESCRIBER, field="approver")
    check_complete(given)
    if given.is_starting:
        raise InvalidConfiguration("Starting values cannot be adopted: take 'starting_values' out of the file.")
    if _plain(_name_of(session, approver)) != _plain(given.approved_by):
        raise InvalidInput("The file must name in 'approved_by' whoever adopts it.", field="approver")
    if session.scalar(select(ProgrammeAdoption.id).where(ProgrammeAdoption.version == given.version)) is not None:
        raise PROGRAMME_ADOPTED.conflict(version=given.version)
    before = holding(session, given.name) if is_known(session, given.name) else None
    _keep(session, given)
    adoption = ProgrammeAdoption(
        id=new_id(),
        version=given.version,
        name=given.name,
        effective_from=given.effective_from,
        adopted_by=approver.id,
        adopted_at=clock.now(),
    )
    session.add(adoption)
    session.flush()
    record(
        session, actor, "programme.adopt", "programme_adoption", adoption.id, programme=given.version, by=approver.id
    )
    return Adoption(given, changes_between(before, given))


def check_complete(given: Programme) -> None:
    """Raise ``InvalidConfiguration`` naming the settings that a programme lacks."""
    missing = missing_settings(given)
    if missing:
        raise InvalidConfiguration(
            f"The programme '{given.name}' lacks {len(missing)} settings, such as '{missing[0]}'. "
            'Let it say extends = "default".'
        )


def changes_between(before: Programme | None, after: Programme) -> dict[str, tuple[object, object]]:
    """The settings that differ, by name: the value before (None where there was none) and after."""
    old = {} if before is None else before.settings
    names = sorted(old.keys() | after.settings.keys())
    return {
        name: (old.get(name), after.settings.get(name)) for name in names if old.get(name) != after.settings.get(name)
    }


def is_known(session: Session, name: str) -> bool:
    """Whether a programme of that name was shipped, configured or adopted."""
    query = select(ProgrammeAdoption.id).where(ProgrammeAdoption.name == name)
    return name in shipped() or name == settings().name or session.scalar(query.limit(1)) is not None


def list_adoptions(session: Session) -> Sequence[ProgrammeAdoption]:
    """All adoptions on record, by programme, newest first."""
    row = ProgrammeAdoption
    return session.scalars(select(row).order_by(row.name, row.effective_from.desc(), row.adopted_at.desc())).all()


def _named_by(session: Session, practice_id: UUID | None, medical_team_id: UUID) -> str | None:
    for organisation_id in (practice_id, medical_team_id):
        organisation = None if organisation_id is None else session.get(Organisation, organisation_id)
        if organisation is not None and organisation.programme is not None:
            return organisation.programme
    return None


def _keep(session: Session, given: Programme) -> None:
    """Keep a version once; of two transactions at the same time the second finds it there."""
    if session.get(ProgrammeVersion, given.version) is None:
        row = {"version": given.version, "content": given.as_dict(), "kept_at": clock.now()}
        session.execute(insert(ProgrammeVersion).values(row).on_conflict_do_nothing())


def _name_of(session: Session, account: Account) -> str:
    return str(box(session, account.id).open(account, "full_name").reveal())


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
