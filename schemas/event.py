"""The event: one flat, typed step of an agent, as decoded and not yet redacted.

The names follow the table in `docs/events.md`; each decoder maps its source onto this one type.
Events live on the hot path, so they are msgspec structs: decoded and validated in about a microsecond.
"""

from typing import Any, Literal

import msgspec

ActionKind = Literal["none", "read", "write", "external", "unknown"]
Channel = Literal["stable", "canary"]
Status = Literal["ok", "error", "unset"]
ApprovalSource = Literal["gateway", "agent"]
Outcome = Literal["ok", "error", "denied", "throttled", "timeout"]

Flag = Literal[
    "action_kind_inferred",  # from the verb in the tool's name, not from configuration or the sender
    "span_id_derived",  # the sender gave none: first 8 bytes of SHA-256 of the row identity
    "identity_not_bound",  # the source may not speak for this agent or environment
    "approval_not_bound",  # the source's approvals do not count
    "time_in_future",  # starts more than the allowed skew after the broker's append time
    "time_negative",  # starts before 1970 or lasts a negative time; clamped to zero
    "fields_defaulted",  # a required field was absent and took its stated default
    "redaction_failed",  # the payload could not be redacted in its budget and was replaced
]


class Event(msgspec.Struct, kw_only=True, omit_defaults=False):
    """One step of an agent: a model call, a tool call, an agent invocation or a log of one.

    Times are nanoseconds since 1970 (UTC); tokens are counts. `input`, `output` and `attributes`
    are the payload: any JSON value. Everything else is metadata and must be of the stated type.
    """

    start_time_unix_nano: int
    agent_id: str
    schema_version: int = 1
    duration_ns: int = 0
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    agent_version: str | None = None
    config_version: str | None = None
    environment: str | None = None
    channel: str | None = None
    principal: str | None = None
    credential_id: str | None = None
    credential_expires: str | None = None
    scopes: list[str] = []
    end_user: str | None = None
    operation: str | None = None
    action: str | None = None
    action_kind: ActionKind | None = None
    target: str | None = None
    tool_call_id: str | None = None
    model: str | None = None
    approval_id: str | None = None
    approval_status: str | None = None
    approval_source: ApprovalSource | None = None
    status: Status = "unset"
    status_message: str | None = None
    error_type: str | None = None
    http_status: int | None = None
    input: Any = None
    output: Any = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    attributes: dict[str, Any] = {}
    flags: list[Flag] = []

    @property
    def end_time_unix_nano(self) -> int:
        """The span's end, which is the event's time for detectors."""
        return self.start_time_unix_nano + self.duration_ns
