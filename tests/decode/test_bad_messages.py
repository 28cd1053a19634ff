import json
import time

import msgspec
import pytest
from support.decode import (
    dead_letter_of,
    decode,
    decode_native,
    event_of,
    native,
    span_json,
    spans_message,
    to_proto,
)

from pipeline.decode import DeadLetter
from pipeline.decode.dead_letter import REASONS
from schemas.event import Event

DEEP = b"[" * 10_000 + b"]" * 10_000


def encoded(**changes: object) -> bytes:
    return json.dumps(native(**changes)).encode()


def with_raw(**raw: bytes) -> bytes:
    """A native event with a value put in as bytes."""
    content = encoded(**{key: "PLACE_" + key for key in raw})
    for key, value in raw.items():
        content = content.replace(b'"PLACE_' + key.encode() + b'"', value)
    return content


BAD = [
    pytest.param(None, "empty message", id="tombstone"),
    pytest.param(b"", "empty message", id="empty"),
    pytest.param(b" \r\n ", "empty message", id="blank"),
    pytest.param(b"hello", "not JSON", id="text"),
    pytest.param(b'{"agent_id": "x"', "not JSON", id="truncated"),
    pytest.param(b'{"a": NaN}', "not JSON", id="NaN"),
    pytest.param(b"3", "not a JSON object", id="number"),
    pytest.param(b'"x"', "not a JSON object", id="string"),
    pytest.param(b"[]", "no span, log record or event in it", id="empty array"),
    pytest.param(b"{}", "a required field is missing", id="empty object"),
    pytest.param(encoded(agent_id=...), "a required field is missing", id="no agent"),
    pytest.param(encoded(agent_id=""), "a required field is missing", id="empty agent"),
    pytest.param(encoded(start_time_unix_nano=...), "a required field is missing", id="no time"),
    pytest.param(encoded(agent_id=17), "a field has the wrong type", id="number for a string"),
    pytest.param(encoded(start_time_unix_nano="1"), "a field has the wrong type", id="string for a number"),
    pytest.param(encoded(start_time_unix_nano=1.5), "a field has the wrong type", id="fraction"),
    pytest.param(encoded(scopes="all"), "a field has the wrong type", id="string for a list"),
    pytest.param(encoded(status="fine"), "a field has the wrong type", id="unknown status"),
    pytest.param(encoded(attributes=[1], x=1), "a field has the wrong type", id="attributes list"),
    pytest.param(encoded(schema_version=2), "unknown schema_version", id="version"),
    pytest.param(encoded(start_time_unix_nano=2**63), "a number is out of range", id="int64"),
    pytest.param(encoded(duration_ns=2**63 - 1), "a number is out of range", id="end beyond int64"),
    pytest.param(encoded(input_tokens=2**70), "a number is out of range", id="tokens"),
    pytest.param(encoded(input_tokens=-1), "a number is out of range", id="negative tokens"),
    pytest.param(encoded(http_status=2**31), "a number is out of range", id="http status"),
    pytest.param(with_raw(input_tokens=b"9" * 5000), "a number is out of range", id="5,000 digits"),
    pytest.param(encoded(agent_id="a" * 10_000), "an identity field is too long", id="long agent"),
    pytest.param(DEEP, "nested too deep", id="10,000 deep"),
    pytest.param(with_raw(input=DEEP), "nested too deep", id="10,000 deep in input"),
    pytest.param(with_raw(input=b"[" * 70 + b"]" * 70), "nested too deep", id="70 deep in input"),
    pytest.param(with_raw(unheard_of=b'{"a":' * 80 + b"1" + b"}" * 80), "nested too deep", id="80 deep"),
    pytest.param(with_raw(action=b'"\xff"'), "invalid UTF-8 or a lone surrogate", id="invalid UTF-8"),
    pytest.param(with_raw(action=b'"\\ud800"'), "invalid UTF-8 or a lone surrogate", id="high surrogate"),
    pytest.param(with_raw(input=b'"x\\udc00y"'), "invalid UTF-8 or a lone surrogate", id="low surrogate"),
    pytest.param(b"\x1f\x8b\x08\x00" + bytes(range(256)), "not JSON", id="binary"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_what_cannot_be_an_event_is_a_dead_letter_with_its_reason(value: bytes | None, reason: str):
    letter = dead_letter_of(decode(value))
    assert letter.reason == reason
    assert reason in REASONS
    assert letter.length == len(value or b"")
    assert letter.error_position is None or 0 <= letter.error_position <= letter.length


def test_a_dead_letter_names_known_keys_with_types_and_the_position_but_no_text():
    content = encoded(agent_id=17, input={"secret-key": "secret-value"}, scopes=[], my_own_secret=True)
    letter = dead_letter_of(decode(content))
    assert letter.known_keys["agent_id"] == "number"
    assert letter.known_keys["input"] == "object"
    assert letter.known_keys["scopes"] == "array"
    assert letter.error_position == content.index(b"17,")
    assert b"secret" not in msgspec.json.encode(letter)


def test_a_five_megabyte_message_is_an_event_and_a_larger_one_a_dead_letter():
    assert len(event_of(decode(encoded(input="x" * 5_000_000))).input) == 5_000_000
    letter = dead_letter_of(decode(encoded(input="x" * 9_000_000)))
    assert letter.reason == "larger than max_message_bytes"


def test_more_items_than_allowed_are_one_dead_letter():
    many = b"[" + b",".join([b"{}"] * 101) + b"]"
    lines = b"\n".join([encoded()] * 101)
    spans = spans_message(*[{} for _ in range(101)])
    for value, format_ in ((many, "events"), (lines, "events"), (spans, "otlp_spans")):
        letter = dead_letter_of(decode(value, format_, max_items=100))
        assert letter.reason == "more than max_items items"


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 8_000_000,
        b"[" + b"{}," * 2_600_000 + b"{}]",
        b"{" + b'"":1,' * 1_500_000 + b'"":1}',
        b"\n" * 8_000_000 + b"{",
        b'{"a":"' + b"\\ud800" * 1_000_000 + b'"}',
        b"9" * 8_000_000,
        encoded(input="," * 900_000),
        b"\x12\x00" * 4_000_000,
        b"\x0a" + b"\xff" * 8_000_000,
    ],
    ids=[
        "open brackets",
        "objects",
        "members",
        "line feeds",
        "surrogates",
        "digits",
        "commas",
        "fields",
        "varint",
    ],
)
@pytest.mark.parametrize("format_", ["events", "otlp_spans", "otlp_logs"])
def test_hostile_megabytes_are_quick(value: bytes, format_: str):
    start = time.process_time()
    assert len(decode(value, format_)) >= 1
    assert time.process_time() - start < 5


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length = bytearray()
    left = len(content)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([number << 3 | 2, *length, left]) + content


