"""Which attribute fills which field: the table of `docs/events.md`, as data.

For each field the names are in order of precedence; a span's or record's own attribute beats the
same name on the resource. What is not mapped, or lost to a better name, stays in `attributes`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pipeline.decode.base import INT64_MAX

Coerce = Callable[[Any], Any]
"""Value → value of the field's type, None where it cannot be one."""


def text(value: Any) -> str | None:
    """A non-empty string; numbers and booleans as JSON writes them."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def count(value: Any) -> int | None:
    """A whole number from 0 to 2^63−1, also as digits in a string or as an integral float."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) <= 19 else None
    elif isinstance(value, float):
        value = int(value) if 0 <= value <= 2**53 and value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= INT64_MAX else None


def http_code(value: Any) -> int | None:
    """A three-digit HTTP status."""
    code = count(value)
    return code if code is not None and 100 <= code <= 599 else None


def names(value: Any) -> list[str] | None:
    """A list of strings; a single string is split at spaces and commas."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if not isinstance(value, list):
        return None
    items = [text(item) for item in value]  # pyright: ignore[reportUnknownVariableType] (any JSON)
    return [item for item in items if item is not None] if None not in items else None


def anything(value: Any) -> Any:
    """Any JSON value but null."""
    return value


class Alias(NamedTuple):
    """Where an attribute goes. Lower ranks win."""

    field: str
    rank: int
    coerce: Coerce


_SPECIAL: dict[str, Coerce] = {
    "input": anything,
    "output": anything,
    "scopes": names,
    "input_tokens": count,
    "output_tokens": count,
    "http_status": http_code,
    "duration_ms": count,
}

_STANDARD: dict[str, tuple[str, ...]] = {
    "agent_id": ("gen_ai.agent.id", "service.name"),
    "agent_name": ("gen_ai.agent.name", "agent.name", "traceloop.workflow.name"),
    "agent_version": ("gen_ai.agent.version", "service.version"),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "channel": ("audit.deployment.channel",),
    "session_id": (
        "gen_ai.conversation.id",
        "session.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "mcp.session.id",
    ),
    "end_user": (
        "user.id",
        "user.hash",
        "enduser.pseudo.id",
        "enduser.id",
        "langfuse.user.id",
        "traceloop.association.properties.user_id",
    ),
    "principal": ("audit.principal.id",),
    "scopes": ("audit.auth.scopes", "enduser.scope"),
    "credential_id": ("audit.credential.id",),
    "credential_expires": ("audit.credential.expires",),
    "config_version": ("audit.config.version",),
    "request_id": ("audit.request.id",),
    "approval_id": ("audit.approval.id",),
    "approval_status": ("audit.approval.status",),
    "claimed_kind": ("audit.action.kind",),
    "operation": ("gen_ai.operation.name",),
    "step": ("openinference.span.kind", "traceloop.span.kind", "mcp.method.name"),
    "tool": ("gen_ai.tool.name", "mcp.tool.name", "tool.name", "tool_call.function.name"),
    "entity": ("traceloop.entity.name",),
    "tool_call_id": ("gen_ai.tool.call.id", "tool_call.id", "tool.id"),
    "target": ("audit.target", "server.address", "url.full", "mcp.resource.uri", "http.url", "net.peer.name"),
    "model": ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name"),
    "input": (
        "gen_ai.tool.call.arguments",
        "gen_ai.input.messages",
        "tool.parameters",
        "input.value",
        "traceloop.entity.input",
        "gen_ai.prompt",
    ),
    "output": (
        "gen_ai.tool.call.result",
        "gen_ai.output.messages",
        "output.value",
        "traceloop.entity.output",
        "gen_ai.completion",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "error_type": ("error.type", "exception.type"),
    "status_message": ("error.message", "exception.message"),
    "http_status": ("http.response.status_code", "http.status_code"),
}

_CODING_AGENTS: dict[str, tuple[str, ...]] = {
    # Bare names of Claude Code's and Codex's log records: mapped only in records of theirs.
    "session_id": ("conversation.id",),
    "agent_version": ("app.version",),
    "environment": ("env",),
    "model": ("model", "slug"),
    "tool": ("tool_name",),
    "tool_call_id": ("call_id", "tool_use_id"),
    "request_id": ("request_id",),
    "input": ("arguments", "tool_input", "tool_parameters", "prompt"),
    "output": ("output", "tool_output"),
    "input_tokens": ("input_tokens", "input_token_count"),
    "output_tokens": ("output_tokens", "output_token_count"),
    "http_status": ("status_code",),
    "status_message": ("error",),
    "duration_ms": ("duration_ms",),
    "success": ("success",),
    "decision": ("decision",),
}

_LOG_RECORDS: dict[str, tuple[str, ...]] = {"event_name": ("event.name",)}


def _table(*parts: dict[str, tuple[str, ...]]) -> dict[str, Alias]:
    ordered: dict[str, list[str]] = {}
    for part in parts:
        for field, attributes in part.items():
            ordered.setdefault(field, []).extend(attributes)
    return {
        name: Alias(field, rank, _SPECIAL.get(field, text))
        for field, attributes in ordered.items()
        for rank, name in enumerate(attributes)
    }


SPAN_ALIASES = _table(_STANDARD)
LOG_ALIASES = _table(_STANDARD, _LOG_RECORDS)
CODING_AGENT_ALIASES = _table(_STANDARD, _LOG_RECORDS, _CODING_AGENTS)


class Gathered(NamedTuple):
    """Attributes sorted into fields (`found`: field → rank, attribute, value) and the rest."""

    found: dict[str, tuple[int, str, Any]]
    rest: dict[str, Any]

    def get(self, field: str) -> Any:
        """The value of a field, None where nothing filled it."""
        held = self.found.get(field)
        return None if held is None else held[2]


Pairs = Iterable[tuple[str, Any]]


def gather(pairs: Pairs, aliases: dict[str, Alias], resource: Gathered | None = None) -> Gathered:
    """Sort attributes into fields; their order makes no difference. `resource` is what lies below them."""
    found = {} if resource is None else dict(resource.found)
    rest = {} if resource is None else dict(resource.rest)
    for name, value in pairs:
        alias = aliases.get(name)
        if alias is None:
            rest[name] = value
            continue
        field, rank, coerce = alias
        usable = coerce(value)
        if usable is None:
            rest[name] = value
            continue
        held = found.get(field)
        if held is None or rank <= held[0]:  # equal: the resource's own, which this one overrides
            found[field] = (rank, name, usable)
            # The same name on the resource is overridden; another name is kept as an attribute.
            if held is not None and held[1] != name:
                rest[held[1]] = held[2]
        else:
            rest[name] = value
    return Gathered(found, rest)
