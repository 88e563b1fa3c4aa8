"""Notices over the API: one's own, those of an episode, and the texts that patients sent."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging import notices
from services.messaging.models import Notice
from services.messaging.outbox import Subject
from services.people.models import Episode
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_world
from tests.factories_messaging import MOBILE, keep_text, tell


@pytest.fixture
def world(session: Session, api: Api) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, mobile=MOBILE)


def informed(session: Session, owner_id: UUID, minutes_ago: int = 0) -> Notice:
    subject = Subject("screening", new_id())
    notice = notices.inform(session, owner_id, EventKind.SCREENING_COMPLETED, subject, None, new_id())
    notice.created_at = clock.now() - timedelta(minutes=minutes_ago)
    session.commit()
    return notice


def test_staff_see_their_own_and_their_organisations_notices_newest_first(
    api: Api, session: Session, world: World
) -> None:
    older = informed(session, world.practice.id, minutes_ago=5)
    newer = informed(session, world.therapist.id)
    informed(session, world.medical_team.id)
    answer = api.as_account(world.therapist).get("/notices")
    assert answer.status_code == 200
    shown = answer.get_json()["items"]
    assert [item["id"] for item in shown] == [str(newer.id), str(older.id)]
    assert (shown[0]["kind"], shown[0]["state"], shown[0]["text"]) == ("screening.completed", "unread", None)


def test_a_list_goes_on_where_its_cursor_points(api: Api, session: Session, world: World) -> None:
    made = [str(informed(session, world.therapist.id, minutes_ago).id) for minutes_ago in range(3)]
    caller = api.as_account(world.therapist)
    first = caller.get("/notices?limit=2").get_json()
    second = caller.get(f"/notices?limit=2&cursor={first['next']}").get_json()
    assert [item["id"] for item in first["items"] + second["items"]] == made
    assert second["next"] is None


def test_a_notice_is_read_once_and_can_be_filtered_by_that(api: Api, session: Session, world: World) -> None:
    notice = informed(session, world.practice.id)
    caller = api.as_account(world.therapist)
    first = caller.post(f"/notices/{notice.id}/read")
    assert (first.status_code, first.get_json()["state"]) == (200, "read")
    again = caller.post(f"/notices/{notice.id}/read")
    assert again.get_json()["read_at"] == first.get_json()["read_at"]
    assert caller.get("/notices?state=unread").get_json()["items"] == []
    assert len(caller.get("/notices?state=read").get_json()["items"]) == 1


def test_a_stale_version_is_refused(api: Api, session: Session, world: World) -> None:
    notice = informed(session, world.therapist.id)
    answer = api.as_account(world.therapist).post(f"/notices/{notice.id}/read", headers={"If-Match": '"7"'})
    assert answer.status_code == 412


def test_somebody_elses_notice_does_not_exist(api: Api, session: Session, world: World) -> None:
    notice = informed(session, world.medical_team.id)
    assert api.as_account(world.therapist).post(f"/notices/{notice.id}/read").status_code == 404
    assert api.anonymous().get("/notices").status_code == 401


def test_a_patient_sees_the_words_of_their_texts_but_no_link_or_code(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    preparing = tell(session, episode, NoticeKind.PACKAGE_PREPARING)
    tell(session, episode, NoticeKind.FORMS_LINK, link="/l/abcdefghijklmnopqrstuv")
    tell(session, episode, NoticeKind.SIGN_IN_CODE, code="482913")
    other = make_episode(session, world=world, mobile=MOBILE)
    tell(session, other, NoticeKind.PACKAGE_PREPARING)
    answer = api.as_patient(episode).get("/notices")
    texts = {item["kind"]: item["text"] for item in answer.get_json()["items"]}
    assert set(texts) == {"package_preparing", "forms_link", "sign_in_code"}
    assert "your package is being prepared" in texts["package_preparing"]
    assert (texts["forms_link"], texts["sign_in_code"]) == (None, None)
    assert "482913" not in answer.text
    assert api.as_patient(episode).post(f"/notices/{preparing.id}/read").status_code == 409


def test_the_care_team_sees_what_became_of_the_texts_and_nothing_else(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    tell(session, episode, NoticeKind.SIGN_IN_CODE, code="482913")
    for account in (world.therapist, world.prescriber, world.medical_staff):
        answer = api.as_account(account).get(f"/episodes/{episode.id}/notices")
        assert answer.status_code == 200
        (item,) = answer.get_json()["items"]
        assert (item["kind"], item["state"], item["reason"]) == ("sign_in_code", "pending", "sms.caps.bypass")
        assert not {"address", "body", "text"} & set(item)
        assert MOBILE not in answer.text
        assert "482913" not in answer.text


def test_others_do_not_see_the_texts_of_an_episode(api: Api, session: Session, world: World, episode: Episode) -> None:
    path = f"/episodes/{episode.id}/notices"
    assert api.as_account(make_world(session).therapist).get(path).status_code == 404
    assert api.as_account(world.pharmacist).get(path).status_code == 403
    assert api.as_patient(episode).get(path).status_code == 403


def test_a_text_that_came_in_is_shown_to_the_desk_and_the_care_team(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    message_id = keep_text(session, "my dog ate it")
    path = f"/messages/{message_id}"
    desk = api.as_account(world.operator).get(path).get_json()
    assert (desk["text"], desk["sender"], desk["episode_ids"]) == ("my dog ate it", MOBILE, [str(episode.id)])
    team = api.as_account(world.therapist).get(path).get_json()
    assert (team["text"], team["sender"]) == ("my dog ate it", None)
    assert api.as_account(make_world(session).therapist).get(path).status_code == 404
    assert api.as_account(world.pharmacist).get(path).status_code == 403
    assert api.as_account(world.operator).get(f"/messages/{new_id()}").status_code == 404
