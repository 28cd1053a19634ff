"""docs/schemas/*.json: a JSON Schema (2020-12) of every contract in `schemas/`, and of what senders send."""

import importlib
import json
import pkgutil
from typing import Any

import msgspec
import polars as pl
from field_docs import field_docs
from otlp_schema import otlp_schema

import schemas
from pipeline.decode.finish import MAX_IDENTITY_CHARACTERS
from pipeline.decode.native import FIELDS, SCHEMA_VERSION
from schemas.event import Event
from schemas.record import Row
from schemas.signal import SIGNAL_SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IN_MEMORY_ONLY = (Row,)
DEAD_LETTER = "dead_letter_meta"
NATIVE_EVENT = "native_event"
OTLP_TRACES = "otlp_trace_request"
OTLP_LOGS = "otlp_logs_request"

JsonSchema = dict[str, Any]


def contract_schemas() -> dict[str, str]:
    """File name without its ending → the file's text."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    documents = {_file_name(struct): struct_schema(struct) for struct in contracts()}
    documents["signal"] = signal_schema()
    documents[NATIVE_EVENT] = native_event_schema()
    documents[OTLP_TRACES] = otlp_schema(ExportTraceServiceRequest.DESCRIPTOR)
    documents[OTLP_LOGS] = otlp_schema(ExportLogsServiceRequest.DESCRIPTOR)
    return {
        name: json.dumps({"$schema": DIALECT, **document}, indent=2, ensure_ascii=False) + "\n"
        for name, document in sorted(documents.items())
    }


def contracts() -> list[type[msgspec.Struct]]:
    """Every struct of `schemas/` that is written somewhere and is not only a part of another one."""
    found: list[type[msgspec.Struct]] = []
    for info in pkgutil.iter_modules(schemas.__path__):
        module = importlib.import_module(f"schemas.{info.name}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value not in IN_MEMORY_ONLY
            if value.__module__ == module.__name__
        ]
    parts = {part for struct in found for part in _definitions(struct) if part != struct.__name__}
    written_by_themselves = {"Finding"}
    return [struct for struct in found if struct.__name__ not in parts - written_by_themselves]


def struct_schema(struct: type[msgspec.Struct]) -> JsonSchema:
    """msgspec's schema, with the documentation of the fields."""
    document = msgspec.json.schema(struct, schema_hook=_anything)
    for name, definition in document["$defs"].items():
        owner = _struct_named(name)
        definition["description"] = " ".join(definition.get("description", "").split())
        for field, text in field_docs(owner).items():
            if field in definition["properties"]:
                definition["properties"][field]["description"] = text
    return {"title": struct.__name__, **document}


def native_event_schema() -> JsonSchema:
    """What a sender may send: the event without what no sender decides, null meaning absent."""
    definition = struct_schema(Event)["$defs"]["Event"]
    properties = {name: definition["properties"][name] for name in FIELDS}
    for name in ("agent_id", "environment"):
        properties[name] = {**properties[name], "maxLength": MAX_IDENTITY_CHARACTERS}
    properties["agent_id"] |= {"minLength": 1}
    properties["schema_version"] = {"const": SCHEMA_VERSION}
    for name in FIELDS:
        if name not in definition["required"] and {"type": "null"} not in properties[name].get("anyOf", []):
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return {
        "title": "NativeEvent",
        "description": "One step of an agent as sent. A key that is not listed becomes an attribute.",
        "type": "object",
        "properties": properties,
        "required": definition["required"],
    }


def signal_schema() -> JsonSchema:
    """The columns that detectors see, as JSON would hold them."""
    columns = {name: _column(dtype) for name, dtype in SIGNAL_SCHEMA.items()}
    return {
        "title": "Signal",
        "description": "An event without input, output and attributes: one row of what detectors see.",
        "type": "object",
        "properties": columns,
        "required": list(columns),
        "additionalProperties": False,
    }


def _column(dtype: pl.DataType) -> JsonSchema:
    if isinstance(dtype, pl.List):
        return {"type": ["array", "null"], "items": _column(dtype.inner)}  # pyright: ignore[reportArgumentType] (an instance here)
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _column(field.dtype) for field in dtype.fields}  # pyright: ignore[reportArgumentType]
        return {"type": "object", "properties": fields, "required": list(fields)}
    name = "boolean" if isinstance(dtype, pl.Boolean) else "integer" if dtype.is_integer() else "string"
    return {"type": [name, "null"]}


def _definitions(struct: type[msgspec.Struct]) -> dict[str, JsonSchema]:
    return msgspec.json.schema(struct, schema_hook=_anything)["$defs"]


def _anything(annotation: type) -> JsonSchema:
    """`object` stands for any JSON value."""
    if annotation is not object:
        raise TypeError(f"no JSON Schema for {annotation}")
    return {"$comment": "any JSON value"}


def _struct_named(name: str) -> type[msgspec.Struct]:
    for info in pkgutil.iter_modules(schemas.__path__):
        struct = getattr(importlib.import_module(f"schemas.{info.name}"), name, None)
        if struct is not None:
            return struct
    raise LookupError(f"no struct {name} in schemas/")


def _file_name(struct: type) -> str:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in struct.__name__)
    return words.lstrip("_")
