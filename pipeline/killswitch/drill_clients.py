"""The clients of a drill: each hears of the trip in one way, as agents do, over real connections.

They are in the drill's own scope. `stopped_s` is when a client's answer turned to no: what acts all the time
acted last just before. A client that hears nothing for a whole lease stops too, as agents must.
"""

import http.client
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec

from pipeline.killswitch.drill import Kind
from pipeline.killswitch.state import DRILL_ENVIRONMENT

ASK_INTERVAL_S = 0.01
RETRY_S = 0.1

Connect = Callable[[], http.client.HTTPConnection]


class DrillClient(ABC):
    """A thread that asks, until `stop`. `moments`: when the answer changed, in seconds; first to yes."""

    kind: ClassVar[Kind]

    def __init__(
        self, name: str, agent: str, connect: Connect, headers: dict[str, str], renew_s: float
    ) -> None:
        self.name = name
        self.agent = agent
        self._connect = connect
        self._headers = headers | {"content-type": "application/json"}
        self._renew_s = renew_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"drill-{name}", daemon=True)
        self.moments: list[float] = []
        self.client = secrets.token_hex(16)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    @property
    def is_allowed(self) -> bool:
        """Whether it could act now."""
        return len(self.moments) % 2 == 1

    @property
    def stopped_s(self) -> float | None:
        """When it last could act before it was stopped."""
        return self.moments[1] if len(self.moments) > 1 else None

    @property
    def allowed_again_s(self) -> float | None:
        """When it could act again."""
        return self.moments[2] if len(self.moments) > 2 else None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = self._connect()
                try:
                    self._ask(connection)
                finally:
                    connection.close()
            except (OSError, http.client.HTTPException, msgspec.MsgspecError, UnicodeDecodeError):
                self._stop.wait(RETRY_S)

    @abstractmethod
    def _ask(self, connection: http.client.HTTPConnection) -> None:
        """Ask over one connection until it fails or the client is stopped."""

    def _heard(self, *, allowed: bool) -> None:
        if allowed != self.is_allowed:
            self.moments.append(time.monotonic())

    def _post(self, connection: http.client.HTTPConnection, path: str, order: Any) -> Any:
        connection.request("POST", path, msgspec.json.encode(order), self._headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"answered {response.status}")
        return msgspec.json.decode(body)

    def _renew(self, connection: http.client.HTTPConnection, digest: str | None) -> tuple[str, bool]:
        """Renew the lease; the digest to acknowledge next, and whether no trip stops it."""
        order = {
            "client": self.client,
            "agent": self.agent,
            "environment": DRILL_ENVIRONMENT,
            "acknowledges": digest,
        }
        answer = self._post(connection, "/v1/leases", order)
        return str(answer["digest"]), _may_write(answer["trips"])


class FlagsClient(DrillClient):
    """Asks OFREP before each action, as an OpenFeature SDK does."""

    kind = "flags"

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        context = {"targetingKey": self.agent, "environment": DRILL_ENVIRONMENT, "tool": "drill"}
        while not self._stop.is_set():
            answer = self._post(connection, "/ofrep/v1/evaluate/flags/agent.write", {"context": context})
            self._heard(allowed=answer["value"] is True)
            self._stop.wait(ASK_INTERVAL_S)


class PollClient(DrillClient):
    """Renews its lease, and hears of trips by that alone."""

    kind = "poll"

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        digest: str | None = None
        while not self._stop.is_set():
            heard, allowed = self._renew(connection, digest)
            self._heard(allowed=allowed)
            if heard != digest:
                digest, _ = self._renew(connection, heard)  # acknowledged as soon as it is obeyed
            self._stop.wait(self._renew_s)


class StreamClient(DrillClient):
    """Is told of every change by server-sent events."""

    kind = "stream"

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        leases = self._connect()
        try:
            query = urlencode({"client": self.client, "agent": self.agent, "environment": DRILL_ENVIRONMENT})
            self._renew(leases, None)
            connection.request("GET", f"/v1/leases/stream?{query}", headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise http.client.HTTPException(f"answered {response.status}")
            while not self._stop.is_set():
                line = response.readline()
                if not line:
                    raise http.client.HTTPException("the stream ended")
                if line.startswith(b"data:"):
                    state = msgspec.json.decode(line[5:])
                    self._heard(allowed=_may_write(state["trips"]))
                    self._renew(leases, str(state["digest"]))
        finally:
            leases.close()


def _may_write(trips: list[dict[str, Any]]) -> bool:
    return all(trip["mode"] == "throttle" for trip in trips)


KINDS: tuple[type[DrillClient], ...] = (FlagsClient, StreamClient, PollClient)
