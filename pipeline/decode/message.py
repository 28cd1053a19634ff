"""`decode_message`: the one entrance, for every format. Never raises on what a message holds."""

from pipeline.decode import dead_letter
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.base import DeadLetter, Decoded, DecodeError, Draft, RowContext
from pipeline.decode.finish import finish
from pipeline.decode.mapping import LOG_ALIASES, SPAN_ALIASES, gather
from pipeline.decode.native import native_drafts
from pipeline.decode.otlp_logs import log_draft
from pipeline.decode.otlp_message import Group, json_groups, proto_groups
from pipeline.decode.otlp_parts import (
    json_log,
    json_resource_pairs,
    json_span,
    proto_log,
    proto_resource_pairs,
    proto_span,
)
from pipeline.decode.otlp_spans import span_draft
from pipeline.decode.sources import SourceConfig

MAX_JSON_VALUES = 1_000_000
"""Values a JSON message may have, counted roughly beforehand: a value costs up to 100 bytes decoded."""
_SMALL_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def decode_message(
    value: bytes | None,
    *,
    topic_id: str,
    partition: int,
    offset: int,
    broker_time_ms: int,
    source: SourceConfig,
    patterns: ToolPatterns,
) -> list[Decoded]:
    """The items of a message in order, at least one. A pure function of its arguments.

    What cannot become an event is a `DeadLetter`: the whole message, or the one item of it.
    """
    content = value or b""
    try:
        drafts = _drafts(content, source)
        if not drafts:
            raise DecodeError(dead_letter.NO_ITEMS)
    except DecodeError as fault:
        return [_dead(fault, 0, len(content))]
    context = RowContext(topic_id, partition, offset, broker_time_ms)
    decoded: list[Decoded] = []
    for item, draft in enumerate(drafts):
        if isinstance(draft, DecodeError):
            decoded.append(_dead(draft, item, len(content)))
            continue
        try:
            event, bound = finish(draft, item, context, source, patterns)
        except DecodeError as fault:
            decoded.append(_dead(fault, item, len(content)))
        else:
            decoded.append(Decoded(item, event, bound))
    return decoded


def _dead(fault: DecodeError, item: int, length: int) -> Decoded:
    # A dead letter claims no identity, so there is nothing that could be bound.
    return Decoded(item, DeadLetter(fault.reason, length, fault.position, fault.keys), bound=False)


def _drafts(content: bytes, source: SourceConfig) -> list[Draft | DecodeError]:
    if len(content) > source.max_message_bytes:
        raise DecodeError(dead_letter.TOO_LARGE)
    content = content.removeprefix(_BOM)
    if not content or content.isspace():
        raise DecodeError(dead_letter.EMPTY)
    if source.format == "events":
        _check_json_values(content)
        return native_drafts(content, source.max_items)
    return _otlp_drafts(content, source)


def _otlp_drafts(content: bytes, source: SourceConfig) -> list[Draft | DecodeError]:
    logs = source.format == "otlp_logs"
    is_json, groups = _groups(content, source, logs)
    if sum(len(group.items) for group in groups) > source.max_items:
        raise DecodeError(dead_letter.TOO_MANY_ITEMS)
    drafts: list[Draft | DecodeError] = []
    for group in groups:
        drafts.extend(_group_drafts(group, is_json=is_json, logs=logs))
    return drafts


def _groups(content: bytes, source: SourceConfig, logs: bool) -> tuple[bool, list[Group]]:
    """(whether it is JSON, the groups). A protobuf request starts with a line feed (its first tag)."""
    looks_json = content.lstrip()[:1] == b"{"
    if source.encoding == "protobuf" or (source.encoding == "auto" and not looks_json):
        return False, proto_groups(content, source.max_items)
    _check_json_values(content)
    try:
        return True, json_groups(content, logs=logs)
    except DecodeError:
        if source.encoding == "auto" and content[:1] == b"\n":
            return False, proto_groups(content, source.max_items)
        raise


def _group_drafts(group: Group, *, is_json: bool, logs: bool) -> list[Draft | DecodeError]:
    aliases = LOG_ALIASES if logs else SPAN_ALIASES
    try:
        pairs = (json_resource_pairs if is_json else proto_resource_pairs)(group.resource)
    except DecodeError as fault:
        return [DecodeError(fault.reason) for _ in group.items]
    resource = gather(pairs, aliases)
    drafts: list[Draft | DecodeError] = []
    for position, raw in group.items:
        try:
            if logs:
                draft = log_draft((json_log if is_json else proto_log)(raw), resource)
            else:
                draft = span_draft((json_span if is_json else proto_span)(raw), resource)
        except DecodeError as fault:
            fault.position = fault.position or position
            drafts.append(fault)
        else:
            draft.position = position
            drafts.append(draft)
    return drafts


def _check_json_values(content: bytes) -> None:
    if len(content) <= _SMALL_BYTES:
        return
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_JSON_VALUES:
        raise DecodeError(dead_letter.TOO_MANY_VALUES)
