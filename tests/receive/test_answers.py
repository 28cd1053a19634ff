import asyncio
import gzip
import json
import zlib

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from support.decode import log_json, logs_message, native, span_json, spans_message, to_proto
from support.receive import TOKEN, Receiver, token

from pipeline.errors import ConfigError

SPANS = spans_message(span_json({"gen_ai.tool.name": "get_invoice"}))
PROTO = to_proto(ExportTraceServiceRequest(), SPANS)
LOGS = logs_message(log_json({}, "hello"))
EVENT = json.dumps(native()).encode()
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "source", "body", "headers"),
    [
        ("/v1/traces", "otlp_spans", SPANS, JSON),
        ("/v1/traces", "otlp_spans", SPANS, {"Content-Type": "application/json; charset=utf-8"}),
        ("/v1/traces", "otlp_spans", PROTO, PROTOBUF),
        ("/v1/logs", "otlp_logs", LOGS, JSON),
        ("/v1/events", "events", EVENT, JSON),
        ("/v1/events", "events", EVENT + b"\n" + EVENT, {"Content-Type": "application/x-ndjson"}),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_what_is_accepted_is_appended_byte_for_byte(
    path: str, source: str, body: bytes, headers: dict[str, str], encoding: str
):
    packed = {"identity": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    receiver = Receiver()
    answer = await receiver.client.post(
        path, content=packed, headers=headers | {"Content-Encoding": encoding}
    )
    assert answer.status_code == 200
    assert receiver.producers[source].values == [body]
    assert receiver.stored() == [body]
    assert answer.headers["content-type"] == headers["Content-Type"].partition(";")[0].replace(
        "x-ndjson", "json"
    )


async def test_success_answers_are_empty_otlp_responses_and_counts_for_native_events():
    client = Receiver().client
    answer = await client.post("/v1/traces", content=PROTO, headers=PROTOBUF)
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert (await client.post("/v1/traces", content=SPANS, headers=JSON)).json() == {}
    answer = await client.post("/v1/events", content=EVENT + b'\n{"agent_id":1}\n' + EVENT, headers=JSON)
    assert answer.json() == {"accepted": 2, "dead_letters": 1}


async def test_200_only_after_the_append_returned():
    receiver = Receiver()
    gate = receiver.producers["events"].gate = asyncio.Event()
    request = asyncio.create_task(receiver.client.post("/v1/events", content=EVENT, headers=JSON))
    done, _ = await asyncio.wait([request], timeout=0.1)
    assert not done
    gate.set()
    assert (await request).status_code == 200


async def test_empty_requests_are_fine_and_store_nothing():
    receiver = Receiver()
    assert (await receiver.client.post("/v1/traces", content=b"", headers=PROTOBUF)).status_code == 200
    assert (await receiver.client.post("/v1/traces", content=b"{}", headers=JSON)).status_code == 200
    assert receiver.stored() == []


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/traces", b"hello", JSON),
        ("/v1/traces", b"", JSON),
        ("/v1/traces", b'{"resourceSpans": 5}', JSON),
        ("/v1/traces", LOGS, JSON),
        ("/v1/traces", SPANS[:-1], JSON),
        ("/v1/traces", b"\x0a\xff\xff", PROTOBUF),
        ("/v1/traces", SPANS, PROTOBUF),
        ("/v1/logs", b"[" * 10_000, JSON),
        ("/v1/events", b"hello", JSON),
        ("/v1/events", b"", JSON),
        ("/v1/events", b'{"agent_id":1}', JSON),
        ("/v1/events", EVENT, JSON | {"Content-Encoding": "gzip"}),
        ("/v1/events", gzip.compress(EVENT)[:-9], JSON | {"Content-Encoding": "gzip"}),
    ],
)
async def test_malformed_bodies_are_400_and_nothing_is_stored(
    path: str, body: bytes, headers: dict[str, str]
):
    receiver = Receiver()
    answer = await receiver.client.post(path, content=body, headers=headers)
    assert answer.status_code == 400
    assert receiver.stored() == []


async def test_errors_are_rpc_statuses_in_the_encoding_of_the_request():
    client = Receiver().client
    answer = await client.post("/v1/traces", content=b"\x0a\xff\xff", headers=PROTOBUF)
    assert answer.headers["content-type"] == "application/x-protobuf"
    status = Status.FromString(answer.content)
    assert (status.code, status.message) == (3, "not the expected protobuf message at byte 1")
    answer = await client.post("/v1/traces", content=b'{"x', headers=JSON)
    assert answer.json()["code"] == 3
    assert answer.json()["message"].startswith("not JSON")


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}])
async def test_too_large_is_413_also_when_it_is_so_only_after_decompression(headers: dict[str, str]):
    receiver = Receiver(default_sources=["events"], max_body_bytes=100_000)
    body = EVENT[:-1] + b" " * 100_000 + b"}"
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(
        headers.get("Content-Encoding", ""), body
    )
    answer = await receiver.client.post("/v1/events", content=packed, headers=JSON | headers)
    assert answer.status_code == 413
    assert receiver.stored() == []


