"""The redacted stream: every sealed event under its row's identity, as auditfuse's own decoder and as
OpenTelemetry's classes read it."""

import asyncio
import itertools
import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.audit import START_MS, TOPIC_ID, claim, dead_letter_row, event_row
from support.broker import KafkaTopics, Reader
from support.erase import settings_in, store_of
from support.local import LocalTopics
from support.prepared import open_source, prepared

from pipeline.audit.store import Store
from pipeline.decode import decode_message
from pipeline.decode.action_kind import ToolPatterns
from pipeline.errors import ConfigError
from pipeline.generate.stream import StreamConfig, generate, native_json
from pipeline.keys import Keys
from pipeline.publish.build import new_publishers, redacted_output
from pipeline.publish.config import RedactedConfig
from pipeline.publish.native import LEFT_OUT, native_event
from pipeline.publish.otlp import MAX_SPANS, PARENT, ROW, SPAN, TRACE, OtlpSpans
from pipeline.publish.output import Output, SealedRow
from pipeline.publish.publisher import Publisher
from pipeline.respond.state import StateConfig, StateDatabase
from pipeline.topics.base import Message
from schemas.event import Event
from schemas.record import Row

PERSONAL = {
    "start_time_unix_nano": START_MS * 1_000_000,
    "duration_ns": 5_000_000,
    "agent_id": "clerk",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "session_id": "case of jane.doe@example.org",
    "end_user": "jane.doe@example.org",
    "operation": "execute_tool",
    "action": "send_mail",
    "target": "mailto:jane.doe@example.org",
    "status": "error",
    "status_message": "no mailbox jane.doe@example.org",
    "scopes": ["mail:send"],
    "http_status": 503,
    "input": {"to": "jane.doe@example.org", "card": "4111 1111 1111 1111", "n": [1, 2.5, None, True]},
    "output": "could not reach +1 212 555 0142",
    "attributes": {"note": "ask jane.doe@example.org", "deep": {"a": [{}]}, "big": 2**60},
}
BARE = {"start_time_unix_nano": START_MS * 1_000_000, "agent_id": "clerk", "operation": "chat"}


def messages(count: int = 60) -> list[bytes]:
    """Native events of the generator, and some that need redaction."""
    made = itertools.islice(generate(StreamConfig(seed=5, start_ms=START_MS)), count)
    return [json.dumps(PERSONAL).encode(), json.dumps(BARE).encode(), *map(native_json, made)]


def sealed_row(row: Row) -> SealedRow:
    identity = f"{TOPIC_ID}/0/{row.offset}/{row.item}"
    return SealedRow(identity, {"meta": row.meta.decode(), "payload": row.payload.decode()})


def said(row: Row) -> tuple[dict[str, Any], bytes]:
    """What a row says apart from where it came from and how it was read."""
    meta = msgspec.json.decode(row.meta)
    for name in ("origin", "flags", "redactions", "event_hmac"):
        del meta[name]
    return meta, row.payload


def test_a_native_message_is_read_back_as_the_same_event(tmp_path: Path) -> None:
    rows = prepared(tmp_path, messages())
    told = [native_event(row.meta.decode(), row.payload.decode()) for row in rows]
    assert b"jane.doe" not in b"".join(told) and b"EMAIL_ADDRESS" in told[0]
    again = prepared(tmp_path, told)
    assert [said(row) for row in again] == [said(row) for row in rows]
    assert not any(msgspec.json.decode(row.meta)["redactions"] for row in again), "nothing is redacted twice"
    third = [native_event(row.meta.decode(), row.payload.decode()) for row in again]
    assert third == told, "the same bytes, so the same event digest"
    assert [msgspec.json.decode(r.meta)["event_hmac"] for r in prepared(tmp_path, third)] == [
        msgspec.json.decode(row.meta)["event_hmac"] for row in again
    ]


