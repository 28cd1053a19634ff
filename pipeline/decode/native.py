"""Native events: one JSON object, an array of them, or one a line (NDJSON)."""

import re
from typing import Any, cast

import msgspec

from pipeline.decode import dead_letter
from pipeline.decode.base import DecodeError, Draft
from pipeline.decode.steps import NOT_TOOLS
from schemas.event import Event

SCHEMA_VERSION = 1

# A sender sets no flags and does not say what its approvals are worth: these names are ordinary
# attributes in a native event.
FIELDS: tuple[str, ...] = tuple(
    name for name in Event.__struct_fields__ if name not in ("flags", "approval_source")
)
_FIELD_SET = frozenset(FIELDS)

_decode = msgspec.json.Decoder().decode
_PATH = re.compile(r"`\$\.(\w+)")


def native_drafts(content: bytes, max_items: int) -> list[Draft | DecodeError]:
    """The events of a message in order. Raises DecodeError where nothing of it can be read."""
    try:
        value = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        drafts = _lines(content, max_items)
        if drafts is None:
            raise dead_letter.json_fault(error, content) from None
        return drafts
    if isinstance(value, list):
        items = cast(list[Any], value)
        if len(items) > max_items:
            raise DecodeError(dead_letter.TOO_MANY_ITEMS)
        return [_draft_or_fault(item, None) for item in items]
    return [_draft_or_fault(value, content)]


def _lines(content: bytes, max_items: int) -> list[Draft | DecodeError] | None:
    """The items of NDJSON, a bad line as a fault; None where no line is a JSON object by itself."""
    if content.count(b"\n") > 2 * max_items:
        raise DecodeError(dead_letter.TOO_MANY_ITEMS)
    drafts: list[Draft | DecodeError] = []
    start = 0
    objects = 0
    for line in content.split(b"\n"):
        if line.strip():
            draft, is_object = _line(line, start)
            objects += is_object
            drafts.append(draft)
        start += len(line) + 1
    if len(drafts) > max_items:
        raise DecodeError(dead_letter.TOO_MANY_ITEMS)
    return drafts if objects and len(drafts) > 1 else None


def _line(line: bytes, start: int) -> tuple[Draft | DecodeError, bool]:
    try:
        value = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fault = dead_letter.json_fault(error, line)
        return DecodeError(fault.reason, start + (fault.position or 0)), False
    draft = _draft_or_fault(value, line)
    if isinstance(draft, DecodeError):
        draft.position = start + (draft.position or 0)
    return draft, isinstance(value, dict)


def _draft_or_fault(value: Any, content: bytes | None) -> Draft | DecodeError:
    try:
        return _draft(value, content)
    except DecodeError as fault:
        return fault


def _draft(value: Any, content: bytes | None) -> Draft:
    if not isinstance(value, dict):
        raise DecodeError(dead_letter.NOT_AN_OBJECT)
    fields = cast(dict[str, Any], value)
    extra = fields.keys() - _FIELD_SET
    if extra:
        fields = _move_to_attributes(fields, extra)
    try:
        event = _convert(fields)
    except msgspec.ValidationError as error:
        fault = dead_letter.validation_fault(error)
        raise DecodeError(fault.reason, _field_position(error, content), _known(fields)) from None
    if event.schema_version != SCHEMA_VERSION:
        raise DecodeError(dead_letter.UNKNOWN_VERSION, None, _known(fields))
    if not event.agent_id:
        raise DecodeError(dead_letter.MISSING_FIELD, None, _known(fields))
    tool = None if event.operation in NOT_TOOLS else event.action
    if not event.operation and not event.action:
        tool = None
    return Draft(event, tool, event.action_kind)


def _convert(fields: dict[str, Any]) -> Event:
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError:
        # A null where the contract has no null means absent.
        return msgspec.convert({name: value for name, value in fields.items() if value is not None}, Event)


def _move_to_attributes(fields: dict[str, Any], extra: set[str]) -> dict[str, Any]:
    """Unknown keys lose nothing: they become attributes, under those that are there already."""
    attributes = fields.get("attributes")
    if attributes is not None and not isinstance(attributes, dict):
        raise DecodeError(dead_letter.WRONG_TYPE, None, _known(fields))
    known = {name: value for name, value in fields.items() if name not in extra}
    unknown = {name: fields[name] for name in sorted(extra)}
    known["attributes"] = {**unknown, **cast(dict[str, Any], attributes or {})}
    return known


def _known(fields: dict[str, Any]) -> dict[str, str]:
    return dead_letter.known_keys(fields, FIELDS)


def _field_position(error: msgspec.ValidationError, content: bytes | None) -> int | None:
    """Where the value of the faulty field starts, if its name occurs just once in the message."""
    path = _PATH.search(str(error))
    if path is None or content is None:
        return None
    found = list(re.finditer(rb'"' + re.escape(path[1].encode()) + rb'"\s*:\s*', content))
    return found[0].end() if len(found) == 1 else None
