"""What a client asks the server for: leases, the stream, approvals, and goodbye."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from auditfuse_client.answers import Grant, read_flag, read_grant
from auditfuse_client.decision import Action
from auditfuse_client.errors import CallError, LostError
from auditfuse_client.lease import Clock
from auditfuse_client.link import Incoming, Link, refused

LEASES = "/v1/leases"
STREAM = "/v1/leases/stream"
FLAGS = "/ofrep/v1/evaluate/flags"


class Identity(NamedTuple):
    """Whom the server is asked about: what trips select by."""

    agent: str
    environment: str | None
    version: str | None

    def named(self) -> dict[str, str]:
        """The attributes that are given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def renew(link: Link, asked: Mapping[str, Any], clock: Clock, timeout_s: float) -> tuple[Grant, float]:
    """The grant of a lease, and the moment just before it was asked for. Raises CallError, AnswerError."""
    body, was_kept = _body(asked), link.is_kept
    sent_s = clock()
    try:
        status, answer = link.call("POST", LEASES, body, timeout_s)
    except LostError:
        if not was_kept:
            raise
        sent_s = clock()
        status, answer = link.call("POST", LEASES, body, timeout_s)  # it was closed while it was idle
    if status != 200:
        raise CallError(refused(status))
    return read_grant(answer), sent_s


def follow(link: Link, client: str, me: Identity, timeout_s: float) -> Incoming:
    """Open the stream of changes. Raises CallError."""
    return link.open_stream(f"{STREAM}?{urlencode({'client': client} | me.named())}", timeout_s)


def approves(
    link: Link, me: Identity, action: Action, tool: str | None, approval: str, timeout_s: float
) -> bool:
    """Whether the server lets this approval open the action now. Raises CallError, AnswerError."""
    key = "agent.external" if action == "external" else "agent.write"
    context = {"targetingKey": me.agent, **me.named(), "approval": approval}
    if tool is not None:
        context["tool"] = tool
    status, answer = link.call("POST", f"{FLAGS}/{key}", _body({"context": context}), timeout_s)
    if status != 200:
        raise CallError(refused(status))
    return read_flag(answer, key)


def say_goodbye(link: Link, client: str, timeout_s: float) -> None:
    """Give the lease back. Raises CallError."""
    link.call("DELETE", f"{LEASES}/{client}", None, timeout_s)


def _body(content: Mapping[str, Any]) -> bytes:
    """JSON of few bytes; half a surrogate pair, which no text should hold, becomes a question mark."""
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")
