"""After a whole journey nothing personal stands anywhere in clear: database, queues, logs, refusals, command lines."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from coordinator.local.servers import postgres_binaries
from coordinator.local.story.cast import PASSWORD
from tests.journeys.canaries import SCORES, STEM, forms, found_in
from tests.journeys.conftest import Journey, command, command_lines


def dumped(journey: Journey, *options: str) -> bytes:
    """The whole database as ``pg_dump`` writes it."""
    return subprocess.run(
        [
            str(postgres_binaries() / "pg_dump"),
            f"--host={journey.stack.postgres.sockets}",
            "--username=postgres",
            *options,
            "coordinator",
        ],
        capture_output=True,
        check=True,
    ).stdout


def keys_and_values(journey: Journey) -> bytes:
    """Every key of Valkey with what it holds, and everything that was ever sent there."""
    parts = []
    with Redis.from_url(journey.stack.valkey.url) as client:
        for key in client.scan_iter(count=1000):
            parts.append(key)
            match client.type(key):
                case b"string":
                    parts.append(client.get(key))
                case b"hash":
                    parts.extend(part for pair in client.hgetall(key).items() for part in pair)
                case b"list":
                    parts.extend(client.lrange(key, 0, -1))
                case b"set":
                    parts.extend(client.smembers(key))
                case b"zset":
                    parts.extend(client.zrange(key, 0, -1))
                case b"stream":
                    parts.extend(part for _, pairs in client.xrange(key) for pair in pairs.items() for part in pair)
                case other:
                    raise AssertionError(f"How to read a {other!r} is not known here.")
    return b"\n".join(parts) + journey.passed_through


def logs(journey: Journey) -> bytes:
    """All that was logged, and the signed heads of the audit trail, which stand outside the database."""
    files = [*journey.directory.rglob("*.log"), *journey.directory.glob("*.jsonl")]
    return b"\n".join(file.read_bytes() for file in files)


def refusals(journey: Journey) -> bytes:
    """Every problem document that the story was answered with."""
    return b"\n".join(journey.story.stage.api.problems)


def lines(journey: Journey) -> bytes:
    """The command lines of every process that lived during the journey, and of those that live now."""
    return b"\n".join(journey.command_lines | command_lines())


PLACES: dict[str, Callable[[Journey], bytes]] = {
    "database": dumped,
    "queues": keys_and_values,
    "logs": logs,
    "refusals": refusals,
    "command lines": lines,
}


@pytest.fixture(scope="module")
def needles(journey: Journey) -> dict[str, str]:
    """All that must not be found: the marked words, numbers and days of birth, and secrets."""
    script, stage = journey.story.stage.script, journey.story.stage
    found = {"a marked word": STEM, "the password": PASSWORD, "the chaperone's phone": "5205550199"}
    for who in (script.dana, script.lee, script.robin):
        found[f"the phone of {who.first_name}"] = who.mobile.removeprefix("+1")
        found[f"the birth date of {who.first_name}"] = who.birth_date
    for person in stage.cast.staff:
        found[f"the phone of {person.email}"] = person.mobile.removeprefix("+1")
        found[f"the authenticator of {person.email}"] = person.secret
        found[f"the token of {person.email}"] = person.token or pytest.fail("Everybody signed in.")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_nothing_personal_and_no_secret_stands_in_clear(journey: Journey, place: str, needles: dict[str, str]) -> None:
    haystack = PLACES[place](journey)
    assert len(haystack) > 1000
    leaked = found_in(haystack, needles)
    if "a marked word" in leaked:
        leaked += found_in(haystack, journey.canaries.words)
    assert leaked == []


@pytest.mark.parametrize("place", ["database", "queues", "logs"])
def test_no_score_and_no_reading_stands_in_clear(journey: Journey, place: str) -> None:
    assert SCORES.search(PLACES[place](journey)) is None


def test_no_text_that_left_holds_anything_personal(journey: Journey, needles: dict[str, str]) -> None:
    stage = journey.story.stage
    texts = [message["body"] for who in (stage.dana, stage.robin, *stage.cast.staff) for message in stage.texts_to(who)]
    assert len(texts) > 20
    assert found_in("\n".join(texts).encode(), needles) == []


def test_everything_personal_was_marked_and_is_in_there_sealed(journey: Journey, tmp_path: Path) -> None:
    """Opened with the keys, the record holds the marked words; the psychotherapy note not even then."""
    assert len(journey.canaries.words) >= 45
    file = tmp_path / "export.json"
    arguments = ("coordinator", "export-patient", journey.story.stage.dana.id, "--to", str(file))
    done = command(*arguments, environment=journey.stack.environment)
    assert done.returncode == 0, done.stderr
    exported = json.dumps(json.loads(file.read_text(encoding="utf-8"))).encode()
    words = journey.canaries.words
    in_record = {
        *("dana.full_name", "dana.street", "dana.unit", "dana.city", "dana.email", "dana.reason", "sms_wording"),
        *("medicine", "approval_reason", "directions", "tracking_first", "tracking_second", "tracking_refill"),
        *("chaperone.name", "check.note", "adverse_event", "check_in.note", "outcome.summary", "unclear_text"),
        *("refill.comment", "refill.question", "refill.answer", "refill.forward_reason", "refill.approve_reason"),
    }
    found = set(found_in(exported, {field: words[field] for field in in_record}))
    assert found >= in_record - {"unclear_text"}
    assert found_in(exported, {"the note": words["psychotherapy_note"]}) == []


# ---- The search itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def planted(journey: Journey) -> Iterator[str]:
    """A word that stands, on purpose, in every place and, in the database, in every form."""
    word = f"planted{uuid.uuid4().hex[:12]}"
    log, key = journey.directory / "log" / "planted.log", f"planted:{word}"
    stranger = subprocess.Popen([sys.executable, "-c", "input()", word], stdin=subprocess.PIPE)
    with (
        psycopg.connect(host=str(journey.stack.postgres.sockets), user="postgres", dbname="coordinator") as database,
        Redis.from_url(journey.stack.valkey.url) as client,
    ):
        database.execute("CREATE TABLE planted (text text, bytes bytea)")
        for form in forms(word):
            text = form.decode("latin-1").replace("\0", "")
            database.execute("INSERT INTO planted VALUES (%s, %s)", [text, b"\x01" + form])
        database.commit()
        client.set(key, word)
        log.write_text(f"somebody was called {word}\n", encoding="utf-8")
        journey.story.stage.api.problems.append(f'{{"detail": "{word}"}}'.encode())
        yield word
        journey.story.stage.api.problems.pop()
        log.unlink()
        client.delete(key)
        database.execute("DROP TABLE planted")
    stranger.communicate()


def test_what_is_planted_is_found_in_every_place(journey: Journey, planted: str) -> None:
    for place, read in PLACES.items():
        assert found_in(read(journey), {"it": planted}) == ["it"], place


def test_what_is_planted_in_the_database_is_found_in_every_form(journey: Journey, planted: str) -> None:
    table = dumped(journey, "--table=planted", "--data-only")
    for form in forms(planted):
        only = b"\n".join(line for line in table.splitlines() if form.hex().encode() in line)
        assert found_in(only, {"it": planted}) == ["it"], form


@pytest.mark.parametrize("around", [b"", b"a", b"ab", b"abc"])
def test_a_word_is_found_in_base64_wherever_it_begins(around: bytes) -> None:
    from base64 import b64encode, urlsafe_b64encode

    for encode in (b64encode, urlsafe_b64encode):
        assert found_in(b"..." + encode(around + b"zqvxkjwpfab" + around) + b"...", {"it": STEM}) == ["it"]
    assert found_in(b"..." + b64encode(around + b"another word" + around), {"it": STEM}) == []


def test_scores_in_clear_would_be_found() -> None:
    assert SCORES.search(b'{"reading": {"systolic": 152}}')
    assert not SCORES.search(b'{"setting": "vitals.start.systolic_below"}')
