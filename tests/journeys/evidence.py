"""What a journey leaves behind: told, recorded and stored, collected once so that every test process can look at it.

Before collecting, a word is planted in every place on purpose: what does not find that word finds no leak either.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from coordinator.local.migrations import ROOT
from coordinator.local.servers import postgres_binaries
from coordinator.local.stack import Stack
from coordinator.local.story import Story
from coordinator.local.story.cast import PASSWORD, Patient
from coordinator.local.story.records import StepRecord
from coordinator.local.story.times import following
from tests.journeys.canaries import STEM, Canaries, readable_forms
from tests.journeys.watching import Watch, command_lines

KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
LONGEST_JOB = 200_000
PLACES = ("database", "queues", "logs", "refusals", "command lines")


@dataclass
class Evidence:
    """A journey as the tests see it. ``needles`` and ``words`` are what must not be found in ``place``s."""

    directory: Path
    steps: list[StepRecord]
    told: str
    texts: dict[str, list[str]]
    notices: dict[str, list[dict[str, Any]]]
    words: dict[str, str]
    needles: dict[str, str]
    planted: str
    restarts: dict[str, int]
    audit: str
    export: str
    demo: str = ""
    demo_exit_code: int | None = None

    def place(self, name: str) -> bytes:
        """All that was found in one of ``PLACES``."""
        return (self.directory / name).read_bytes()

    def keep(self) -> None:
        """Write everything but the places, which are files already."""
        shown = asdict(self) | {"directory": str(self.directory)}
        unfinished = self.directory / "evidence.unfinished"
        unfinished.write_text(json.dumps(shown), encoding="utf-8")
        unfinished.rename(self.directory / "evidence.json")

    @classmethod
    def kept(cls, directory: Path) -> Evidence:
        """What ``keep`` wrote."""
        shown = json.loads((directory / "evidence.json").read_text(encoding="utf-8"))
        steps = [StepRecord(**step) for step in shown["steps"]]
        return cls(**shown | {"directory": directory, "steps": steps})


def clean_environment() -> dict[str, str]:
    """What a shell gives: other tests of this process may have set addresses and keys of their own."""
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, "COORDINATOR_LIGHT_PASSWORDS": "1"}


def command(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@contextmanager
def begun(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``python -m …`` running beside the block, as from a shell; what is left of it afterwards is asked to end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def collect(directory: Path, stack: Stack, story: Story, canaries: Canaries, told: str, watch: Watch) -> Evidence:
    """Look everywhere while the stack of a journey is still up."""
    stage = story.stage
    patients = {"dana": stage.dana, "lee": stage.lee, "robin": stage.robin}
    export = directory / "export.json"
    arguments = ("export-patient", stage.dana.id, "--to", str(export))
    exported = command("coordinator", *arguments, environment=stack.environment)
    assert exported.returncode == 0, exported.stderr
    evidence = Evidence(
        directory=directory,
        steps=story.stage.record.steps,
        told=told,
        texts={who: [text["body"] for text in stage.texts_to(patient)] for who, patient in patients.items()}
        | {person.email: [text["body"] for text in stage.texts_to(person)] for person in stage.cast.staff},
        notices={who: _notices(stack, story, patients[who]) for who in ("dana", "robin")},
        words=canaries.words,
        needles=_needles(story),
        planted=f"planted{uuid.uuid4().hex[:12]}",
        restarts={} if stack.supervisor is None else stack.supervisor.restarts(),
        audit=command("coordinator", "verify-audit", environment=stack.environment).stdout,
        export=export.read_text(encoding="utf-8"),
    )
    with _planted(stack, evidence.planted):
        _write_places(evidence, stack, story, watch)
    return evidence


def _notices(stack: Stack, story: Story, patient: Patient) -> list[dict[str, Any]]:
    stage = story.stage
    with following(stack.environment):
        page = stage.read(stage.cast.therapist, f"/episodes/{patient.episode_id}/notices", limit=100)
    found: list[dict[str, Any]] = page["items"]
    return found


def _needles(story: Story) -> dict[str, str]:
    """All that must not be found, by what it is: the stem of the marked words, numbers, days of birth, secrets."""
    script, stage = story.stage.script, story.stage
    found = {"a marked word": STEM, "the password": PASSWORD, "the chaperone's phone": "5205550199"}
    for who in (script.patients["dana"], script.patients["lee"], script.patients["robin"]):
        found[f"the phone of {who.first_name}"] = who.mobile.removeprefix("+1")
        found[f"the birth date of {who.first_name}"] = who.birth_date
    for person in stage.cast.staff:
        assert person.token is not None
        found[f"the phone of {person.role} {person.mobile[-1]}"] = person.mobile.removeprefix("+1")
        found[f"the authenticator of {person.role} {person.mobile[-1]}"] = person.secret
        found[f"the token of {person.role} {person.mobile[-1]}"] = person.token
    return found


def _write_places(evidence: Evidence, stack: Stack, story: Story, watch: Watch) -> None:
    problems = [*story.stage.api.problems, f'{{"detail": "{evidence.planted}"}}'.encode()]
    log_files = [*stack.directory.rglob("*.log"), *stack.directory.glob("*.jsonl")]
    for name, content in zip(
        PLACES,
        (
            dumped(stack),
            b"\n".join(
                [kept := keys_and_values(stack), *unpacked(kept), watch.heard, *unpacked(unquoted(watch.heard))]
            ),
            b"\n".join(file.read_bytes() for file in log_files),
            b"\n".join(problems),
            b"\n".join(watch.seen | command_lines()),
        ),
        strict=True,
    ):
        (evidence.directory / name).write_bytes(content)


def dumped(stack: Stack) -> bytes:
    """The whole database as ``pg_dump`` writes it."""
    tool = str(postgres_binaries() / "pg_dump")
    host = f"--host={stack.postgres.sockets}"
    return subprocess.run([tool, host, "--username=postgres", "coordinator"], capture_output=True, check=True).stdout


def keys_and_values(stack: Stack) -> bytes:
    """Every key of Valkey and what it holds."""
    parts: list[bytes] = []
    with Redis.from_url(stack.valkey.url) as client:
        for key in client.scan_iter(count=1000):
            parts.append(key)
            match client.type(key):
                case b"string":
                    parts.append(client.get(key) or b"")
                case b"hash":
                    parts.extend(part for pair in client.hgetall(key).items() for part in pair)
                case b"list":
                    parts.extend(client.lrange(key, 0, -1))
                case b"set":
                    parts.extend(client.smembers(key))
                case b"zset":
                    parts.extend(client.zrange(key, 0, -1))
                case other:
                    raise AssertionError(f"How to read a {other!r} is not known here.")
    return b"\n".join(parts)


def unquoted(heard: bytes) -> bytes:
    """What Valkey's MONITOR shows, with the bytes that it writes as ``\\x9c`` and so on put back."""
    signs = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}

    def sign(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code[1:], 16)]) if len(code) == 3 else signs.get(code, code)

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", sign, heard, flags=re.DOTALL)


