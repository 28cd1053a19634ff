"""The reasons a message becomes a dead letter, and what of it may be told: positions and known keys."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from pipeline.decode.base import DecodeError

EMPTY = "empty message"
TOO_LARGE = "larger than max_message_bytes"
TOO_MANY_ITEMS = "more than max_items items"
NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not a JSON object"
NOT_PROTOBUF = "not the expected protobuf message"
INVALID_UNICODE = "invalid UTF-8 or a lone surrogate"
TOO_DEEP = "nested too deep"
WRONG_TYPE = "a field has the wrong type"
MISSING_FIELD = "a required field is missing"
TOO_LONG = "an identity field is too long"
TOO_MANY_VALUES = "more values than can be decoded safely"
OUT_OF_RANGE = "a number is out of range"
UNKNOWN_VERSION = "unknown schema_version"
NO_ITEMS = "no span, log record or event in it"

REASONS = frozenset(
    {EMPTY, TOO_LARGE, TOO_MANY_ITEMS, NOT_JSON, NOT_AN_OBJECT, NOT_PROTOBUF, INVALID_UNICODE, TOO_DEEP}
    | {WRONG_TYPE, MISSING_FIELD, OUT_OF_RANGE, UNKNOWN_VERSION, NO_ITEMS, TOO_LONG, TOO_MANY_VALUES}
)

_BYTE = re.compile(r"\(byte (\d+)\)$")
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def json_fault(error: Exception, content: bytes) -> DecodeError:
    """The fault of JSON that msgspec refused, from the kind of its error and never from its text."""
    if isinstance(error, RecursionError):
        return DecodeError(TOO_DEEP)
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(INVALID_UNICODE)
    if isinstance(error, msgspec.ValidationError):
        return validation_fault(error)
    match = _BYTE.search(str(error))
    position = int(match[1]) if match else len(content)
    # msgspec reports a lone high surrogate as truncation; a lone low one as a malformed pair.
    surrogate = _LONE_SURROGATE.search(content)
    if surrogate and ("truncated" in str(error) or "surrogate" in str(error)) and _ends_whole(content):
        return DecodeError(INVALID_UNICODE, surrogate.start() if not match else position)
    return DecodeError(NOT_JSON, position)


def validation_fault(error: msgspec.ValidationError) -> DecodeError:
    """The fault of well-formed JSON of the wrong shape."""
    text = str(error)
    if "missing required field" in text:
        return DecodeError(MISSING_FIELD)
    if "out of range" in text:
        return DecodeError(OUT_OF_RANGE)
    return DecodeError(WRONG_TYPE)


def known_keys(value: object, names: Iterable[str]) -> dict[str, str]:
    """The keys of an object that are ours, with the JSON types of their values."""
    if not isinstance(value, Mapping):
        return {}
    return {name: json_type(value[name]) for name in names if name in value}  # pyright: ignore[reportUnknownArgumentType] (any JSON)


def json_type(value: object) -> str:
    """The JSON name of a decoded value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _ends_whole(content: bytes) -> bool:
    return content.rstrip()[-1:] in (b"}", b"]")
