"""JSON values as OTLP's AnyValue."""

from typing import Any

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

INT64 = range(-(2**63), 2**63)


def add_attribute(attributes: Any, name: str, value: Any) -> None:
    """Add a JSON value to a repeated KeyValue; a whole number beyond int64 becomes its digits."""
    pair = attributes.add()
    pair.key = name
    _fill(pair.value, value)


def add_json_attribute(attributes: Any, name: str, value: Any) -> None:
    """A text as it is, anything else as its JSON text: what trace viewers show as a message."""
    add_attribute(attributes, name, value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _fill(held: AnyValue, value: Any) -> None:
    if isinstance(value, str):
        held.string_value = value
    elif isinstance(value, bool):
        held.bool_value = value
    elif isinstance(value, int):
        if value in INT64:
            held.int_value = value
        else:
            held.string_value = str(value)
    elif isinstance(value, float):
        held.double_value = value
    elif isinstance(value, list):
        held.array_value.SetInParent()
        for item in value:  # pyright: ignore[reportUnknownVariableType] (any JSON)
            _fill(held.array_value.values.add(), item)
    elif isinstance(value, dict):
        held.kvlist_value.SetInParent()
        for name, item in value.items():  # pyright: ignore[reportUnknownVariableType] (any JSON)
            add_attribute(held.kvlist_value.values, name, item)  # pyright: ignore[reportUnknownArgumentType]
