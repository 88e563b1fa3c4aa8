"""Where the story plays: what follows from a call, phones and carriers, and the passing of time.

What is waited for is asked for again and again; nothing here waits for a fixed time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from coordinator.local.story.calls import Actor, Calls
from coordinator.local.story.cast import Cast, Patient, Person
from coordinator.local.story.client import Client
from coordinator.local.story.narration import Narrator
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import Script
from coordinator.local.story.times import MovableClock

PATIENCE_SECONDS: Final = 60.0  # workers that start on a busy machine take long to come up
POLL_SECONDS: Final = 0.02
CODE: Final = re.compile(r"\b([0-9]{6})\b")


class Stage(Calls):
    """Everything that a chapter needs; ``sandbox`` stands in for Twilio, EasyPost, phones and carriers."""

    def __init__(
        self, api: Client, sandbox: Client, clock: MovableClock, cast: Cast, script: Script, narrator: Narrator
    ) -> None:
        super().__init__(api, clock, cast, script, narrator)
        self.sandbox = sandbox
        self.patients = {name: Patient(each.first_name, each.mobile) for name, each in script.patients.items()}
        self._seen: set[str] = set()  # ids of tasks, notices and texts that were met
        self.is_warm = False  # until the workers are up, a hand-over measures how long they take to start

    @property
    def dana(self) -> Patient:
        """The patient whom the journey follows."""
        return self.patients["dana"]

    @property
    def lee(self) -> Patient:
        """A patient at risk, who is not texted."""
        return self.patients["lee"]

    @property
    def robin(self) -> Patient:
        """A patient who answers late."""
        return self.patients["robin"]

    # ---- Tasks and notices ------------------------------------------------------------------------------------------

    def await_task(self, owner: Person, kind: str, *, about: str | None = None, escalation: int | None = None) -> Any:
        """Wait until a task of ``kind``, not met before, is in the inbox of ``owner``; gives it.

        ``about`` is the id of its subject or of its episode; ``escalation`` how far it must have escalated (then it may
        have been met before).
        """

        def found() -> Any:
            for task in self.read(owner, "/tasks", kind=kind, limit=100)["items"]:
                is_new = task["id"] not in self._seen if escalation is None else task["escalation"] >= escalation
                if is_new and about in (None, task["subject_id"], task["episode_id"]):
                    return task
            return None

        task, milliseconds = self._wait_for(found, f"a task {kind} for {owner.title}")
        self._seen.add(task["id"])
        self.step.tasks.append(kind)
        self._handed_over(f"task {kind}", milliseconds)
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
        accepted = self.quietly(owner, "POST", f"{path}/accept", {}, version=task["version"])
        self.act(owner, "POST", f"{path}/complete", {}, version=accepted["version"], doing=doing)

    def await_notice(self, reader: Person, kind: str, *, about: str | None = None) -> Any:
        """Wait until an in-app notice of ``kind``, not met before, is there for ``reader``; gives it."""

        def found() -> Any:
            for notice in self.read(reader, "/notices", limit=100)["items"]:
                is_wanted = notice["kind"] == kind and notice["id"] not in self._seen
                if is_wanted and about in (None, notice["subject_id"], notice["episode_id"]):
                    return notice
            return None

        notice, milliseconds = self._wait_for(found, f"a notice {kind} for {reader.title}")
        self._seen.add(notice["id"])
        self.step.notices.append(kind)
        self._handed_over(f"notice {kind}", milliseconds)
        self.narrator.told(reader.title, kind, milliseconds)
        return notice

    def await_state(self, actor: Actor, path: str, wanted: Mapping[str, Any]) -> Any:
        """Wait until a record has the ``wanted`` values; gives it."""

        def found() -> Any:
            record = self.read(actor, path)
            return record if all(record[name] == value for name, value in wanted.items()) else None

        words = ", ".join(f"{name} {value}" for name, value in wanted.items())
        return self._wait_for(found, f"{path} with {words}")[0]

    # ---- Texts ------------------------------------------------------------------------------------------------------

    def await_text(self, to: Actor, containing: str) -> str:
        """Wait until a text that holds ``containing`` reaches the phone of ``to``; gives its words."""
        text, milliseconds = self._await_text(to, containing)
        self.step.texts.append(text)
        self._handed_over(f"text “{containing}”", milliseconds)
        self.narrator.sms(to.name, text, milliseconds)
        return text

    def await_code(self, patient: Patient) -> str:
        """The one-time code that reaches the phone of a patient."""
        found = CODE.search(self._await_text(patient, "sign-in code")[0])
        if found is None:
            raise Unmet(f"There is no code in what {patient.name} got.")
        return found.group(1)

    def _await_text(self, to: Actor, containing: str) -> tuple[str, float]:
        def found() -> Any:
            for message in self.texts_to(to):
                if message["sid"] not in self._seen and containing in message["body"]:
                    return message
            return None

        message, milliseconds = self._wait_for(found, f"a text with “{containing}” to {to.name}")
        self._seen.add(message["sid"])
        return str(message["body"]), milliseconds

    def texts_to(self, to: Actor) -> list[Any]:
        """All texts that the provider took for somebody, oldest first."""
        messages = self.sandbox.call("GET", "/sandbox/messages").body["messages"]
        return [each for each in messages if each["to"] == to.mobile and each["direction"] != "inbound"]

    def await_no_text(self, patient: Patient, kind: str, *, states: Collection[str], why: str) -> None:
        """Wait until the newest text of ``kind`` to a patient is in one of ``states``, because it may not go now."""

        def found() -> Any:
            page = self.read(self.cast.therapist, f"/episodes/{patient.episode_id}/notices", limit=100)
            newest = next((notice for notice in page["items"] if notice["kind"] == kind), None)
            return newest if newest is not None and newest["state"] in states else None

        notice, _ = self._wait_for(found, f"a text {kind} to {patient.name} that is {' or '.join(states)}")
        self.step.kept_back.append(kind)
        until = ""
        if notice["state"] == "held" and notice["send_at"]:
            at = datetime.fromisoformat(notice["send_at"]).astimezone(self.clock.zone)
            until = f" until {at:%a %d %b %H:%M}"
        said = f"{kind} is {notice['state']}{until} ({notice['reason']})"
        self.narrator.fact(f"No text to {patient.name} now: {said}: {why}.")

    def text_in(self, patient: Patient, body: str) -> None:
        """The patient sends a text."""
        answer = self.sandbox.call("POST", "/sandbox/inbound", {"from": patient.mobile, "body": body})
        if answer.status != 201 or answer.body["answer"] not in (200, 204):
            raise Unmet(f"The service did not take the text of {patient.name}: {answer.body}.")
        self.happened(answer.at)
        self.narrator.reply(patient.name, body)

    # ---- Carriers ---------------------------------------------------------------------------------------------------

    def carrier_scans(self, tracking_code: str, status: str, says: str, **more: Any) -> None:
        """The carrier scans a parcel; EasyPost posts the event."""
        answer = self.sandbox.call("POST", f"/sandbox/trackers/{tracking_code}/advance", {"status": status, **more})
        if answer.status != 200:
            raise Unmet(f"The carrier does not know the parcel: {answer.status}.")
        self.happened(answer.at)
        self.narrator.act(self.clock.stamp, "The carrier", f"webhook /hooks/easypost: {status}", says)

    # ---- Time -------------------------------------------------------------------------------------------------------

    def pass_time(self, until: datetime, because: str) -> None:
        """Let time pass, after everything under way has come to rest."""
        self.come_to_rest()
        gap = self.clock.move_to(until)
        self.happened(time.monotonic())
        now = self.clock.now()
        self.narrator.time(f"Time moves on by {_words(gap)} to day {self.clock.day}, {now:%a %d %b %H:%M}: {because}.")

    def wait(self, gap: timedelta, because: str) -> None:
        """Let ``gap`` pass."""
        self.pass_time(self.clock.now() + gap, because)

    def day(self, day: int, at: str, because: str) -> None:
        """Let time pass until ``at`` on a day of the story."""
        self.pass_time(self.clock.on_day(day, at), because)

    def come_to_rest(self) -> None:
        """Wait until everything that was set in motion has been carried out.

        Time must not jump over work in flight: a text that is being sent would look like one that was cut off.
        """
        self._wait_for(lambda: self._is_at_rest() or None, "an end to the work in the queues")

    def figures(self) -> dict[str, float]:
        """What ``/metrics`` says now."""
        found = {}
        for line in self.api.text("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("coordinator_"):
                found[name] = float(value)
        return found

    def _is_at_rest(self) -> bool:
        figures = self.figures()
        busy = [value for name, value in figures.items() if name.startswith("coordinator_queue_depth")]
        busy.append(figures.get("coordinator_oldest_unacknowledged_seconds", 0.0))
        busy.extend(figures.get(f'coordinator_notices{{state="{state}"}}', 0.0) for state in ("pending", "sending"))
        return not any(busy)

    def _handed_over(self, what: str, milliseconds: float) -> None:
        if self.is_warm:
            self.record.handovers.append((what, milliseconds))

    def _wait_for(self, found: Callable[[], Any], what: str) -> tuple[Any, float]:
        """Ask until there is something; gives it and the milliseconds since what it follows from.

        What is there at the first look may have been there for a while (another thing was waited for, or somebody had
        to sign in to look): then the time at which it was stored counts.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        looks = 1
        while (result := found()) is None:
            if time.monotonic() > deadline:
                raise Unmet(f"After {PATIENCE_SECONDS:.0f} seconds there still was not {what}.")
            time.sleep(POLL_SECONDS)
            looks += 1
        seen = (time.monotonic() - self.since) * 1000
        stored_at = result.get("created_at") if isinstance(result, dict) else None
        if looks > 1 or stored_at is None:
            return result, seen
        stored = (datetime.fromisoformat(stored_at) - self.since_at).total_seconds() * 1000
        return result, stored if 0 <= stored < seen else seen


def _words(gap: timedelta) -> str:
    minutes = round(gap.total_seconds() / 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "a moment"
