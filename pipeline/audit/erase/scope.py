"""What to erase or hold, as a person writes it: `--where KEY=VALUE`, all of them together."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.errors import ConfigError
from pipeline.redact.pseudonym import TOKEN
from schemas.erasure import Erased, Scope

_NAMES = {
    "topic": "topic",
    "environment": "environment",
    "agent": "agent",
    "trace": "trace_id",
    "session": "session_id",
    "end-user": "end_user",
    "from": "from_ms",
    "to": "to_ms",
}
_EPOCH_MS = re.compile(r"\d{12,14}")


class Predicate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an erasure looks for. Its JSON is hashed, never stored: it may name a person. Without defaults, so
    that a later version with more parts gives the same hash."""

    scope: Scope = Scope()
    values: list[str] = []
    """Raw values, as the person gave them. Rows must hold one of them, and match the scope."""
    what: Erased = "row"


def parse_scope(wheres: Sequence[str]) -> Scope:
    """The scope of `KEY=VALUE` texts. Raises ConfigError."""
    fields: dict[str, Any] = {}
    for where in wheres:
        key, equals, value = where.partition("=")
        if not equals or key not in _NAMES or not value:
            raise ConfigError(f"--where takes KEY=VALUE with KEY one of: {', '.join(_NAMES)}")
        if _NAMES[key] in fields:
            raise ConfigError(f"--where {key}= is given twice; rows match all parts together")
        fields[_NAMES[key]] = _time_ms(key, value) if key in ("from", "to") else value
    end_user = fields.get("end_user")
    if end_user is not None and not TOKEN.fullmatch(end_user):
        raise ConfigError(
            "--where end-user= takes a pseudonym such as <EMAIL_ADDRESS:k1.0123456789abcdef>; "
            "for a raw value use --value-file, so that it stands in no shell history"
        )
    return Scope(**fields)


def _time_ms(key: str, value: str) -> int:
    """ISO 8601 (UTC where it names no zone), or milliseconds since 1970."""
    if _EPOCH_MS.fullmatch(value):
        return int(value)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"--where {key}= takes a time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def scope_text(scope: Scope) -> str:
    """The scope as a person writes it; never with values or pseudonyms but the end user's."""
    texts: list[str] = []
    for key, name in _NAMES.items():
        value = getattr(scope, name)
        if value is not None:
            shown = (
                f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
                if name.endswith("_ms")
                else value
            )
            texts.append(f"{key}={shown}")
    if scope.stored_from_ms is not None:
        texts.append(
            f"stored from {datetime.fromtimestamp(scope.stored_from_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC on"
        )
    if scope.stored_before_ms is not None:
        texts.append(
            f"stored before {datetime.fromtimestamp(scope.stored_before_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        )
    if scope.pseudonyms:
        texts.append(f"any of {len(scope.pseudonyms)} pseudonyms")
    return " ".join(texts) or "everything"
