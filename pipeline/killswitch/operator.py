"""The operator's way to the control server: a few requests, short time-outs, no proxy in between.

A trip must work when the server does not: then it goes to the journal, which the server reads.
"""

import contextlib
import http.client
import os
import time
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from pipeline.errors import AuditfuseError, ConfigError
from pipeline.killswitch import compose, drill
from pipeline.killswitch.auth import TOKEN_FILE
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.connection import connect
from pipeline.killswitch.drill_http import Drills
from pipeline.killswitch.health import fault_of
from pipeline.killswitch.journal import Journal
from pipeline.killswitch.server import Answer
from pipeline.killswitch.status import Status
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.reasons import WITHHELD, Redact
from schemas.command import Command, Mode, Selector

TIMEOUT_S = 3.0
SEALING_TIMEOUT_S = 25.0
REASON_WAIT_S = 30.0
TOKEN_VARIABLE = "AUDITFUSE_TOKEN"  # noqa: S105 (the variable's name)
BASE = "/v1/killswitch"

_AnswerT = TypeVar("_AnswerT")


class NoServerError(AuditfuseError):
    """The control server does not answer, or fails inside."""


class TripFailedError(AuditfuseError):
    """Neither the server nor the journal took a trip."""

    exit_code = 1


class Operator:
    """Sends orders to the control server of this configuration."""

    def __init__(self, config: KillSwitchConfig, redact: Redact) -> None:
        """`redact` makes a reason fit to be kept, where no server answers that would."""
        self.config = config
        self._redact = redact

    def status(self) -> Status:
        """The server's status. Raises NoServerError, ConfigError."""
        return self.ask("GET", BASE, None, Status, TIMEOUT_S)

    def remembered_status(self) -> Status:
        """What a server that starts now, without the store, would serve."""
        switch = KillSwitch(self.config, append=_nothing, read_sealed=_nothing)
        if self.config.journal.is_dir():
            switch.load()
        return switch.status()

    def trip(
        self, selector: Selector, mode: Mode, *, by: str, reason: str, until_ms: int | None
    ) -> Answer | Command:
        """Trip by the server (Answer), or else by the journal (Command). Raises TripFailedError."""
        order = {"selector": selector, "mode": mode, "by": by, "reason": reason, "until_ms": until_ms}
        try:
            return self.ask("POST", f"{BASE}/trips", order, Answer, TIMEOUT_S)
        except NoServerError as error:
            return self._trip_by_journal(selector, mode, by, reason, until_ms=until_ms, because=str(error))

    def request_reset(self, trips: list[str], *, by: str, reason: str, mode: Mode) -> Answer:
        """Ask for a reset. Raises NoServerError, ConfigError, CommandError."""
        order = {"trips": trips, "by": by, "reason": reason, "mode": mode}
        return self.ask("POST", f"{BASE}/resets", order, Answer, SEALING_TIMEOUT_S)

    def approve_reset(self, request_id: str, *, by: str, reason: str) -> Answer:
        """Approve a reset. Raises NoServerError, ConfigError, CommandError."""
        path = f"{BASE}/resets/{quote(request_id, safe='')}/approval"
        return self.ask("POST", path, {"by": by, "reason": reason}, Answer, SEALING_TIMEOUT_S)

    def step_down(self, trips: list[str], *, by: str, reason: str) -> Answer:
        """Step automatic trips down to read_only. Raises NoServerError, ConfigError, CommandError."""
        order = {"trips": trips, "by": by, "reason": reason}
        return self.ask("POST", f"{BASE}/step-downs", order, Answer, SEALING_TIMEOUT_S)

    def _trip_by_journal(
        self, selector: Selector, mode: Mode, by: str, reason: str, *, until_ms: int | None, because: str
    ) -> Command:
        now_ms = time.time_ns() // 1_000_000
        trip = compose.new_trip(
            selector=selector, mode=mode, by=by, reason=reason, at_ms=now_ms, until_ms=until_ms
        )
        journal = Journal(self.config.journal)
        try:
            journal.add(msgspec.structs.replace(trip, reason=WITHHELD))  # at once; the reason follows
        except OSError as error:
            raise TripFailedError(
                f"NOT TRIPPED: {because}, and the journal {self.config.journal} cannot be written "
                f"({fault_of(error)}). Stop the agent itself"
            ) from None
        fit = msgspec.structs.replace(trip, reason=self._redact(trip.reason, REASON_WAIT_S))
        with contextlib.suppress(OSError):
            journal.amend(fit)
        return fit

    def ask(self, method: str, path: str, order: Any, kind: type[_AnswerT], timeout_s: float) -> _AnswerT:
        """One request. Raises NoServerError, ConfigError."""
        status, body = self._exchange(method, path, order, timeout_s)
        if status >= 500:
            raise NoServerError(f"the control server answered {status}")
        if status >= 400:
            raise ConfigError(_refusal_text(status, body))
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError:
            raise NoServerError(f"what answers on port {self.config.port} is not auditfuse") from None

    def _exchange(self, method: str, path: str, order: Any, timeout_s: float) -> tuple[int, bytes]:
        connection = self.connect(timeout_s)
        headers = {"content-type": "application/json"} | self.headers()
        try:
            connection.request(method, path, msgspec.json.encode(order), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            where = f"{self._host()}:{self.config.port}"
            raise NoServerError(
                f"the control server on {where} does not answer ({fault_of(error)})"
            ) from None
        finally:
            connection.close()

    def overdue_drill(self) -> str | None:
        """What to say where the last good drill is too old; without a server, as the journal has it."""
        try:
            return self.ask("GET", f"{BASE}/drills", None, Drills, TIMEOUT_S).overdue
        except AuditfuseError:
            last_good = drill.last_good_drill(self.config.journal)
            return drill.overdue(last_good, self.config, time.time_ns() // 1_000_000)

    def connect(self, timeout_s: float = TIMEOUT_S) -> http.client.HTTPConnection:
        """A connection to the server, not made yet."""
        return connect(self.config, self._host(), self.config.port, timeout_s)

    def headers(self) -> dict[str, str]:
        """Who this is."""
        token = self._token()
        return {"authorization": f"Bearer {token}"} if token else {}

    def _host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.config.host, self.config.host)  # noqa: S104

    def _token(self) -> str | None:
        """The operator's token, from the environment or from this machine's token file."""
        given = os.environ.get(TOKEN_VARIABLE)
        if given:
            return given.strip()
        try:
            return (self.config.journal / TOKEN_FILE).read_text().strip()
        except OSError:
            return None


def _refusal_text(status: int, body: bytes) -> str:
    try:
        text = str(msgspec.json.decode(body, type=dict[str, Any])["error"])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        text = f"the control server answered {status}"
    if status == 401:
        return f"{text}; set {TOKEN_VARIABLE}, or run this on the server's machine as its user"
    return text


def _nothing(_: object) -> tuple[()]:
    return ()
