"""Calling the API as somebody: signing in, doing what must succeed, trying what must be refused."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from coordinator.local.story.cast import PASSWORD, Cast, Patient, Person
from coordinator.local.story.client import Answer, Client
from coordinator.local.story.narration import Narrator
from coordinator.local.story.records import Record, StepRecord, Unmet
from coordinator.local.story.scripts import Script
from coordinator.local.story.times import MovableClock
from services.people.second_factors import STEP_SECONDS

API: Final = "/api/v1"
# A token is renewed a little early, so that it does not run out between two calls.
MARGIN: Final = timedelta(minutes=2)
LINK: Final = re.compile(r"https?://\S+/l/([A-Za-z0-9_-]+)")
ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

Actor = Person | Patient


class Calls:
    """The API, who calls it, and the record of it. ``kept`` holds ids that one chapter leaves for the next."""

    def __init__(self, api: Client, clock: MovableClock, cast: Cast, script: Script, narrator: Narrator) -> None:
        self.api, self.clock, self.cast, self.script, self.narrator = api, clock, cast, script, narrator
        self.record = Record()
        self.kept: dict[str, Any] = {}
        self.happened(time.monotonic())

    # ---- Steps ------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> StepRecord:
        """The step being told."""
        return self.record.steps[-1]

    def begin_step(self, number: int, title: str) -> None:
        """A step begins; the one before is done."""
        self.end_step()
        self.record.steps.append(StepRecord(number, title))
        self.narrator.heading(f"Step {number}: {title}")

    def meanwhile(self, title: str) -> None:
        """Something else happens between two steps; it is recorded with the one before."""
        self.narrator.heading(f"Meanwhile: {title}")

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
        answer = self.call(actor, method, path, body, version=version, key=key)
        self._must_succeed(actor, method, path, answer)
        self.step.calls += 1
        self.narrator.act(self.clock.stamp, actor.title, _shown(method, path, answer), doing)
        return answer.body

    def quietly(self, actor: Actor, method: str, path: str, body: Any = None, *, version: int | None = None) -> Any:
        """Let somebody do something that must succeed, without a word; gives the answer's body."""
        answer = self.call(actor, method, path, body, version=version)
        self._must_succeed(actor, method, path, answer)
        return answer.body

    def read(self, actor: Actor, path: str, **query: Any) -> Any:
        """Read something that must be there, without a word."""
        answer = self.call(actor, "GET", path, query=query)
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
        answer = self.call(actor, method, path, body, version=version, key=key)
        shown = _shown(method, path, answer)
        if answer.status != status:
            raise Unmet(f"{actor.title} should have been refused with {status} ({doing}): {shown} {answer.sentence}")
        missing = set(rules) - set(answer.rules)
        if missing:
            named = ", ".join(answer.rules) or "none"
            raise Unmet(f"{shown} should have named {', '.join(sorted(missing))}; it named {named}.")
        self.step.calls += 1
        self.step.refusals.extend(answer.rules or [str(status)])
        named = f" [{', '.join(rules)}]" if rules else ""
        self.narrator.refused(actor.title, shown, f"{doing}: refused, as it must be", answer.sentence + named)
        return answer

    def call(
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
        """Make a call as somebody, whatever the answer."""
        token = self._token_of(actor)
        answer = self.api.call(method, API + path, body, token=token, version=version, key=key, query=query)
        if method != "GET":
            self.happened(answer.at)
        return answer

    def happened(self, at: float) -> None:
        """At the monotonic moment ``at`` something was done whose consequences are waited for from now on."""
        self.since = at
        self.since_at = self.clock.now() - timedelta(seconds=time.monotonic() - at)

    def _must_succeed(self, actor: Actor, method: str, path: str, answer: Answer) -> None:
        if answer.status >= 400:
            named = f" [{', '.join(answer.rules)}]" if answer.rules else ""
            fields = answer.body.get("errors") if isinstance(answer.body, dict) else None
            more = f" {fields}" if fields else ""
            raise Unmet(f"{actor.title}: {_shown(method, path, answer)}: {answer.sentence}{named}{more}")

    # ---- Coming in --------------------------------------------------------------------------------------------------

    def _token_of(self, actor: Actor) -> str:
        """A bearer token that works; staff sign in anew when theirs ran out, patients by a one-time code."""
        if actor.token is None or actor.expires_at is None or actor.expires_at - MARGIN < self.clock.now():
            if isinstance(actor, Person):
                self._sign_in(actor)
            else:
                self.sign_in_by_code(actor)
        assert actor.token is not None  # noqa: S101 - both ways of coming in set it
        return actor.token

    def fresh_code(self, person: Person) -> str:
        """A code of the authenticator that was not used yet; half a minute passes when the present one was."""
        if not person.has_fresh_code:
            self.clock.move_by(timedelta(seconds=STEP_SECONDS))
        return person.code()

    def _sign_in(self, person: Person) -> None:
        """Password and authenticator code."""
        body = {"email": person.email, "password": PASSWORD, "code": self.fresh_code(person)}
        issued = self._enter(person, "/sign-in", body)
        self._come_in(person, issued)
        person.organisation_id = issued["organisation_id"]

    def exchange_link(self, patient: Patient, text: str, *, twice: bool = False) -> None:
        """The patient opens the personal link in ``text``; with ``twice`` once more, which must not work."""
        found = LINK.search(text)
        if found is None:
            raise Unmet(f"There is no personal link in what {patient.name} got.")
        body = {"token": found.group(1)}
        self._come_in(patient, self._enter(patient, "/links/exchange", body))
        self.narrator.act(
            self.clock.stamp, patient.title, f"POST {API}/links/exchange → 200", "opens the personal link"
        )
        if twice:
            again = self.api.call("POST", f"{API}/links/exchange", body)
            if again.status != 401:
                raise Unmet(f"A personal link worked a second time: {again.status}.")
            self.step.refusals.append("401")
            self.narrator.fact("The same link a second time: 401, it works once.")

    def sign_in_by_code(self, patient: Patient) -> None:
        """The patient asks for a one-time code by SMS and types it in."""
        asked = self.api.call("POST", f"{API}/codes", {"mobile": patient.mobile})
        self._must_succeed(patient, "POST", "/codes", asked)
        self.happened(asked.at)
        body = {"mobile": patient.mobile, "code": self.await_code(patient)}
        self._come_in(patient, self._enter(patient, "/codes/exchange", body))
        shown = f"POST {API}/codes, {API}/codes/exchange → 200"
        self.narrator.act(self.clock.stamp, patient.title, shown, "signs in with a one-time code by SMS")

    def await_code(self, patient: Patient) -> str:
        """The one-time code that reaches the phone of a patient."""
        raise NotImplementedError

    def _enter(self, actor: Actor, path: str, body: Any) -> Any:
        """Come in by ``path``; when the service asks to slow down, wait as long as it says."""
        answer = self.api.call("POST", API + path, body)
        if answer.status == 429:
            time.sleep(float(answer.headers.get("Retry-After") or 1))
            answer = self.api.call("POST", API + path, body)
        self._must_succeed(actor, "POST", path, answer)
        return answer.body

    def _come_in(self, actor: Actor, issued: Mapping[str, Any]) -> None:
        actor.token = issued["token"]
        actor.expires_at = datetime.fromisoformat(issued["expires_at"])


def _shown(method: str, path: str, answer: Answer) -> str:
    """A call and its answer, with ids cut short."""
    return f"{method} {API}{ID.sub(lambda id_: '…' + id_.group()[-4:], path)} → {answer.status}"
