"""What both guards show alike: their options and their status."""

import os
import ssl
from typing import Literal

from auditfuse_client.calls import Identity
from auditfuse_client.core import Core, Options
from auditfuse_client.heartbeat import Heartbeat
from auditfuse_client.lease import boottime_s
from auditfuse_client.lifetimes import keep_track
from auditfuse_client.link import server_at
from auditfuse_client.status import Status

MAX_NAME_CHARS = 512
TOKEN_VARIABLE = "AUDITFUSE_TOKEN"  # noqa: S105 (a variable's name)
DRILL_ENVIRONMENT = "auditfuse-drill"
DRILL_PREFIX = "drill-"


class Face:
    """The options of a guard.

    `url` is the control server. `agent`, `environment` and `version` are what trips select by; leave one out,
    and every trip that names it covers this agent. `token` defaults to the variable AUDITFUSE_TOKEN.
    `reads`: whether reading goes on without a lease. `throttled`: whether a check waits for its turn under a
    throttle, or raises. `stream`: whether changes are pushed; without it they come with the next renewal.
    `ca` is a file of certificates to trust, `tls` a whole context instead. `plain_http` sends the token
    unencrypted beyond this machine. `first_wait_s`: how long checks wait for the first answer after the
    start. `timeout_s`: of one call. `drill`: it takes part in drills only, as agent `drill-AGENT` in the
    environment of drills; trips of real agents do not cover it, so let it guard nothing real.
    Raises ValueError for options that cannot work; never because the server is away.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        environment: str | None = None,
        version: str | None = None,
        token: str | None = None,
        reads: Literal["allow", "deny"] = "allow",
        throttled: Literal["wait", "raise"] = "wait",
        stream: bool = True,
        ca: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        plain_http: bool = False,
        first_wait_s: float = 2.0,
        timeout_s: float = 2.5,
        drill: bool = False,
    ) -> None:
        if not agent.strip():
            raise ValueError("agent must say who is asking")
        if drill:
            agent, environment = DRILL_PREFIX + agent.removeprefix(DRILL_PREFIX), DRILL_ENVIRONMENT
        me = Identity(agent, environment or None, version or None)
        if any(len(name.encode().decode()) > MAX_NAME_CHARS for name in me.named().values()):
            raise ValueError(f"agent, environment and version have at most {MAX_NAME_CHARS} characters")
        if reads not in {"allow", "deny"} or throttled not in {"wait", "raise"}:
            raise ValueError("reads must be allow or deny, throttled must be wait or raise")
        if timeout_s <= 0 or first_wait_s < 0:
            raise ValueError("timeout_s must be above 0, first_wait_s not below")
        token = token or os.environ.get(TOKEN_VARIABLE)
        server = server_at(url, token=token, ca=ca, tls=tls, plain_http=plain_http)
        self._heartbeat = Heartbeat(server, me, boottime_s, stream=stream, timeout_s=timeout_s)
        options = Options(reads, throttled, first_wait_s, timeout_s)
        self._core = Core(server, me, options, self._heartbeat, boottime_s)
        self._now_s = boottime_s
        keep_track(self._core)
        self._core.start()

    def status(self) -> Status:
        """What this guard knows and enforces now."""
        return self._core.status()