async def test_a_gzip_bomb_is_refused_without_being_unpacked():
    import tracemalloc

    bomb = gzip.compress(b" " * 100_000_000)
    receiver = Receiver()
    tracemalloc.start()
    answer = await receiver.client.post(
        "/v1/events", content=bomb, headers=JSON | {"Content-Encoding": "gzip"}
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 20_000_000


async def test_a_body_without_length_is_bounded_too():
    receiver = Receiver(default_sources=["events"], max_body_bytes=100_000)

    async def endless():
        while True:
            yield b" " * 10_000

    answer = await receiver.client.post("/v1/events", content=endless(), headers=JSON)
    assert answer.status_code == 413


async def test_a_body_that_does_not_arrive_is_408():
    receiver = Receiver(default_sources=["events"], read_timeout_s=0.05)

    async def stuck():
        yield b"{"
        await asyncio.Event().wait()

    assert (await receiver.client.post("/v1/events", content=stuck(), headers=JSON)).status_code == 408


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/traces", {}),
        ("/v1/traces", {"Content-Type": "text/plain"}),
        ("/v1/events", PROTOBUF),
        ("/v1/traces", JSON | {"Content-Encoding": "br"}),
    ],
)
async def test_other_types_are_415(path: str, headers: dict[str, str]):
    assert (await Receiver().client.post(path, content=SPANS, headers=headers)).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
    ],
)
async def test_without_a_valid_token_it_is_401(headers: dict[str, str]):
    receiver = Receiver(tokens=[token()])
    answer = await receiver.client.post("/v1/events", content=EVENT, headers=JSON | headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert receiver.stored() == []


async def test_a_token_feeds_its_own_sources_and_no_other():
    receiver = Receiver(tokens=[token("other", "another", ["otlp_spans"]), token(sources=["events"])])
    answer = await receiver.client.post("/v1/events", content=EVENT, headers=JSON | BEARER)
    assert answer.status_code == 200
    answer = await receiver.client.post("/v1/traces", content=SPANS, headers=JSON | BEARER)
    assert answer.status_code == 403
    assert receiver.stored() == [EVENT]


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("10.1.2.3", {}),
        ("127.0.0.1", {"X-Forwarded-For": "10.1.2.3"}),
        ("127.0.0.1", {"Host": "rebound.example"}),
    ],
)
async def test_without_tokens_only_this_machine_may_send(peer: str, headers: dict[str, str]):
    answer = await Receiver(peer).client.post("/v1/events", content=EVENT, headers=JSON | headers)
    assert answer.status_code == 401


async def test_a_topic_that_cannot_be_appended_to_is_503_with_retry_after():
    receiver = Receiver()
    receiver.producers["events"].fails = True
    answer = await receiver.client.post("/v1/events", content=EVENT, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "secret-path" not in answer.text


async def test_a_topic_that_does_not_answer_is_503():
    receiver = Receiver(default_sources=["events"], append_timeout_s=0.05)
    receiver.producers["events"].gate = asyncio.Event()
    assert (await receiver.client.post("/v1/events", content=EVENT, headers=JSON)).status_code == 503


async def test_too_much_in_flight_is_429_and_it_is_given_back_afterwards():
    receiver = Receiver(default_sources=["events"], max_in_flight_bytes=1024 * 1024)
    body = json.dumps(native(input="x" * 600_000)).encode()
    gate = receiver.producers["events"].gate = asyncio.Event()
    first = asyncio.create_task(receiver.client.post("/v1/events", content=body, headers=JSON))
    second = asyncio.create_task(receiver.client.post("/v1/events", content=body, headers=JSON))
    (refused,), (waiting,) = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    answer = await refused
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    gate.set()
    assert (await waiting).status_code == 200
    assert (await receiver.client.post("/v1/events", content=body, headers=JSON)).status_code == 200


async def test_a_full_backlog_is_429():
    receiver = Receiver(backlog_bytes=2**40)
    answer = await receiver.client.post("/v1/events", content=EVENT, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


async def test_get_is_405_and_other_paths_404():
    client = Receiver().client
    assert (await client.get("/v1/traces")).status_code == 405
    assert (await client.post("/v1/metrics")).status_code == 404


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"default_sources": ["nobody"]},
        {"tokens": [token(sources=["nobody"])]},
        {"tokens": [token()], "default_sources": ["events"]},
        {"default_sources": ["events", "events"]},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, object]):
    with pytest.raises(ConfigError, match=r"http\."):
        Receiver(**settings)
