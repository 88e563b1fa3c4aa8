"""The sandbox's HTTP side: which address does what, and how a spoilt answer looks on the wire.

POST   /2010-04-01/Accounts/{sid}/Messages.json            send           basic auth, as the twilio client does
GET    /2010-04-01/Accounts/{sid}/Messages.json            list
GET    /2010-04-01/Accounts/{sid}/Messages/{sid}.json      fetch
POST   /v2/trackers                                        create         API key, as the easypost client does
GET    /v2/trackers, /v2/trackers/{id}                     list, fetch
GET    /sandbox/messages                                   every text, oldest first
POST   /sandbox/inbound                                    {"from", "body", "to"?}: a patient texts in
POST   /sandbox/trackers/{id or tracking code}/advance     a carrier scan, see trackers.py
POST   /sandbox/events/release                             {"backwards": false}: post held events
GET, POST, DELETE /sandbox/faults                          see faults.py
GET    /sandbox/callbacks                                  what was posted to the service, and its answers
GET    /health
"""

from __future__ import annotations

import base64
import hmac
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from coordinator.local.sandbox.callbacks import Callbacks
from coordinator.local.sandbox.faults import KINDS, Fault, Faults
from coordinator.local.sandbox.messages import Messages
from coordinator.local.sandbox.trackers import Trackers
from coordinator.local.sandbox.wire import Ask, Reply, WireServer
from services.core.errors import CoordinationError, InvalidConfiguration, InvalidInput, NotFound, NotSignedIn

TWILIO_CODES = {"To": 21211, "Body": 21602, "From": 21603}
SETTINGS = (
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "EASYPOST_API_KEY",
    "EASYPOST_WEBHOOK_SECRET",
    "PUBLIC_BASE_URL",
)