def test_an_erased_payload_stays_erased(tmp_path: Path) -> None:
    (row,) = prepared(tmp_path, [json.dumps(PERSONAL).encode()])
    told = msgspec.json.decode(native_event(row.meta.decode(), None))
    assert not {"input", "output", "attributes"} & told.keys()
    assert told["action"] == "send_mail"
    (span,) = spans_of(
        [
            b
            for _, b in OtlpSpans(10**6).messages(
                [sealed_row(row)._replace(columns={"meta": row.meta.decode(), "payload": None})]
            )
        ]
    )
    assert "gen_ai.tool.call.arguments" not in attributes_of(span)


def test_spans_are_read_by_our_decoder_with_the_same_fields(tmp_path: Path) -> None:
    rows = prepared(tmp_path, messages())
    values = [value for _, value in OtlpSpans(10**6).messages([sealed_row(row) for row in rows])]
    events = [event for value in values for event in decoded(value)]
    by_row = {event.attributes[ROW]: event for event in events}
    assert len(by_row) == len(rows)
    for row in rows:
        event, meta = by_row[sealed_row(row).identity], msgspec.json.decode(row.meta)
        for name in (
            "agent_id",
            "agent_version",
            "environment",
            "channel",
            "session_id",
            "end_user",
            "target",
        ):
            assert getattr(event, name) == meta[name]
        for name in (
            "principal",
            "scopes",
            "operation",
            "action_kind",
            "model",
            "tool_call_id",
            "http_status",
        ):
            assert getattr(event, name) == meta[name]
        for name in ("start_time_unix_nano", "duration_ns", "status_message", "error_type", "input_tokens"):
            assert getattr(event, name) == meta[name]
        assert meta["trace_id"] in (event.trace_id, None)
        if meta["operation"] == "execute_tool":
            assert event.action == meta["action"]
        payload = msgspec.json.decode(row.payload)
        for name in ("input", "output"):
            value = getattr(event, name)
            assert (json.loads(value) if isinstance(payload[name], dict) else value) == payload[name]
        assert payload["attributes"].items() <= event.attributes.items()


def test_opentelemetrys_classes_read_every_message(tmp_path: Path) -> None:
    rows = prepared(tmp_path, messages(3 * MAX_SPANS))
    published = list(OtlpSpans(10**6).messages([sealed_row(row) for row in rows]))
    assert 3 < len(published) < len(rows) / 10, "many spans a message"
    spans = spans_of([one.value for one in published])
    assert [attributes_of(span)[ROW] for span in spans].count(published[0].key.decode()) == 1
    assert len(spans) == len(rows)
    span = next(span for span in spans if span.trace_id.hex() == PERSONAL["trace_id"])
    told = attributes_of(span)
    assert (span.status.code, told["gen_ai.tool.name"]) == (2, "send_mail")
    assert json.loads(told["gen_ai.tool.call.arguments"])["n"] == [1, 2.5, None, True]
    assert span.end_time_unix_nano - span.start_time_unix_nano == 5_000_000


def test_ids_that_are_no_otlp_ids_are_made_and_kept_as_attributes(tmp_path: Path) -> None:
    del tmp_path
    rows = [
        event_row(0, trace_id="req_0123456789abcdefAB", span_id="step-1", parent_span_id="step-0"),
        event_row(1, trace_id="req_0123456789abcdefAB", span_id="step-2", parent_span_id="step-1"),
        event_row(2, trace_id=None),
    ]
    first, second, third = spans_of([v for _, v in OtlpSpans(10**6).messages([sealed_row(r) for r in rows])])
    assert first.trace_id == second.trace_id != third.trace_id
    assert second.parent_span_id == first.span_id
    assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in (first, second, third))
    told = attributes_of(first)
    assert (told[TRACE], told[SPAN], told[PARENT]) == ("req_0123456789abcdefAB", "step-1", "step-0")


@pytest.mark.parametrize("form", ["native", "otlp"])
def test_an_event_too_large_for_the_topic_goes_without_its_payload(form: Any) -> None:
    output = redacted_output(RedactedConfig(format=form, max_message_bytes=20_000))
    large, small = event_row(0, payload_bytes=50_000), event_row(1, payload_bytes=5_000)
    values = [value for _, value in output.messages([sealed_row(large), sealed_row(small)])]
    assert all(len(value) <= 20_000 for value in values)
    texts = b"\n".join(values)
    assert texts.count(LEFT_OUT.encode()) == 1 and texts.count(b"x" * 5_000) == 1


