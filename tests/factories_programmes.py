"""Programmes that differ from another in a few settings, and episodes pinned to them.

changed({"sessions.interval_days": 10})                         a programme for pure rules
run_under(session, episode, {"sessions.interval_days": 10})     the episode goes by such a programme from now on
put_in_force(session, prescriber, {"sessions.interval_days": 10})   and everybody who is decided on from now on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.programme import FREE_SECTIONS, Programme, programme
from services.people.models import Account, Episode, ProgrammeAdoption, ProgrammeVersion
from services.people.programmes import programme_of
from services.people.settings import settings


def changed(changes: Mapping[str, Any], base: Programme | None = None) -> Programme:
    """A programme (the default one unless given) with some settings of other values. Only known names may change."""
    base = base or programme()
    named = {name for name in changes if not name.startswith(tuple(f"{free}." for free in FREE_SECTIONS))}
    assert named <= base.settings.keys()
    given = replace(base, settings=MappingProxyType({**base.settings, **changes}))
    return replace(given, version=f"{given.name}-test-{given.digest()}")


def run_under(session: Session, episode: Episode, changes: Mapping[str, Any]) -> Programme:
    """Pin an episode to its present programme with some settings changed."""
    given = changed(changes, programme_of(session, episode))
    _keep(session, given)
    episode.programme_version = given.version
    session.flush()
    return given


def put_in_force(session: Session, prescriber: Account, changes: Mapping[str, Any]) -> Programme:
    """Put the configured programme with some settings changed into force from today on."""
    given = changed(changes, settings())
    _keep(session, given)
    adoption = ProgrammeAdoption(
        id=new_id(),
        version=given.version,
        name=given.name,
        effective_from=clock.now().date(),
        adopted_by=prescriber.id,
        adopted_at=clock.now(),
    )
    session.add(adoption)
    session.flush()
    return given


def _keep(session: Session, given: Programme) -> None:
    if session.get(ProgrammeVersion, given.version) is None:
        session.add(ProgrammeVersion(version=given.version, content=given.as_dict(), kept_at=clock.now()))
        session.flush()
