"""What the stage itself watches over can fail: refusals change nothing, and no party is sent a psychotherapy note."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import Engine

from services.core.errors import RuleRefused
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from tests.machine.running import standing_on
from tests.machine.stage import SECRET_WORDS, Stage, Tally, walk


def test_a_refusal_that_leaves_something_behind_is_found(environment: Mapping[str, str], database: Engine) -> None:
    def refuse_too_late(stage: Stage) -> None:
        stage.episode.state = "closed"
        stage.session.commit()
        raise RuleRefused("Too late.", rule="made.too_late")

    with (
        standing_on(database) as standing,
        walk(standing, Tally()) as stage,
        pytest.raises(AssertionError, match=r"was refused .* and changed \{'episodes'\}"),
    ):
        stage.attempt("close too late", lambda: refuse_too_late(stage))


def test_a_note_on_its_way_to_a_party_is_found(environment: Mapping[str, str], database: Engine) -> None:
    with standing_on(database) as standing, walk(standing, Tally()) as stage:
        subject = Subject("episode", stage.episode.id)
        kind = EventKind.OUTCOME_REPORTED
        emit(stage.session, kind, subject=subject, episode_id=stage.episode.id, summary=SECRET_WORDS)
        with pytest.raises(AssertionError, match="holds a psychotherapy note"):
            stage.work()