@pytest.fixture(params=["local", "kafka"])
def topics(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTopics | KafkaTopics:
    if request.param == "local":
        return LocalTopics(tmp_path)
    return KafkaTopics(request.getfixturevalue("kafka"))


@pytest.mark.parametrize("form", ["native", "otlp"])
async def test_every_sealed_event_is_published_and_nothing_else(
    topics: Any, tmp_path: Path, form: Any
) -> None:
    name = f"redacted-{uuid.uuid4().hex[:8]}"
    await topics.create(name, 3)
    store = Store(tmp_path / "store")
    rows = prepared(tmp_path / "keys", messages())
    rows[5] = dead_letter_row(5)
    writer = claim(store)
    writer.seal(rows[:30], 30)
    state = StateDatabase(StateConfig.model_validate({"url": f"sqlite:///{tmp_path / 'state.db'}"}))
    output = redacted_output(RedactedConfig(format=form))
    await _publish(store, state, output, topics, name)
    writer.seal(rows[30:], len(rows))
    await _publish(store, state, output, topics, name)
    wanted = {f"{TOPIC_ID}/0/{row.offset}/{row.item}" for row in rows if row.kind == "event"}
    got = await _read(topics, name, len(wanted) if form == "native" else 2)
    told = [identity for message in got for identity in _identities(message, form)]
    assert sorted(told) == sorted(wanted)


def test_each_configured_topic_has_a_publisher(tmp_path: Path) -> None:
    more = '[dead_letters]\ntopic = "dead"\n[redacted]\ntopic = "stream"\nkind = "local"\nformat = "otlp"\n'
    config = settings_in(tmp_path, more)
    state = StateDatabase(config.state)
    made = new_publishers(config, store_of(config), state, Keys(config.keys.path))
    assert [one.part for one in made] == ["dead-letter topic", "redacted topic"]
    assert not any(one.is_ready for one in made)
    state.close()
    quiet = settings_in(tmp_path)
    assert new_publishers(quiet, store_of(quiet), state, Keys(quiet.keys.path)) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            '[dead_letters]\ntopic = "t"\n[redacted]\ntopic = "t"\n',
            "redacted.topic 't' is dead_letters.topic",
        ),
        ('[redacted]\ntopic = "t"\nmax_message_bytes = 60000000\n', "max_request_bytes"),
    ],
)
def test_a_topic_that_cannot_work_is_refused(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings_in(tmp_path, more)


async def _publish(store: Store, state: StateDatabase, output: Output, topics: Any, name: str) -> None:
    sealed = asyncio.Event()
    sealed.set()
    await Publisher("redacted topic", store, state, output, name, lambda: topics.producer(name)).run(sealed)


async def _read(topics: Any, name: str, count: int) -> list[Message]:
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(count)
        for _ in range(3):
            await reader.poll()
        return [message for part in reader.got.values() for message in part]


def _identities(message: Message, form: str) -> list[str]:
    key, value = (message.key or b"").decode(), message.value or b""
    if form == "native":
        assert msgspec.json.decode(value)["agent_id"]
        return [key]
    told = [attributes_of(span)[ROW] for span in spans_of([value])]
    assert key in told
    return told


def decoded(value: bytes) -> list[Event]:
    items = decode_message(
        value,
        topic_id=TOPIC_ID,
        partition=0,
        offset=0,
        broker_time_ms=START_MS + 3_600_000,
        source=open_source("otlp_spans"),
        patterns=ToolPatterns(),
    )
    assert all(isinstance(item.event, Event) for item in items)
    return [item.event for item in items if isinstance(item.event, Event)]


def spans_of(values: list[bytes]) -> list[Any]:
    requests = [ExportTraceServiceRequest.FromString(value) for value in values]
    return [
        span
        for r in requests
        for group in r.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def attributes_of(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
