"""OTLP's AnyValue, ids and times as plain values, from JSON and from protobuf."""

import base64
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipeline.decode import dead_letter
from pipeline.decode.base import MAX_DEPTH, DecodeError

MAX_VALUES = 20_000
"""Attributes and nested values that one span or record may have (SDKs stop at 128 attributes)."""

_HEX = re.compile(r"[0-9a-fA-F]*")


class AnyValue(msgspec.Struct, rename="camel", gc=False):
    """A value in OTLP/JSON: exactly one member is set, none for an empty value."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None
    bytes_value: str | None = None


class ArrayValue(msgspec.Struct, gc=False):
    """A list."""

    values: list[AnyValue] | None = None


class KeyValue(msgspec.Struct, gc=False):
    """A key and its value."""

    key: str = ""
    value: AnyValue | None = None


class KeyValueList(msgspec.Struct, gc=False):
    """A map."""

    values: list[KeyValue] | None = None


class Budget:
    """Counts the parts of a message, so that a small one cannot become a huge one."""

    __slots__ = ("left", "reason")

    def __init__(self, left: int = MAX_VALUES, reason: str = dead_letter.TOO_MANY_VALUES) -> None:
        self.left = left
        self.reason = reason

    def spend(self, values: int) -> None:
        """Raise DecodeError where more parts were met than are decoded."""
        self.left -= values
        if self.left < 0:
            raise DecodeError(self.reason)


def json_pairs(attributes: Sequence[KeyValue] | None, budget: Budget) -> Iterator[tuple[str, Any]]:
    """(key, value) of attributes in OTLP/JSON."""
    if not attributes:
        return
    budget.spend(len(attributes))
    for pair in attributes:
        value = pair.value
        if value is None:
            yield pair.key, None
        elif value.string_value is not None:
            yield pair.key, value.string_value
        else:
            yield pair.key, json_value(value, MAX_DEPTH, budget)


def json_value(value: AnyValue | None, depth: int, budget: Budget) -> Any:
    """A value of OTLP/JSON as plain JSON; bytes stay base64, NaN and infinities become their names."""
    if value is None:
        return None
    if value.array_value is not None or value.kvlist_value is not None:
        return _json_container(value, depth, budget)
    if value.int_value is not None:
        return _integer(value.int_value)
    if isinstance(value.double_value, float):
        return finite(value.double_value)
    for scalar in (value.string_value, value.bool_value, value.double_value):
        if scalar is not None:
            return scalar
    return value.bytes_value


def _json_container(value: AnyValue, depth: int, budget: Budget) -> Any:
    if depth == 0:
        raise DecodeError(dead_letter.TOO_DEEP)
    if value.array_value is not None:
        items = value.array_value.values or []
        budget.spend(len(items))
        return [json_value(item, depth - 1, budget) for item in items]
    pairs = value.kvlist_value.values if value.kvlist_value is not None else None
    budget.spend(len(pairs or ()))
    return {pair.key: json_value(pair.value, depth - 1, budget) for pair in pairs or ()}


def _integer(value: int | str) -> int | str:
    """int64 travels as a string in OTLP/JSON; what is no int64 stays the text that it is."""
    if isinstance(value, int) or len(value) > 20:
        return value
    digits = value[1:] if value.startswith("-") else value
    return int(value) if digits.isascii() and digits.isdigit() else value


def proto_pairs(attributes: Any, budget: Budget) -> Iterator[tuple[str, Any]]:
    """(key, value) of a repeated protobuf KeyValue."""
    budget.spend(len(attributes))
    for pair in attributes:
        value = pair.value
        which = value.WhichOneof("value")
        if which == "string_value":
            yield pair.key, value.string_value
        else:
            yield pair.key, proto_value(value, MAX_DEPTH, budget, which)


def proto_value(value: Any, depth: int, budget: Budget, which: str | None = None) -> Any:
    """A protobuf AnyValue as plain JSON, equal to what its OTLP/JSON form gives."""
    which = which or value.WhichOneof("value")
    if which in ("string_value", "bool_value", "int_value"):
        return getattr(value, which)
    if which == "double_value":
        return finite(value.double_value)
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    if which not in ("array_value", "kvlist_value"):
        return None
    if depth == 0:
        raise DecodeError(dead_letter.TOO_DEEP)
    if which == "array_value":
        budget.spend(len(value.array_value.values))
        return [proto_value(item, depth - 1, budget) for item in value.array_value.values]
    budget.spend(len(value.kvlist_value.values))
    return {pair.key: proto_value(pair.value, depth - 1, budget) for pair in value.kvlist_value.values}


def finite(value: float) -> float | str:
    """The number, or its name where JSON has no form for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_id(value: str | None) -> str | None:
    """A trace or span id as lower-case hex; empty and all-zero ids are absent, other texts stay."""
    if not value or not value.strip("0"):
        return None
    return value.lower() if _HEX.fullmatch(value) else value


def proto_id(value: bytes) -> str | None:
    """A trace or span id as lower-case hex; empty and all-zero ids are absent."""
    return value.hex() if any(value) else None


def nanoseconds(value: int | str | None) -> int:
    """A time in OTLP/JSON: a number or a string of digits; absent is 0."""
    if value is None or value == "":
        return 0
    if isinstance(value, int):
        return value
    digits = value[1:] if value.startswith("-") else value
    if not (digits.isascii() and digits.isdigit()):
        raise DecodeError(dead_letter.WRONG_TYPE)
    if len(digits) > 20:
        raise DecodeError(dead_letter.OUT_OF_RANGE)
    return int(value)