SPAN_PARTS = b"\x12\x00" * 1_000_000
ATTRIBUTE = field(9, b"\x0a\x01a" + field(2, field(5, b"\x0a\x00" * 3_000_000)))


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        pytest.param(SPAN_PARTS, "more than max_items items", id="spans"),
        pytest.param(
            field(2, field(9, b"") * 3_000_000), "more values than can be decoded safely", id="attributes"
        ),
        pytest.param(
            field(2, field(11, b"") * 3_000_000), "more values than can be decoded safely", id="events"
        ),
        pytest.param(
            field(2, field(13, b"") * 3_000_000), "more values than can be decoded safely", id="links"
        ),
        pytest.param(field(2, ATTRIBUTE), "more values than can be decoded safely", id="array"),
    ],
)
def test_a_protobuf_of_endless_empty_parts_is_refused_quickly(scope: bytes, reason: str):
    start = time.process_time()
    letter = dead_letter_of(decode(field(1, field(2, scope)), "otlp_spans"))
    assert letter.reason == reason
    assert time.process_time() - start < 5


def test_endless_resources_are_refused_quickly():
    start = time.process_time()
    letter = dead_letter_of(decode(field(1, field(1, b"x" * 60) * 100_000), "otlp_spans"))
    assert letter.reason == "no span, log record or event in it"
    assert time.process_time() - start < 5


def test_control_characters_and_large_numbers_in_a_payload_are_kept():
    event = decode_native(input="a\x00b", attributes={"n": 2**80}, target="x\u2028\x7f")
    assert event.input == "a\x00b"
    assert msgspec.json.decode(msgspec.json.encode(event))["attributes"]["n"] == 2**80


SPAN_FAULTS = [
    pytest.param({"startTimeUnixNano": "soon"}, "a field has the wrong type", id="time no number"),
    pytest.param({"startTimeUnixNano": str(2**70)}, "a number is out of range", id="time too large"),
    pytest.param({"name": 3}, "a field has the wrong type", id="number for a string"),
    pytest.param({"attributes": {"a": 1}}, "a field has the wrong type", id="attributes no list"),
    pytest.param({"attributes": [{"key": 1}]}, "a field has the wrong type", id="key no string"),
]


@pytest.mark.parametrize(("changes", "reason"), SPAN_FAULTS)
def test_one_bad_span_loses_no_other(changes: dict[str, object], reason: str):
    good = span_json({"gen_ai.tool.name": "get_invoice"})
    decoded = decode(spans_message(good, span_json({}, **changes), good), "otlp_spans")
    assert [isinstance(item.event, Event) for item in decoded] == [True, False, True]
    letter = decoded[1].event
    assert isinstance(letter, DeadLetter)
    assert letter.reason == reason


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {"stringValue": "x"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    return value


def test_a_span_nested_too_deep_is_a_dead_letter_of_its_own():
    deep = span_json({}, attributes=[{"key": "input.value", "value": nested(70)}])
    decoded = decode(spans_message(span_json({}), deep), "otlp_spans")
    assert isinstance(decoded[0].event, Event)
    assert isinstance(decoded[1].event, DeadLetter)
    assert decoded[1].event.reason == "nested too deep"


def test_a_bad_protobuf_span_loses_no_other_and_is_located():
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    good = span_json({"gen_ai.tool.name": "get_invoice"})
    content = to_proto(
        ExportTraceServiceRequest(), spans_message(good, span_json({"gen_ai.tool.name": "BAD!"}), good)
    )
    decoded = decode(content.replace(b"BAD!", b"\xff\xfe\xfd\xfc"), "otlp_spans")
    assert [isinstance(item.event, Event) for item in decoded] == [True, False, True]
    letter = decoded[1].event
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "not the expected protobuf message"
    assert letter.error_position is not None
    assert letter.error_position < content.index(b"BAD!") < letter.error_position + 200


@pytest.mark.parametrize("value", [b"\x0a\xff", b"\x0a\x05abc", b"\x0b\x00", b"\x07", b"random text"])
def test_broken_protobuf_frames_are_dead_letters(value: bytes):
    assert dead_letter_of(decode(value, "otlp_spans")).reason in {
        "not the expected protobuf message",
        "no span, log record or event in it",
    }


def test_a_request_of_the_wrong_signal_is_a_dead_letter():
    assert dead_letter_of(decode(spans_message(span_json({})), "otlp_logs")).reason == (
        "no span, log record or event in it"
    )
