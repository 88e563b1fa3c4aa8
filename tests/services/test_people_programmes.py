"""Programmes in force, their adoption, and the version an episode is pinned to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.config import config
from services.core.errors import Conflict, InvalidConfiguration, InvalidInput
from services.core.programme import Programme, load_programme, programme, shipped
from services.eligibility.decisions import Decision, Verdict, decide
from services.people import programmes
from services.people.models import Account, OrganisationKind, ProgrammeVersion
from services.people.settings import settings
from tests.factories import NAMES, make_account, make_episode, make_organisation, make_practice, make_world
from tests.factories_screening import make_referral, make_screening

DIRECTOR = NAMES[Role.PRESCRIBER]


def written(
    directory: Path,
    *,
    name: str = "default",
    extends: str = "default",
    interval: int = 10,
    starts: date = date(2026, 1, 1),
    approver: str = DIRECTOR,
    more: str = "",
) -> Programme:
    path = directory / f"{name}-{interval}-{starts}.toml"
    header = f'[programme]\nname = "{name}"\nversion = "2"\nextends = "{extends}"\neffective_from = {starts}\n'
    path.write_text(
        f'{header}approved_by = "{approver}"\n{more}\n[sessions]\ninterval_days = {interval}\n', encoding="utf-8"
    )
    return load_programme(path)


@pytest.fixture
def director(session: Session) -> Account:
    return make_account(session, Role.PRESCRIBER)


def adopt(session: Session, director: Account, given: Programme) -> programmes.Adoption:
    return programmes.adopt(session, SYSTEM, director.id, given)


def test_an_episode_is_pinned_to_the_configured_programme_and_that_version_is_kept(session: Session) -> None:
    episode = make_episode(session)
    assert episode.programme_version == settings().version
    kept = session.get_one(ProgrammeVersion, episode.programme_version)
    assert Programme.from_dict(kept.content) == settings()


def test_a_practice_works_by_the_programme_that_it_names(session: Session) -> None:
    episode = make_episode(session, programme="life_works")
    assert programmes.programme_of(session, episode).name == "life_works"
    assert make_episode(session).programme_version == settings().version


def test_an_adopted_version_holds_for_new_episodes_and_never_for_those_decided_before(
    session: Session, director: Account, tmp_path: Path
) -> None:
    before = make_episode(session)
    adoption = adopt(session, director, written(tmp_path))
    assert adoption.changes == {"sessions.interval_days": (7, 10)}
    after = make_episode(session)
    assert programmes.programme_of(session, after).whole("sessions.interval_days") == 10
    assert programmes.programme_of(session, before).whole("sessions.interval_days") == 7


def test_a_decision_pins_an_episode_to_the_version_in_force_and_says_so(
    session: Session, director: Account, tmp_path: Path
) -> None:
    episode = make_episode(session)
    version = adopt(session, director, written(tmp_path)).programme.version
    assert programmes.programme_in_force(session, episode).version == version
    assert programmes.pin(session, SYSTEM, episode).version == episode.programme_version == version
    session.commit()
    query = select(AuditRecord.detail).where(AuditRecord.action == "episode.pin_programme")
    assert [detail["programme"] for detail in session.scalars(query)] == [version]


def test_a_version_waits_for_its_day(session: Session, director: Account, tmp_path: Path) -> None:
    tomorrow = clock.now().date() + timedelta(days=1)
    adopt(session, director, written(tmp_path, interval=14, starts=tomorrow))
    assert programmes.in_force(session, None).whole("sessions.interval_days") == 7
    adopt(session, director, written(tmp_path, interval=12, starts=tomorrow - timedelta(days=1)))
    assert programmes.in_force(session, None).whole("sessions.interval_days") == 12


def test_of_two_versions_the_one_from_the_later_day_is_in_force(
    session: Session, director: Account, tmp_path: Path
) -> None:
    adopt(session, director, written(tmp_path, interval=9, starts=date(2026, 2, 1)))
    adopt(session, director, written(tmp_path, interval=11, starts=date(2026, 1, 1)))
    assert programmes.in_force(session, None).whole("sessions.interval_days") == 9


def test_a_clinic_adopts_a_programme_under_a_name_of_its_own(
    session: Session, director: Account, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="no such programme"):
        make_practice(session, programme="our_own")
    adopt(session, director, written(tmp_path, name="our_own", extends="avesta"))
    episode = make_episode(session, programme="our_own")
    assert programmes.programme_of(session, episode).name == "our_own"


def test_only_the_director_whom_the_file_names_adopts_it(session: Session, director: Account, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must name in 'approved_by'"):
        adopt(session, director, written(tmp_path, approver="Dr. Somebody Else"))
    with pytest.raises(InvalidInput, match="active prescriber"):
        adopt(session, make_account(session, Role.THERAPIST), written(tmp_path))


def test_starting_values_and_incomplete_programmes_are_not_adopted(
    session: Session, director: Account, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfiguration, match="Starting values"):
        adopt(session, director, written(tmp_path, more="starting_values = true"))
    path = tmp_path / "bare.toml"
    path.write_text(f'[programme]\nname = "bare"\nversion = "1"\napproved_by = "{DIRECTOR}"\n', encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=r"lacks \d+ settings, such as '"):
        adopt(session, director, load_programme(path))


def test_the_same_version_is_adopted_once(session: Session, director: Account, tmp_path: Path) -> None:
    adopt(session, director, written(tmp_path))
    with pytest.raises(Conflict, match="adopted before") as refused:
        adopt(session, director, written(tmp_path))
    assert refused.value.rule == "people.programme_adopted"


@pytest.mark.parametrize("table", ["programme_versions", "programme_adoptions"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET version = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_rewrite_history(
    session: Session, director: Account, tmp_path: Path, table: str, statement: str
) -> None:
    adopt(session, director, written(tmp_path))
    with pytest.raises(DBAPIError, match="versions of programmes do not change"):
        session.execute(text(statement.format(table)))


def test_a_version_that_is_not_on_record_is_not_guessed(session: Session) -> None:
    episode = make_episode(session)
    episode.programme_version = "default-1-0123456789abcdef"
    with pytest.raises(InvalidConfiguration, match="not on record"):
        programmes.programme_of(session, episode)


def test_a_version_stored_before_a_release_added_a_setting_goes_by_the_default_there(session: Session) -> None:
    episode = make_episode(session)
    lacking = {name: value for name, value in settings().settings.items() if name != "sessions.interval_days"}
    old = replace(settings(), settings={**lacking, "sessions.round_sessions": 5})
    old = replace(old, version=f"{old.name}-old-{old.digest()}")
    session.add(ProgrammeVersion(version=old.version, content=old.as_dict(), kept_at=clock.now()))
    episode.programme_version = old.version
    session.flush()
    found = programmes.programme_of(session, episode)
    assert found.whole("sessions.interval_days") == settings().whole("sessions.interval_days")
    assert (found.version, found.whole("sessions.round_sessions")) == (old.version, 5)
    kept = session.get_one(ProgrammeVersion, old.version)
    assert "sessions.interval_days" not in kept.content["settings"]


def test_an_episode_from_before_versions_were_kept_follows_the_programme_in_force(session: Session) -> None:
    episode = make_episode(session, programme="avesta")
    episode.programme_version = ""
    assert programmes.programme_of(session, episode).name == "avesta"


def test_only_a_practice_or_a_medical_team_names_a_programme(session: Session) -> None:
    make_organisation(session, OrganisationKind.MEDICAL_TEAM, programme="isha_health")
    with pytest.raises(InvalidInput, match="Only a practice or a medical team"):
        make_organisation(session, OrganisationKind.PHARMACY, programme="isha_health")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_programme_is_in_force_until_a_clinic_adopts_one(session: Session, name: str) -> None:
    assert programmes.in_force(session, name) == programme(shipped()[name])


def test_a_case_is_judged_and_decided_under_the_version_of_that_day(
    session: Session, director: Account, tmp_path: Path
) -> None:
    world = make_world(session)
    episode = make_referral(session, world=world).episode
    make_screening(session, episode)
    version = adopt(session, director, written(tmp_path)).programme.version
    read = decide(session, world.actor("prescriber"), episode.id, Verdict(decision=Decision.APPROVE))
    assert read.decision is not None
    assert read.decision.programme_version == episode.programme_version == version
    later = adopt(session, director, written(tmp_path, interval=11)).programme.version
    assert episode.programme_version == version != later


def test_production_does_not_treat_under_starting_values(
    session: Session, director: Account, tmp_path: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = {"COORDINATOR_ENV": "production", "PUBLIC_BASE_URL": "https://care.example.org"}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    laptop = ("TWILIO_API_BASE", "EASYPOST_API_BASE", "COORDINATOR_CLOCK_FILE", "COORDINATOR_EMBEDDED")
    for name in (*laptop, "COORDINATOR_LIGHT_PASSWORDS"):
        monkeypatch.delenv(name, raising=False)
    unpinned = make_episode(session)
    unpinned.programme_version = ""
    keys = tmp_path / "keys"
    shutil.copytree(environment["COORDINATOR_KEYRING"], keys, ignore=shutil.ignore_patterns("GENERATED"))
    monkeypatch.setenv("COORDINATOR_KEYRING", str(keys))
    config.cache_clear()
    try:
        for name in (None, "life_works"):
            with pytest.raises(InvalidConfiguration, match="no medical director approved"):
                programmes.in_force(session, name)
        with pytest.raises(InvalidConfiguration, match="no medical director approved"):
            programmes.pin(session, SYSTEM, unpinned)
        assert programmes.programme_of(session, unpinned) == settings()  # read, until somebody decides on it
        adopt(session, director, written(tmp_path))
        assert programmes.in_force(session, None).whole("sessions.interval_days") == 10
    finally:
        config.cache_clear()
