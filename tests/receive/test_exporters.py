"""Unmodified OpenTelemetry SDK exporters, over a real socket, decoded on the other side."""

import logging
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from support.decode import decode
from support.receive import FORMATS, TOKEN, Receiver, serving, token

from pipeline.keys import Keys
from pipeline.topics.local import LocalConsumer, LocalProducer, LocalTopicsConfig
from schemas.event import Event

RESOURCE = Resource.create({"service.name": "invoices", "deployment.environment.name": "prod"})


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_spans_of_the_sdk_arrive_as_events(compression: Compression):
    receiver = Receiver(tokens=[token()])
    with serving(receiver) as url:
        exporter = OTLPSpanExporter(
            f"{url}/v1/traces", headers={"Authorization": f"Bearer {TOKEN}"}, compression=compression
        )
        provider = TracerProvider(resource=RESOURCE)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("invoke_agent") as parent:
            with tracer.start_as_current_span("execute_tool pay_invoice") as span:
                span.set_attribute("gen_ai.operation.name", "execute_tool")
                span.set_attribute("gen_ai.tool.name", "pay_invoice")
                span.set_attribute("gen_ai.usage.input_tokens", 12)
                span.set_attribute("audit.auth.scopes", ["invoices:write"])
                span.record_exception(PermissionError("no"))
        assert provider.force_flush()
        provider.shutdown()
    (message,) = receiver.producers["otlp_spans"].values
    events = [item.event for item in decode(message, "otlp_spans")]
    tool = next(event for event in events if isinstance(event, Event) and event.action == "pay_invoice")
    assert tool.trace_id == f"{parent.get_span_context().trace_id:032x}"
    assert tool.span_id == f"{span.get_span_context().span_id:016x}"
    assert tool.parent_span_id == f"{parent.get_span_context().span_id:016x}"
    assert (tool.agent_id, tool.environment, tool.scopes) == ("invoices", "prod", ["invoices:write"])
    assert (tool.input_tokens, tool.error_type, tool.action_kind) == (12, "PermissionError", "external")


def test_logs_of_the_sdk_arrive_as_events():
    receiver = Receiver(tokens=[token()])
    with serving(receiver) as url:
        exporter = OTLPLogExporter(
            f"{url}/v1/logs", headers={"Authorization": f"Bearer {TOKEN}"}, compression=Compression.Gzip
        )
        provider = LoggerProvider(resource=RESOURCE)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        logger = logging.getLogger("tests.receive.otlp")
        logger.propagate = False
        logger.addHandler(LoggingHandler(logger_provider=provider))
        logger.error("it failed", extra={"session.id": "s-1"})
        provider.shutdown()
    (message,) = receiver.producers["otlp_logs"].values
    (decoded,) = decode(message, "otlp_logs")
    assert isinstance(decoded.event, Event)
    assert (decoded.event.agent_id, decoded.event.operation, decoded.event.status) == (
        "invoices",
        "log",
        "error",
    )
    assert (decoded.event.output, decoded.event.session_id) == ("it failed", "s-1")


def test_a_wrong_token_fails_the_export():
    receiver = Receiver(tokens=[token()])
    with serving(receiver) as url:
        exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"Authorization": "Bearer nonsense"})
        provider = TracerProvider(resource=RESOURCE)
        results: list[SpanExportResult] = []
        export = exporter.export
        exporter.export = lambda spans: results.append(export(spans)) or results[-1]  # type: ignore[method-assign]
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("test").start_span("x").end()
        provider.shutdown()
    assert results == [SpanExportResult.FAILURE]
    assert receiver.stored() == []


async def test_what_was_answered_200_is_in_the_local_topic(tmp_path: Path):
    config = LocalTopicsConfig(path=tmp_path / "topics")
    keys = Keys(tmp_path / "keys")
    producer = LocalProducer(config, "events", keys)
    await producer.start()
    receiver = Receiver(default_sources=FORMATS)
    receiver.producers["events"] = producer  # type: ignore[assignment]
    body = b'{"agent_id":"invoices","start_time_unix_nano":1}'
    answer = await receiver.client.post(
        "/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200
    consumer = LocalConsumer(config, "events", keys)

    async def revoked(partitions: object) -> None: ...

    await consumer.start(lambda partitions: dict.fromkeys(partitions, 0), revoked)
    polled = await consumer.poll(5, 10)
    assert [message.value for messages in polled.values() for message in messages] == [body]
    await consumer.stop()
    await producer.stop()
