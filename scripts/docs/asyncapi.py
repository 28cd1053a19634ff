"""docs/asyncapi.yaml: the topics that auditfuse reads and writes, as AsyncAPI 3."""

from importlib.metadata import version
from typing import Any, get_args

import yaml
from contracts import DEAD_LETTER, NATIVE_EVENT, OTLP_LOGS, OTLP_TRACES

from pipeline.decode.sources import Format, SourceConfig

PRODUCT = """Agents write to these topics, auditfuse reads them. Topic names are the operator's choice
(`[[sources]]`); those here are what the examples use. auditfuse itself writes to the topics that its receiver
fills with what it accepts, and, where they are configured, to the dead-letter topic and the redacted stream
(`[redacted]`). `_control` and
`_findings` are partitions of the store (docs/store-format.md), not topics. Give the input topics
message.timestamp.type=LogAppendTime and max.message.bytes of at least max_message_bytes."""

ADDRESSES: dict[Format, str] = {
    "events": "agent_events",
    "otlp_spans": "otlp_spans",
    "otlp_logs": "otlp_logs",
}
SUMMARIES: dict[Format, str] = {
    "events": "Native events: a JSON object, an array of them, or NDJSON.",
    "otlp_spans": "OTLP ExportTraceServiceRequest, protobuf or JSON (the collector's Kafka exporter).",
    "otlp_logs": "OTLP ExportLogsServiceRequest, protobuf or JSON.",
}
SCHEMAS: dict[Format, str] = {
    "events": NATIVE_EVENT,
    "otlp_spans": OTLP_TRACES,
    "otlp_logs": OTLP_LOGS,
}

_DEAD_LETTER_CHANNEL: dict[str, Any] = {
    "address": "auditfuse.dead-letters",
    "summary": "Messages that could not become events: sealed rows without any text of the message.",
    "servers": [{"$ref": "#/servers/kafka"}],
    "messages": {"dead_letters": {"$ref": "#/components/messages/dead_letters"}},
}
_DEAD_LETTER_OPERATION: dict[str, Any] = {
    "action": "send",
    "channel": {"$ref": "#/channels/dead_letters"},
    "summary": "auditfuse publishes them at least once, after they are sealed; equal keys are the same one.",
    "messages": [{"$ref": "#/channels/dead_letters/messages/dead_letters"}],
}
_DEAD_LETTER_MESSAGE: dict[str, Any] = {
    "name": "dead_letters",
    "summary": "The row's meta, byte for byte.",
    "contentType": "application/json",
    "payload": {"$ref": f"./schemas/{DEAD_LETTER}.json"},
    "bindings": {
        "kafka": {
            "key": {
                "type": "string",
                "description": "The row's identity: <topic id>/<partition>/<offset>/<item>.",
            }
        }
    },
}
_ROW_KEY: dict[str, Any] = {
    "kafka": {
        "key": {
            "type": "string",
            "description": "The row: <topic id>/<partition>/<offset>/<item>; of OTLP the first span's.",
        }
    }
}
_REDACTED: dict[str, Any] = {
    "address": "auditfuse.redacted",
    "summary": "Every sealed event, redacted: for tools that must not read the raw topic.",
    "servers": [{"$ref": "#/servers/kafka"}],
    "messages": {
        "redacted_native": {"$ref": "#/components/messages/redacted_native"},
        "redacted_otlp": {"$ref": "#/components/messages/redacted_otlp"},
    },
}
_REDACTED_OPERATION: dict[str, Any] = {
    "action": "send",
    "channel": {"$ref": "#/channels/redacted"},
    "summary": "auditfuse publishes them at least once, once they are sealed; equal rows are one event.",
    "messages": [
        {"$ref": "#/channels/redacted/messages/redacted_native"},
        {"$ref": "#/channels/redacted/messages/redacted_otlp"},
    ],
}
_REDACTED_MESSAGES: dict[str, dict[str, Any]] = {
    "redacted_native": {
        "name": "redacted_native",
        "summary": "format = native: one event.",
        "contentType": "application/json",
        "payload": {"$ref": f"./schemas/{NATIVE_EVENT}.json"},
        "bindings": _ROW_KEY,
    },
    "redacted_otlp": {
        "name": "redacted_otlp",
        "summary": "format = otlp: ExportTraceServiceRequest; a span's row is its attribute auditfuse.row.",
        "contentType": "application/x-protobuf",
        "payload": {"$ref": f"./schemas/{OTLP_TRACES}.json"},
        "bindings": _ROW_KEY,
    },
}


def asyncapi_document() -> str:
    """The document as YAML."""
    formats: tuple[Format, ...] = get_args(Format)
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "auditfuse topics",
            "version": version("auditfuse"),
            "description": " ".join(PRODUCT.split()),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "[kafka] bootstrap_servers; TLS and SASL by [kafka] security_protocol.",
            }
        },
        "channels": {name: _channel(name) for name in formats}
        | {"dead_letters": _DEAD_LETTER_CHANNEL, "redacted": _REDACTED},
        "operations": {name: _operation(name) for name in formats}
        | {"dead_letters": _DEAD_LETTER_OPERATION, "redacted": _REDACTED_OPERATION},
        "components": {
            "messages": {name: _message(name) for name in formats}
            | {"dead_letters": _DEAD_LETTER_MESSAGE}
            | _REDACTED_MESSAGES
        },
    }
    note = "# Generated by `make docs` from the models; do not edit.\n"
    return note + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


class _Plain(yaml.SafeDumper):
    """Equal parts are written out, not as anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the library's signature)
        return True


def _channel(name: Format) -> dict[str, Any]:
    return {
        "address": ADDRESSES[name],
        "summary": SUMMARIES[name],
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(name: Format) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": f"auditfuse reads it where a source says format = {name!r}.",
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(name: Format) -> dict[str, Any]:
    limits = SourceConfig.model_fields
    one = {"$ref": f"./schemas/{SCHEMAS[name]}.json"}
    return {
        "name": name,
        "summary": SUMMARIES[name],
        "description": (
            f"At most {limits['max_message_bytes'].default:,} bytes (max_message_bytes of the source) and "
            f"{limits['max_items'].default:,} events (max_items); larger messages become dead letters."
        ),
        "contentType": "application/json" if name == "events" else "application/x-protobuf",
        "payload": {"oneOf": [one, {"type": "array", "items": one}]} if name == "events" else one,
    }
