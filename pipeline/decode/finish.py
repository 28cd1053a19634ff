"""The last step for every format: binding, defaults, flags and ranges. Draft in, event out."""

import re
from datetime import UTC, datetime
from typing import Any, cast

from pipeline.decode import dead_letter
from pipeline.decode.action_kind import ToolPatterns, derive_action_kind
from pipeline.decode.base import INT64_MAX, MAX_DEPTH, DecodeError, Draft, RowContext
from pipeline.decode.sources import SourceConfig
from schemas.event import Event, Flag

UNKNOWN = "unknown"
"""The agent or environment of an event that names none."""
DEFAULT_CHANNEL = "stable"
MAX_IDENTITY_CHARACTERS = 512
_EPOCH = re.compile(r"(\d{10})(?:\d{3})?")
"""Seconds or milliseconds since 1970, of the years 2001 to 2286."""


def finish(
    draft: Draft, item: int, context: RowContext, source: SourceConfig, patterns: ToolPatterns
) -> tuple[Event, bool]:
    """The event and whether it is bound. Raises DecodeError where it cannot be one."""
    event = draft.event
    flags: set[Flag] = set()
    _fill_identity(event, source, flags)
    _fill_times(event, draft.time_known, context, source, flags)
    _check_ranges(event, draft.position)
    event.credential_expires = _as_moment(event.credential_expires)
    kind = derive_action_kind(draft.claimed_kind, draft.tool, patterns)
    event.action_kind = kind.kind
    if kind.inferred:
        flags.add("action_kind_inferred")
    if not event.span_id:
        event.span_id = context.derived_span_id(item)
        flags.add("span_id_derived")
    bound = source.binding.covers(event.agent_id, event.environment or UNKNOWN)
    if not bound:
        flags.add("identity_not_bound")
    _bind_approval(event, bound and source.approvals == "trusted", flags)
    for part in (event.input, event.output, event.attributes):
        if part.__class__ is not str and part:
            check_depth(part, MAX_DEPTH)
    event.flags = sorted(flags)
    return event, bound


def _fill_identity(event: Event, source: SourceConfig, flags: set[Flag]) -> None:
    if not event.agent_id:
        event.agent_id = UNKNOWN
        flags.add("fields_defaulted")
    if not event.environment:
        event.environment = source.default_environment
    if not event.environment:
        event.environment = UNKNOWN
        flags.add("fields_defaulted")
    event.channel = event.channel or DEFAULT_CHANNEL
    if max(len(event.agent_id), len(event.environment)) > MAX_IDENTITY_CHARACTERS:
        raise DecodeError(dead_letter.TOO_LONG)


def _fill_times(
    event: Event, time_known: bool, context: RowContext, source: SourceConfig, flags: set[Flag]
) -> None:
    if not time_known:
        event.start_time_unix_nano = max(0, context.broker_time_ms * 1_000_000 - max(0, event.duration_ns))
        flags.add("fields_defaulted")
    if event.start_time_unix_nano < 0:
        event.start_time_unix_nano = 0
        flags.add("time_negative")
    if event.duration_ns < 0:
        event.duration_ns = 0
        flags.add("time_negative")
    # The claimed time is kept: detectors cap it at the broker's append time.
    if event.start_time_unix_nano > context.broker_time_ms * 1_000_000 + int(source.max_future_skew_s * 1e9):
        flags.add("time_in_future")


def _as_moment(text: str | None) -> str | None:
    """A number as a moment (ISO 8601, UTC): ten digits in a row would be redacted as a phone number."""
    match = _EPOCH.fullmatch(text or "")
    if match is None:
        return text
    return datetime.fromtimestamp(int(match[1]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_ranges(event: Event, position: int | None) -> None:
    fits = (
        event.end_time_unix_nano <= INT64_MAX
        and 0 <= (event.input_tokens or 0) <= INT64_MAX
        and 0 <= (event.output_tokens or 0) <= INT64_MAX
        and 0 <= (event.http_status or 0) <= 999
    )
    if not fits:
        raise DecodeError(dead_letter.OUT_OF_RANGE, position)


def _bind_approval(event: Event, trusted: bool, flags: set[Flag]) -> None:
    # Never the sender's word: an agent that asserts its own approval proves nothing.
    event.approval_source = None
    if event.approval_id is None and event.approval_status is None:
        return
    event.approval_source = "gateway" if trusted else "agent"
    if not trusted:
        flags.add("approval_not_bound")


def check_depth(value: Any, remaining: int) -> None:
    """Raise DecodeError where containers nest deeper than `remaining`."""
    if isinstance(value, dict):
        children = cast(list[Any], list(value.values()))  # pyright: ignore[reportUnknownArgumentType] (any JSON)
    elif isinstance(value, list):
        children = cast(list[Any], value)
    else:
        return
    if remaining == 0:
        raise DecodeError(dead_letter.TOO_DEEP)
    for child in children:
        if isinstance(child, dict | list):
            check_depth(child, remaining - 1)
