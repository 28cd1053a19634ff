"""A JSON Schema of OTLP/JSON, from the protobuf descriptors that OpenTelemetry publishes.

OTLP/JSON is protobuf's JSON mapping with two differences: trace and span ids are hexadecimal, and
enums are numbers.
"""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

HEX_DIGITS = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}


def otlp_schema(message: Descriptor) -> dict[str, Any]:
    """The schema of one request, with every message that it is made of under $defs."""
    definitions: dict[str, Any] = {}
    _define(message, definitions)
    return {
        "title": message.name,
        "description": "An OTLP request in its JSON encoding; protobuf is the same message in binary.",
        "$ref": f"#/$defs/{message.name}",
        "$defs": definitions,
    }


def _define(message: Descriptor, definitions: dict[str, Any]) -> None:
    if message.name in definitions:
        return
    definitions[message.name] = {"type": "object"}
    properties: dict[str, Any] = {}
    for field in message.fields:
        one = _value(field, definitions)
        properties[field.json_name] = {"type": "array", "items": one} if field.is_repeated else one
    definitions[message.name]["properties"] = properties


def _value(field: FieldDescriptor, definitions: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        _define(field.message_type, definitions)
        return {"$ref": f"#/$defs/{field.message_type.name}"}
    if field.enum_type is not None:
        values = sorted({value.number for value in field.enum_type.values})
        return {"type": "integer", "enum": values}
    if field.name in HEX_DIGITS:
        return {"type": "string", "pattern": f"^([0-9A-Fa-f]{{{HEX_DIGITS[field.name]}}})?$"}
    return {
        FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
        FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
        FieldDescriptor.CPPTYPE_DOUBLE: {"type": ["number", "string"]},
        FieldDescriptor.CPPTYPE_FLOAT: {"type": ["number", "string"]},
        FieldDescriptor.CPPTYPE_INT64: {"type": ["integer", "string"]},
        FieldDescriptor.CPPTYPE_UINT64: {"type": ["integer", "string"]},
        FieldDescriptor.CPPTYPE_INT32: {"type": ["integer", "string"]},
        FieldDescriptor.CPPTYPE_UINT32: {"type": ["integer", "string"]},
    }[field.cpp_type]
