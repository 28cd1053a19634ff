"""Messages that cannot become events, or that are hard to take: each kind, made with a text of its own."""

import gzip
import json
from collections.abc import Callable


def _event(**changes: object) -> bytes:
    fields = {
        "start_time_unix_nano": 1_790_000_000_000_000_000,
        "duration_ns": 1_000,
        "agent_id": "agent-poison",
        "environment": "prod",
        "operation": "execute_tool",
        "action": "fetch_invoice",
        "status": "ok",
    }
    return json.dumps({k: v for k, v in (fields | changes).items() if v is not ...}).encode()


POISON: tuple[Callable[[str], bytes | None], ...] = (
    lambda text: None,
    lambda text: b"",
    lambda text: f"{text} is no JSON".encode(),
    lambda text: _event(input=text)[:-3],
    lambda text: gzip.compress(_event(input=text)),
    lambda text: json.dumps([text]).encode(),
    lambda text: _event(agent_id=..., input=text),
    lambda text: _event(agent_id=17, input=text),
    lambda text: _event(status=text),
    lambda text: _event(input="HERE").replace(b'"HERE"', b"[" * 5_000 + b"]" * 5_000),
    lambda text: _event(input="HERE").replace(b'"HERE"', b'"\xff\xfe"'),
    lambda text: _event(input_tokens=10**30),
    lambda text: _event(start_time_unix_nano=9_000_000_000_000_000_000, input=text),
    lambda text: _event(input=text * 5_000),
    lambda text: b"[" + b",".join([_event(input=text)] * 3) + b"]",
    lambda text: b"\n".join([_event(input=text), b"{", _event(input=text)]),
)
