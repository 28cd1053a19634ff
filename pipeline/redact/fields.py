"""The field table: how each field of an event, and each key of a payload, is redacted.

Nothing else says so. Adding a field to `schemas.event.Event` without a line here fails a test.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

from pipeline.redact.types.keys import KEY_RULES, KeyRule

FieldClass = Literal["untouched", "trace_id", "span_id", "id", "end_user", "label", "text", "payload"]
"""untouched: numbers and closed sets of values. trace_id, span_id, id: pass by shape, else a pseudonym.
end_user: always a pseudonym. label: machine names; every pattern, but NER only where there is white space.
text: everything. payload: walked leaf by leaf."""

EVENT_FIELDS: dict[str, FieldClass] = {
    "start_time_unix_nano": "untouched",
    "agent_id": "label",
    "schema_version": "untouched",
    "duration_ns": "untouched",
    "trace_id": "trace_id",
    "span_id": "span_id",
    "parent_span_id": "span_id",
    "session_id": "id",
    "request_id": "id",
    "agent_version": "label",
    "config_version": "label",
    "environment": "label",
    "channel": "label",
    "principal": "label",
    "credential_id": "id",
    "credential_expires": "label",
    "scopes": "label",
    "end_user": "end_user",
    "operation": "label",
    "action": "label",
    "action_kind": "untouched",
    "target": "label",
    "tool_call_id": "id",
    "model": "label",
    "approval_id": "id",
    "approval_status": "label",
    "approval_source": "untouched",
    "status": "untouched",
    "status_message": "text",
    "error_type": "label",
    "http_status": "untouched",
    "input": "payload",
    "output": "payload",
    "input_tokens": "untouched",
    "output_tokens": "untouched",
    "attributes": "payload",
    "flags": "untouched",
}

_TIME_KEY = re.compile(
    r"(?:^|_)(?:time|timestamp|at|ts|date|unix|epoch|nano|nanos|ms|ns|created|updated|expir\w+)(?:$|_)"
)
_CAMEL = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=8192)
def key_rule(key: str, parent: str = "") -> KeyRule | None:
    """The rule for the value of a payload key, whatever its case style. `parent` is the key above it: a
    `name` is a person's below `customer`, not below `product`."""
    name = _snake(key)
    for rule in KEY_RULES:
        if rule.key.search(name) and (rule.parent is None or (parent and rule.parent.search(_snake(parent)))):
            return rule
    return None


@lru_cache(maxsize=4096)
def is_parent_key(key: str) -> bool:
    """Whether a rule for the keys below asks for a key like this."""
    name = _snake(key)
    return any(rule.parent is not None and rule.parent.search(name) for rule in KEY_RULES)


@lru_cache(maxsize=4096)
def is_time_key(key: str) -> bool:
    """Whether numbers under this key are times."""
    return bool(_TIME_KEY.search(_snake(key)))


def _snake(key: str) -> str:
    """Words in lower case with `_` between them, without accents: `dateNaissance`, `Straße`, `X-Api-Key`."""
    words = _CAMEL.sub("_", key[-80:])
    plain = "".join(
        c for c in unicodedata.normalize("NFKD", words.casefold()) if not unicodedata.combining(c)
    )
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
