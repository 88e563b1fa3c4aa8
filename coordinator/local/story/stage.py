"""Where the story plays: calls on the API, what follows from them, the clock, and a record of all of it.

Every expectation that is not met raises ``Unmet`` with a sentence; nothing here sleeps for a fixed time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from coordinator.local.story.cast import PASSWORD, STEP_SECONDS, Cast, Patient, Person
from coordinator.local.story.client import Answer, Client
from coordinator.local.story.narration import Narrator
from coordinator.local.story.scripts import Script
from coordinator.local.story.times import MovableClock

API: Final = "/api/v1"
PATIENCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.015
# A token is renewed a little early, so that it does not run out between two calls.
MARGIN: Final = timedelta(minutes=2)
LINK: Final = re.compile(r"https?://\S+/l/([A-Za-z0-9_-]+)")
ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
CODE: Final = re.compile(r"\b([0-9]{6})\b")

Actor = Person | Patient


class Unmet(Exception):
    """Something in the story did not happen as it must; the message is a sentence."""


@dataclass
class StepRecord:
    """What happened in one step of the journey."""

    number: int
    title: str
    calls: int = 0
    tasks: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    done: bool = False


@dataclass
class Record:
    """The whole story: its steps in the order told, and every hand-over in milliseconds."""

    steps: list[StepRecord] = field(default_factory=list)
    handovers: list[tuple[str, float]] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """The hand-over in the middle."""
        return median(ms for _, ms in self.handovers) if self.handovers else 0.0

    @property
    def slowest(self) -> tuple[str, float]:
        """The slowest hand-over: what it was, and its milliseconds."""
        return max(self.handovers, key=lambda handover: handover[1], default=("", 0.0))


class Stage:
    """Everything that a chapter needs. ``api`` and ``sandbox`` are connections, ``record`` what came of it all."""

    def __init__(
        self, api: Client, sandbox: Client, clock: MovableClock, cast: Cast, script: Script, narrator: Narrator
    ) -> None:
        self.api, self.sandbox, self.clock = api, sandbox, clock
        self.cast, self.script, self.narrator = cast, script, narrator
        self.record = Record()
        self.dana = Patient(script.dana.first_name, script.dana.mobile)
        self.lee = Patient(script.lee.first_name, script.lee.mobile)
        self.robin = Patient(script.robin.first_name, script.robin.mobile)
        self.kept: dict[str, Any] = {}  # ids that one chapter leaves for the next
        self._since = time.monotonic()  # what was done last was done then
        self._seen_tasks: set[str] = set()
        self._seen_notices: set[str] = set()
        self._seen_texts: set[str] = set()

    # ---- Steps ------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> StepRecord:
        """The step being told."""
        return self.record.steps[-1]

    def begin_step(self, number: int, title: str) -> None:
        """A step begins; the one before is done."""
        self.end_step()
        self.record.steps.append(StepRecord(number, title))
        now = self.clock.now()
        self.narrator.heading(f"Step {number}: {title}   (day {self.clock.day}, {now:%a %d %b %H:%M})")

    def meanwhile(self, title: str) -> None:
        """Something else happens in between."""
        now = self.clock.now()
        self.narrator.heading(f"Meanwhile: {title}   (day {self.clock.day}, {now:%a %d %b %H:%M})")

    def end_step(self) -> None:
        """The step being told is done."""
        if self.record.steps:
            self.step.done = True

    # ---- Calls ------------------------------------------------------------------------------------------------------

    def act(
        self,
        actor: Actor,
        method: str,
        path: str,
        body: Any = None,
        *,
        doing: str,
        version: int | None = None,
        key: str | None = None,
    ) -> Any:
        """Let somebody do something that must succeed, say so, and give the answer's body."""
        answer = self._call(actor, method, path, body, version=version, key=key)
        self._must_succeed(actor, method, path, answer)
        self.narrator.act(self.clock.now(), actor.title, _shown(method, path, answer), doing)
        return answer.body

    def quietly(self, actor: Actor, method: str, path: str, body: Any = None) -> Any:
        """Let somebody do something that must succeed, without a word; gives the answer's body."""
        answer = self._call(actor, method, path, body)
        self._must_succeed(actor, method, path, answer)
        return answer.body

    def read(self, actor: Actor, path: str, **query: Any) -> Any:
        """Read something that must be there, without a word."""
        answer = self._call(actor, "GET", path, query=query)
        self._must_succeed(actor, "GET", path, answer)
        return answer.body

    def refuse(
        self,
        actor: Actor,
        method: str,
        path: str,
        body: Any = None,
        *,
        doing: str,
        status: int = 409,
        rules: Collection[str] = (),
        version: int | None = None,
        key: str | None = None,
    ) -> Answer:
        """Let somebody try what must be refused with ``status``, naming each of ``rules``; gives the answer."""
        answer = self._call(actor, method, path, body, version=version, key=key)
        call = _shown(method, path, answer)
        if answer.status != status:
            raise Unmet(f"{actor.title} should have been refused with {status} when {doing}: {call} {answer.sentence}")
        missing = set(rules) - set(answer.rules)
        if missing:
            named = ", ".join(answer.rules) or "none"
            raise Unmet(f"{call} should have named {', '.join(sorted(missing))}; it named {named}.")
        self.step.refusals.extend(answer.rules or [str(status)])
        named = f" [{', '.join(rules)}]" if rules else ""
        self.narrator.refused(actor.title, call, f"{doing}: refused, as it must be", answer.sentence + named)
        return answer

    def _call(
        self,
        actor: Actor,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: int | None = None,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        token = self.token_of(actor)
        answer = self.api.call(method, API + path, body, token=token, version=version, key=key, query=query)
        if method != "GET":
            self._since = answer.at
        if self.record.steps:
            self.step.calls += 1
        return answer

    def _must_succeed(self, actor: Actor, method: str, path: str, answer: Answer) -> None:
        if answer.status >= 400:
            named = f" [{', '.join(answer.rules)}]" if answer.rules else ""
            fields = answer.body.get("errors") if isinstance(answer.body, dict) else None
            more = f" {fields}" if fields else ""
            raise Unmet(
                f"{actor.title}: {method} {API}{path} was answered {answer.status}: {answer.sentence}{named}{more}"
            )

    # ---- Coming in --------------------------------------------------------------------------------------------------

    def token_of(self, actor: Actor) -> str:
        """A bearer token that works; staff sign in anew when theirs ran out, patients by a one-time code."""
        if actor.token is None or actor.expires_at is None or actor.expires_at - MARGIN < self.clock.now():
            if isinstance(actor, Person):
                self.sign_in(actor)
            else:
                self.sign_in_by_code(actor)
        assert actor.token is not None  # noqa: S101 - both ways of coming in set it
        return actor.token

    def fresh_code(self, person: Person) -> str:
        """A code of the authenticator that was not used yet; half a minute passes when the present one was."""
        if not person.has_fresh_code:
            self.clock.move_by(timedelta(seconds=STEP_SECONDS))
        return person.code()

    def sign_in(self, person: Person) -> None:
        """Password and authenticator code."""
        body = {"email": person.email, "password": PASSWORD, "code": self.fresh_code(person)}
        answer = self.api.call("POST", f"{API}/sign-in", body)
        self._must_succeed(person, "POST", "/sign-in", answer)
        self._come_in(person, answer.body)
        person.organisation_id = answer.body["organisation_id"]

    def exchange_link(self, patient: Patient, link: str) -> None:
        """The patient opens a personal link."""
        found = LINK.search(link)
        if found is None:
            raise Unmet(f"There is no personal link in what {patient.name} got.")
        answer = self.api.call("POST", f"{API}/links/exchange", {"token": found.group(1)})
        self._must_succeed(patient, "POST", "/links/exchange", answer)
        self._come_in(patient, answer.body)
        self.narrator.act(
            self.clock.now(), patient.title, f"POST {API}/links/exchange → {answer.status}", "opens the personal link"
        )
        again = self.api.call("POST", f"{API}/links/exchange", {"token": found.group(1)})
        if again.status != 401:
            raise Unmet(f"A personal link worked a second time: {again.status}.")
        self.narrator.fact(f"The same link a second time: {again.status}, it works once.")

    def sign_in_by_code(self, patient: Patient) -> None:
        """The patient asks for a one-time code by SMS and types it in."""
        asked = self.api.call("POST", f"{API}/codes", {"mobile": patient.mobile})
        self._must_succeed(patient, "POST", "/codes", asked)
        self._since = asked.at
        text, _ = self._await_text(patient.mobile, "sign-in code")
        found = CODE.search(text)
        if found is None:
            raise Unmet(f"There is no code in what {patient.name} got.")
        body = {"mobile": patient.mobile, "code": found.group(1)}
        answer = self.api.call("POST", f"{API}/codes/exchange", body)
        self._must_succeed(patient, "POST", "/codes/exchange", answer)
        self._come_in(patient, answer.body)
        self.narrator.act(
            self.clock.now(),
            patient.title,
            f"POST {API}/codes, {API}/codes/exchange → {answer.status}",
            "signs in with a one-time code by SMS",
        )

    def _come_in(self, actor: Actor, issued: Mapping[str, Any]) -> None:
        actor.token = issued["token"]
        actor.expires_at = datetime.fromisoformat(issued["expires_at"])

    # ---- What follows -----------------------------------------------------------------------------------------------

    def await_task(
        self,
        owner: Person,
        kind: str,
        *,
        about: str | None = None,
        escalation: int | None = None,
        silent: bool = False,
    ) -> Any:
        """Wait until a task of ``kind``, not met before, is in the inbox of ``owner``; gives it.

        ``about`` is the id of its subject or of its episode; ``escalation`` how far it must have escalated (then it may
        have been met before).
        """

        def found() -> Any:
            page = self.read(owner, "/tasks", kind=kind, limit=100)
            for task in page["items"]:
                fits = about is None or about in (task["subject_id"], task["episode_id"])
                met = task["id"] in self._seen_tasks
                if fits and (not met if escalation is None else task["escalation"] >= escalation):
                    return task
            return None

        task, milliseconds = self._wait_for(found, f"a task {kind} for {owner.title}")
        self._seen_tasks.add(task["id"])
        if not silent:
            self.step.tasks.append(kind)
            self.record.handovers.append((f"task {kind}", milliseconds))
            due = datetime.fromisoformat(task["due_at"]).astimezone(self.clock.zone)
            urgency = "" if task["priority"] == "routine" else f"{task['priority']}, "
            self.narrator.task(owner.title, kind, f"{urgency}due {due:%a %d %b %H:%M}", milliseconds)
        return task

    def settled(self, owner: Person, task: Mapping[str, Any]) -> None:
        """Check that doing what a task asks for has completed it."""
        state = self.read(owner, f"/tasks/{task['id']}")["state"]
        if state != "completed":
            raise Unmet(f"The task {task['kind']} of {owner.title} should be completed; it is {state}.")

    def complete(self, owner: Person, task: Mapping[str, Any], doing: str) -> None:
        """The owner accepts a task and completes it."""
        path = f"/tasks/{task['id']}"
        accepted = self._call(owner, "POST", f"{path}/accept", {}, version=task["version"])
        self._must_succeed(owner, "POST", f"{path}/accept", accepted)
        self.act(owner, "POST", f"{path}/complete", {}, version=accepted.body["version"], doing=doing)

    def await_text(self, to: Actor, containing: str) -> str:
        """Wait until a text that holds ``containing`` reaches the phone of ``to``; gives its words."""
        number = to.mobile if isinstance(to, Patient) else to.phone
        name = to.name if isinstance(to, Patient) else to.title
        text, milliseconds = self._await_text(number, containing)
        self.step.texts.append(text)
        self.record.handovers.append(("text", milliseconds))
        self.narrator.sms(name, text, milliseconds)
        return text

    def _await_text(self, number: str, containing: str) -> tuple[str, float]:
        def found() -> Any:
            for message in self.texts_to(number):
                if message["sid"] not in self._seen_texts and containing in message["body"]:
                    return message
            return None

        message, milliseconds = self._wait_for(found, f"a text with “{containing}” to {number}")
        self._seen_texts.add(message["sid"])
        return str(message["body"]), milliseconds

    def texts_to(self, number: str) -> list[Any]:
        """All texts that the provider took for a number, oldest first."""
        messages = self.sandbox.call("GET", "/sandbox/messages").body["messages"]
        return [each for each in messages if each["to"] == number and each["direction"] != "inbound"]

    def await_notice(self, reader: Person, kind: str, *, about: str | None = None) -> Any:
        """Wait until an in-app notice of ``kind``, not met before, is there for ``reader``; gives it."""

        def found() -> Any:
            for notice in self.read(reader, "/notices", limit=100)["items"]:
                fits = about is None or about in (notice["subject_id"], notice["episode_id"])
                if notice["kind"] == kind and fits and notice["id"] not in self._seen_notices:
                    return notice
            return None

        notice, milliseconds = self._wait_for(found, f"a notice {kind} for {reader.title}")
        self._seen_notices.add(notice["id"])
        self.step.notices.append(kind)
        self.record.handovers.append((f"notice {kind}", milliseconds))
        self.narrator.told(reader.title, kind, milliseconds)
        return notice

    def await_no_text(self, patient: Patient, kind: str, *, states: Collection[str], why: str) -> None:
        """Wait until the newest text of ``kind`` to a patient is in one of ``states`` because it may not go now."""

        def found() -> Any:
            page = self.read(self.cast.therapist, f"/episodes/{patient.episode_id}/notices", limit=100)
            for notice in page["items"]:
                if notice["kind"] == kind:
                    return notice if notice["state"] in states else None
            return None

        notice, milliseconds = self._wait_for(found, f"a text {kind} to {patient.name} that is {' or '.join(states)}")
        self.record.handovers.append((f"text {kind} kept back", milliseconds))
        until = ""
        if notice["state"] == "held" and notice["send_at"]:
            at = datetime.fromisoformat(notice["send_at"]).astimezone(self.clock.zone)
            until = f" until {at:%a %d %b %H:%M}"
        self.narrator.fact(
            f"No text to {patient.name} now: {kind} is {notice['state']}{until} ({notice['reason']}): {why}."
        )

    def await_state(self, actor: Actor, path: str, wanted: Mapping[str, Any]) -> Any:
        """Wait until a record has the ``wanted`` values; gives it."""

        def found() -> Any:
            record = self.read(actor, path)
            return record if all(record[name] == value for name, value in wanted.items()) else None

        words = ", ".join(f"{name} {value}" for name, value in wanted.items())
        record, _ = self._wait_for(found, f"{path} with {words}")
        return record

    def _wait_for(self, found: Callable[[], Any], what: str) -> tuple[Any, float]:
        """Ask until there is something; gives it and the milliseconds since the last act."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (result := found()) is None:
            if time.monotonic() > deadline:
                raise Unmet(f"After {PATIENCE_SECONDS:.0f} seconds there still was not {what}.")
            time.sleep(POLL_SECONDS)
        return result, (time.monotonic() - self._since) * 1000

    # ---- Phones, carriers, time -------------------------------------------------------------------------------------

    def text_in(self, patient: Patient, body: str) -> None:
        """The patient sends a text."""
        answer = self.sandbox.call("POST", "/sandbox/inbound", {"from": patient.mobile, "body": body})
        if answer.status != 201 or answer.body["answer"] not in (200, 204):
            raise Unmet(f"The service did not take the text of {patient.name}: {answer.body}.")
        self._since = answer.at
        self.narrator.reply(patient.name, body)

    def carrier_scans(self, tracking_code: str, status: str, says: str, **more: Any) -> None:
        """The carrier scans a parcel; EasyPost posts the event."""
        answer = self.sandbox.call("POST", f"/sandbox/trackers/{tracking_code}/advance", {"status": status, **more})
        if answer.status != 200:
            raise Unmet(f"The carrier does not know the parcel: {answer.status}.")
        self._since = answer.at
        self.narrator.act(self.clock.now(), "The carrier", f"webhook /hooks/easypost: {status}", says)

    def come_to_rest(self) -> None:
        """Wait until everything that was set in motion has been carried out."""
        self._wait_for(lambda: self._is_at_rest() or None, "an end to the work in the queues")

    def _is_at_rest(self) -> bool:
        figures = {}
        for line in self.api.text("/metrics").splitlines():
            if line.startswith("coordinator_"):
                name, _, value = line.rpartition(" ")
                with suppress(ValueError):
                    figures[name] = float(value)
        busy = [value for name, value in figures.items() if name.startswith("coordinator_queue_depth")]
        busy.append(figures.get("coordinator_oldest_unacknowledged_seconds", 0.0))
        busy.extend(figures.get(f'coordinator_notices{{state="{state}"}}', 0.0) for state in ("pending", "sending"))
        return not any(busy)

    def pass_time(self, until: datetime, because: str) -> None:
        """Let time pass, after everything under way has come to rest."""
        self.come_to_rest()
        gap = self.clock.move_to(until)
        self._since = time.monotonic()
        now = self.clock.now()
        self.narrator.time(f"Time moves on by {_words(gap)} to day {self.clock.day}, {now:%a %d %b %H:%M}: {because}.")

    def wait(self, gap: timedelta, because: str) -> None:
        """Let ``gap`` pass."""
        self.pass_time(self.clock.now() + gap, because)

    def day(self, day: int, at: str, because: str) -> None:
        """Let time pass until ``at`` on a day of the story."""
        self.pass_time(self.clock.on_day(day, at), because)


def _shown(method: str, path: str, answer: Answer) -> str:
    """A call and its answer, with ids cut short."""
    return f"{method} {API}{ID.sub(lambda id_: '…' + id_.group()[-4:], path)} → {answer.status}"


def _words(gap: timedelta) -> str:
    minutes = round(gap.total_seconds() / 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "a moment"