def unpacked(content: bytes) -> Iterator[bytes]:
    """Everything in ``content`` that was compressed, as RQ does with what a job is given."""
    for place in re.finditer(rb"x[\x01\x5e\x9c\xda]", content):
        with suppress(zlib.error):
            yield zlib.decompressobj().decompress(content[place.start() : place.start() + LONGEST_JOB])


@contextmanager
def _planted(stack: Stack, word: str) -> Iterator[None]:
    """``word`` stands, on purpose, in every place; in the database in every form in which something can leak."""
    log, key = stack.directory / "log" / "planted.log", f"planted:{word}"
    stranger = subprocess.Popen([sys.executable, "-c", "input()", word], stdin=subprocess.PIPE)
    with (
        psycopg.connect(host=str(stack.postgres.sockets), user="postgres", dbname="coordinator") as database,
        Redis.from_url(stack.valkey.url) as client,
    ):
        database.execute("CREATE TABLE planted (number int, bytes bytea)")
        for number, form in enumerate(sorted(readable_forms(word))):
            database.execute("INSERT INTO planted VALUES (%s, %s)", [number, b"\x01" + form])
        database.commit()
        client.set(key, word)
        client.set(f"packed {key}", zlib.compress(f"packed {word}".encode()))
        log.write_text(f"somebody was called {word}\n", encoding="utf-8")
        yield
    stranger.communicate(b"\n")