@dataclass
class Sandbox:
    """Both providers behind one server on loopback. ``port=0`` takes a free one; ``url`` says which."""

    settings: Mapping[str, str]
    port: int = 0
    faults: Faults = field(default_factory=Faults)
    callbacks: Callbacks = field(default_factory=Callbacks)

    def __post_init__(self) -> None:
        if self.settings.get("COORDINATOR_ENV") == "production":
            raise InvalidConfiguration("The sandbox is for laptops and tests: production talks to real providers.")
        missing = [name for name in SETTINGS if not self.settings.get(name)]
        if missing:
            raise InvalidConfiguration("These environment variables are missing: " + ", ".join(missing) + ".")
        base = self.settings["PUBLIC_BASE_URL"].rstrip("/")
        self.messages = Messages(
            self.settings["TWILIO_ACCOUNT_SID"],
            self.settings["TWILIO_AUTH_TOKEN"],
            f"{base}/hooks/twilio/inbound",
            self.callbacks,
        )
        self.trackers = Trackers(self.settings["EASYPOST_WEBHOOK_SECRET"], f"{base}/hooks/easypost", self.callbacks)
        self.stopping = threading.Event()
        self._server = WireServer(self.port, self.answer, self.stopping)
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where it listens; EasyPost's ``api_base`` is this and ``/v2``."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Answer until ``stop()``."""
        self._server.serve_forever(poll_interval=0.1)

    def start(self) -> None:
        """Answer from a thread of its own."""
        threading.Thread(target=self.serve, name="sandbox", daemon=True).start()

    def stop(self) -> None:
        """Stop answering, end what hangs, drop undelivered callbacks."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self.callbacks.stop()

    def answer(self, method: str, ask: Ask) -> Reply:
        """Do what the request asks. Errors become the provider's own error bodies."""
        twilio = ask.parts[:1] == ("2010-04-01",)
        try:
            return self._route(method, ask)
        except NotSignedIn as error:
            return _refused(401, 20003, error.message, twilio=twilio)
        except NotFound as error:
            return _refused(404, 20404, error.message, twilio=twilio)
        except ValueError:
            return _refused(400, 20001, "A value in the query is not what it should be.", twilio=twilio)
        except CoordinationError as error:
            status = 400 if twilio else 422
            return _refused(status, TWILIO_CODES.get(error.field or "", 20001), error.message, twilio=twilio)

    def _route(self, method: str, ask: Ask) -> Reply:
        wanted = f"{method} /" + "/".join(ask.parts)
        for pattern, action in self._ROUTES:
            match = pattern.fullmatch(wanted)
            if match:
                return action(self, ask, *match.groups())
        raise NotFound("The requested resource was not found.")

    def _send(self, ask: Ask, account: str) -> Reply:
        self._check_twilio(ask, account)
        fault = self.faults.take("twilio")
        if fault and fault.takes_nothing:
            return _spoilt(fault, None, twilio=True)
        taken = self.messages.send(ask.form(), fault)
        return _spoilt(fault, taken, twilio=True) if fault else Reply(201, taken)

    def _list_messages(self, ask: Ask, account: str) -> Reply:
        self._check_twilio(ask, account)
        return Reply(200, self.messages.page(ask.query))

    def _fetch_message(self, ask: Ask, account: str, sid: str) -> Reply:
        self._check_twilio(ask, account)
        message = self.messages.fetch(sid)
        if message is None:
            raise NotFound("The requested resource was not found.")
        return Reply(200, message)

    def _create_tracker(self, ask: Ask) -> Reply:
        self._check_easypost(ask)
        fault = self.faults.take("easypost")
        if fault and fault.takes_nothing:
            return _spoilt(fault, None, twilio=False)
        tracker = self.trackers.create(ask.json().get("tracker") or {})
        return _spoilt(fault, tracker, twilio=False) if fault else Reply(201, tracker)

    def _list_trackers(self, ask: Ask) -> Reply:
        self._check_easypost(ask)
        return Reply(200, self.trackers.page(ask.query))

    def _fetch_tracker(self, ask: Ask, name: str) -> Reply:
        self._check_easypost(ask)
        return Reply(200, self.trackers.fetch(name))

    def _inbound(self, ask: Ask) -> Reply:
        text = ask.json()
        sender, body = text.get("from"), text.get("body")
        if not isinstance(sender, str) or not isinstance(body, str):
            raise InvalidInput("from and body are required.", field="from")
        to = text.get("to")
        message, status = self.messages.receive(sender, body, *([to] if isinstance(to, str) else []))
        return Reply(201, {"message": message, "answer": status})

    def _advance(self, ask: Ask, name: str) -> Reply:
        return Reply(200, self.trackers.advance(name, ask.json()))

    def _release(self, ask: Ask) -> Reply:
        return Reply(200, {"released": self.trackers.release(backwards=bool(ask.json().get("backwards")))})

    def _list_texts(self, ask: Ask) -> Reply:
        return Reply(200, {"messages": self.messages.all()})

    def _list_callbacks(self, ask: Ask) -> Reply:
        return Reply(200, {"callbacks": self.callbacks.deliveries()})

    def _order_faults(self, ask: Ask) -> Reply:
        return Reply(201, {"waiting": self.faults.order(ask.json())})

    def _list_faults(self, ask: Ask) -> Reply:
        return Reply(200, {"waiting": self.faults.waiting(), "kinds": dict(KINDS)})

    def _clear_faults(self, ask: Ask) -> Reply:
        self.faults.clear()
        return Reply(200, {"waiting": self.faults.waiting()})

    def _health(self, ask: Ask) -> Reply:
        return Reply(200, {"status": "ok"})

    def _check_twilio(self, ask: Ask, account: str) -> None:
        expected = f"{self.messages.account}:{self.settings['TWILIO_AUTH_TOKEN']}"
        given = ask.headers.get("authorization", "")
        if not _same(given, "Basic " + base64.b64encode(expected.encode()).decode()):
            raise NotSignedIn("Authenticate")
        if account != self.messages.account:
            raise NotFound("The requested resource was not found.")

    def _check_easypost(self, ask: Ask) -> None:
        key, given = self.settings["EASYPOST_API_KEY"], ask.headers.get("authorization", "")
        basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        if not any(_same(given, allowed) for allowed in (f"Bearer {key}", basic)):
            raise NotSignedIn(
                "This api key is no longer active. Please use a different api key or reactivate this key."
            )

    _ROUTES: ClassVar[list[tuple[re.Pattern[str], Callable[..., Reply]]]] = [
        (re.compile(pattern), action)
        for pattern, action in (
            (r"POST /2010-04-01/Accounts/([^/]+)/Messages\.json", _send),
            (r"GET /2010-04-01/Accounts/([^/]+)/Messages\.json", _list_messages),
            (r"GET /2010-04-01/Accounts/([^/]+)/Messages/([^/]+)\.json", _fetch_message),
            (r"POST /v2/trackers", _create_tracker),
            (r"GET /v2/trackers", _list_trackers),
            (r"GET /v2/trackers/([^/]+)", _fetch_tracker),
            (r"GET /sandbox/messages", _list_texts),
            (r"GET /sandbox/callbacks", _list_callbacks),
            (r"POST /sandbox/inbound", _inbound),
            (r"POST /sandbox/trackers/([^/]+)/advance", _advance),
            (r"POST /sandbox/events/release", _release),
            (r"POST /sandbox/faults", _order_faults),
            (r"GET /sandbox/faults", _list_faults),
            (r"DELETE /sandbox/faults", _clear_faults),
            (r"GET /health", _health),
        )
    ]


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _refused(status: int, code: int, message: str, *, twilio: bool) -> Reply:
    if twilio:
        more = f"https://www.twilio.com/docs/errors/{code}"
        return Reply(status, {"code": code, "message": message, "more_info": more, "status": status})
    return Reply(status, {"error": {"code": "SANDBOX.REFUSED", "message": message, "errors": []}})


def _spoilt(fault: Fault, taken: Any, *, twilio: bool) -> Reply:
    """The answer that ``fault`` asks for, to a send of which ``taken`` was kept."""
    if fault.kind in {"429", "500", "503"}:
        code = {"429": 20429}.get(fault.kind, 20500)
        return _refused(int(fault.kind), code, "Ordered by a fault of the sandbox.", twilio=twilio)
    if fault.kind == "refuse":
        return _refused(400, fault.code, "Ordered by a fault of the sandbox.", twilio=twilio)
    if fault.kind == "accept_then_500":
        return _refused(500, 20500, "Ordered by a fault of the sandbox.", twilio=twilio)
    if fault.kind in {"reset", "accept_then_reset"}:
        return Reply(201, taken, "reset")
    if fault.kind in {"hang", "accept_then_hang", "accept_then_vanish"}:
        return Reply(201, taken, "hang")
    return Reply(201, taken)
