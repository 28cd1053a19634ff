"""Every kind of bad message between good events on a real broker: each leaves a row that says what was wrong,
every good event is stored, and no text of a bad message is anywhere."""

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from support import scan
from support.broker import TestBroker
from support.produce import MAX_MESSAGE_BYTES, create_topic, unique
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until, write_config
from support.webhook import Webhook, running_webhook

from pipeline.decode import dead_letter as why

pytestmark = [pytest.mark.kafka_apache, pytest.mark.timeout(180)]

MARK = "zebraquartz"
"""In every message that becomes a dead letter; found nowhere afterwards."""
GOOD_AGENT, REFUSED_AGENT = "clerk-1", "clerk-refused"
REFUSALS = 30
FAR_FUTURE_NS = 9_000_000_000_000_000_000
FORMATS = ("events", "otlp_spans", "otlp_logs")


class Bad(NamedTuple):
    """A message, and what it must become: a dead letter with a reason, or an event with a flag."""

    name: str
    content: bytes | None
    reason: str | None = None
    flag: str | None = None


def event(**changes: Any) -> bytes:
    """A native event; a change to ... leaves the key out."""
    fields = {
        "start_time_unix_nano": time.time_ns(),
        "duration_ns": 1000,
        "agent_id": GOOD_AGENT,
        "environment": "prod",
        "operation": "execute_tool",
        "action": "get_invoice",
        "status": "ok",
    }
    return json.dumps({k: v for k, v in (fields | changes).items() if v is not ...}).encode()


def with_raw(raw: bytes, **changes: Any) -> bytes:
    """A native event with bytes in place of its input."""
    return event(input="HERE", **changes).replace(b'"HERE"', raw)


NATIVE = (
    Bad("tombstone", None, why.EMPTY),
    Bad("empty", b"", why.EMPTY),
    Bad("not JSON", f"{MARK} is no JSON".encode(), why.NOT_JSON),
    Bad("truncated", event(input=MARK)[:-3], why.NOT_JSON),
    Bad("NaN", with_raw(b"NaN", action=MARK), why.NOT_JSON),
    Bad("gzip", gzip.compress(event(input=MARK)), why.NOT_JSON),
    Bad("a list of words", json.dumps([MARK]).encode(), why.NOT_AN_OBJECT),
    Bad("no agent", event(agent_id=..., input=MARK), why.MISSING_FIELD),
    Bad("no time", event(start_time_unix_nano=..., input=MARK), why.MISSING_FIELD),
    Bad("a number for a string", event(agent_id=17, input=MARK), why.WRONG_TYPE),
    Bad("a string for a number", event(start_time_unix_nano=MARK), why.WRONG_TYPE),
    Bad("an object for a string", event(action={MARK: MARK}), why.WRONG_TYPE),
    Bad("an unknown status", event(status=MARK), why.WRONG_TYPE),
    Bad("10,000 deep", with_raw(b"[" * 10_000 + b"]" * 10_000, action=MARK), why.TOO_DEEP),
    Bad("invalid UTF-8", with_raw(b'"\xff\xfe"', action=MARK), why.INVALID_UNICODE),
    Bad("a lone surrogate", with_raw(b'"\\ud83d"', action=MARK), why.INVALID_UNICODE),
    Bad("a huge number", with_raw(b"1", input_tokens=10**30, action=MARK), why.OUT_OF_RANGE),
    Bad("a time beyond int64", event(start_time_unix_nano=2**70, input=MARK), why.OUT_OF_RANGE),
    Bad("a name of 10,000 letters", event(agent_id=MARK * 1000), why.TOO_LONG),
    Bad("another version", event(schema_version=9, input=MARK), why.UNKNOWN_VERSION),
    Bad("larger than allowed", event(input=MARK * 50, output="x" * 6_000_000), why.TOO_LARGE),
    Bad("5 MB", event(input="x" * 5_000_000), flag="redaction_failed"),
    Bad("a far-future time", event(start_time_unix_nano=FAR_FUTURE_NS), flag="time_in_future"),
    Bad("a negative time", event(start_time_unix_nano=-5), flag="time_negative"),
    Bad("another agent's name", event(agent_id="payroll"), flag="identity_not_bound"),
    Bad("another environment", event(environment="moon"), flag="identity_not_bound"),
    # Allowed by the contract as they are: kept without a flag.
    Bad("a NUL", event(input="a\0b")),
    Bad("a key twice", event().replace(b"{", b'{"action": "first", ', 1)),
)
OTLP = (
    Bad("protobuf garbage", b"\x0a\x7f" + MARK.encode(), why.NOT_PROTOBUF),
    Bad("text", f"{MARK} in plain words".encode(), why.NOT_PROTOBUF),
    Bad("gzip", gzip.compress(MARK.encode()), why.NOT_PROTOBUF),
    Bad("tombstone", None, why.EMPTY),
    Bad("truncated JSON", b'{"resourceSpans": [{"' + MARK.encode(), why.NOT_JSON),
    Bad("another shape", json.dumps({"resourceSpans": MARK, "resourceLogs": MARK}).encode(), why.WRONG_TYPE),
    Bad("nothing in it", json.dumps({"hello": MARK}).encode(), why.NO_ITEMS),
)
BAD = {"events": NATIVE, "otlp_spans": OTLP, "otlp_logs": OTLP}


def good(form: str) -> bytes:
    """An event of the agent that does nothing wrong, in each format."""
    now = str(time.time_ns())
    names = {"service.name": GOOD_AGENT, "deployment.environment.name": "prod"}
    resource = {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in names.items()]}
    if form == "events":
        return event(input="all is well")
    if form == "otlp_spans":
        span = {"name": "execute_tool get_invoice", "traceId": "0af7651916cd43dd8448eb211c80319c"}
        span |= {"spanId": "b7ad6b7169203331", "startTimeUnixNano": now, "endTimeUnixNano": now}
        return json.dumps(
            {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
        ).encode()
    record = {"timeUnixNano": now, "body": {"stringValue": "all is well"}}
    return json.dumps(
        {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    ).encode()


class Outcome(NamedTuple):
    """What one run has left."""

    folder: Path
    rows: dict[tuple[str, int], dict[str, Any]]
    """(source, offset) → the row of `all_rows`."""
    offsets: dict[tuple[str, str], int]
    """(source, name of the bad message) → its offset."""
    good: set[tuple[str, int]]
    pages: list[dict[str, Any]]
    published: list[tuple[bytes | None, bytes | None]]

    def sql(self, query: str) -> list[dict[str, Any]]:
        return _sql(self.folder, query)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("bad")
    with running_webhook() as webhook:
        yield asyncio.run(_run(folder, kafka.bootstrap, webhook))


async def _run(folder: Path, bootstrap: str, webhook: Webhook) -> Outcome:
    topics = {form: unique(f"bad-{form}") for form in FORMATS}
    published = unique("bad-dead-letters")
    for topic in (*topics.values(), published):
        await create_topic(bootstrap, topic, 1)
    offsets: dict[tuple[str, str], int] = {}
    fine: set[tuple[str, int]] = set()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=MAX_MESSAGE_BYTES) as producer:
        for form, topic in topics.items():
            fine.add((form, await _send(producer, topic, good(form))))
            for bad in BAD[form]:
                offsets[form, bad.name] = await _send(producer, topic, bad.content)
                fine.add((form, await _send(producer, topic, good(form))))
        control = free_port()
        _configure(folder, bootstrap, topics, published, webhook.url, control)
        with Running(folder, control) as running:
            running.wait_ready()
            # A far-future time came before these: they must page all the same, and not be late.
            for number in range(REFUSALS):
                denied = event(
                    agent_id=REFUSED_AGENT, status="error", http_status=403, span_id=f"{number:016x}"
                )
                fine.add(("events", await _send(producer, topics["events"], denied)))
            rows = len(offsets) + len(fine)
            await asyncio.to_thread(
                wait_until, lambda: sealed_rows(folder / "store") == rows, 60, f"{rows} rows are sealed"
            )
            await asyncio.to_thread(
                wait_until, lambda: any(REFUSED_AGENT in str(page) for page in webhook.requests), 30, "a page"
            )
            assert await asyncio.to_thread(running.stop) == 0, running.log()
    query = 'select source, "offset", kind, reason, flags, length, meta from all_rows'
    return Outcome(
        folder,
        {(row["source"], row["offset"]): row for row in _sql(folder, query)},
        offsets,
        fine,
        webhook.requests,
        await scan.kafka_messages(bootstrap, published),
    )


async def _send(producer: AIOKafkaProducer, topic: str, value: bytes | None) -> int:
    return (await producer.send_and_wait(topic, value, key=b"k", partition=0)).offset


def _configure(
    folder: Path, bootstrap: str, topics: dict[str, str], published: str, hook: str, control: int
) -> None:
    bound = {"kind": "kafka", "agents": ["clerk-*"], "environments": ["prod"], "max_message_bytes": 5_500_000}
    write_config(
        folder,
        data_dir=str(folder),
        kafka={"bootstrap_servers": bootstrap, "group_id": topics["events"]},
        sources=[{"name": form, "topic": topic, "format": form, **bound} for form, topic in topics.items()],
        dead_letters={"topic": published},
        redaction={"names": "off"},
        worker={"processes": 0},
        respond={"targets": [{"name": "hook", "url": hook}]},
        killswitch={"port": control},
    )


def _sql(folder: Path, query: str) -> list[dict[str, Any]]:
    done = auditfuse("sql", "--store", str(folder / "store"), "--format", "json", query, cwd=folder)
    return json.loads(done.stdout)


CASES = [pytest.param(form, bad, id=f"{form}: {bad.name}") for form in FORMATS for bad in BAD[form]]


@pytest.mark.parametrize(("form", "bad"), CASES)
def test_a_bad_message_leaves_a_row_that_says_what_was_wrong(outcome: Outcome, form: str, bad: Bad) -> None:
    row = outcome.rows[form, outcome.offsets[form, bad.name]]
    if bad.reason is None:
        assert row["kind"] == "event"
        assert bad.flag is None or bad.flag in row["flags"]
    else:
        assert (row["kind"], row["reason"]) == ("dead_letter", bad.reason)
        assert row["length"] == len(bad.content or b"")


def test_every_good_event_is_stored(outcome: Outcome) -> None:
    assert {place for place in outcome.good if outcome.rows[place]["kind"] != "event"} == set()
    assert len(outcome.rows) == len(outcome.good) + len(outcome.offsets)


def test_the_trail_verifies(outcome: Outcome) -> None:
    auditfuse("verify", "--store", str(outcome.folder / "store"), cwd=outcome.folder)


def test_a_far_future_time_makes_nothing_else_late(outcome: Outcome) -> None:
    findings = outcome.sql("select detector, agent_id, late from findings where detector = 'auth_failure'")
    # Two where the burst lies over the end of five minutes: one incident all the same.
    assert {(f["agent_id"], f["late"]) for f in findings} == {(REFUSED_AGENT, False)}
    assert sum(REFUSED_AGENT in page["title"] for page in outcome.pages) == 1


def test_the_command_lists_every_dead_letter(outcome: Outcome) -> None:
    done = auditfuse(
        "dead-letters", "list", "--store", str(outcome.folder / "store"), "--json", cwd=outcome.folder
    )
    listed = {(row["source"], row["offset"]): row["reason"] for row in json.loads(done.stdout)}
    expected = {
        (form, outcome.offsets[form, bad.name]): bad.reason
        for form in FORMATS
        for bad in BAD[form]
        if bad.reason is not None
    }
    assert listed == expected


def test_the_dead_letter_topic_holds_the_sealed_rows(outcome: Outcome) -> None:
    sealed = {row["meta"] for row in outcome.rows.values() if row["kind"] == "dead_letter"}
    assert sorted((value or b"").decode() for _, value in outcome.published) == sorted(sealed)
    assert len({key for key, _ in outcome.published}) == len(sealed)


def test_no_text_of_a_dead_letter_is_anywhere(outcome: Outcome) -> None:
    mark = MARK.encode()
    looked_at = list(scan.files(outcome.folder))
    assert any("payload" in where for where, _ in looked_at)
    assert any(b"all is well" in content for _, content in looked_at)
    assert [where for where, content in looked_at if mark in content] == []
    assert not any(mark in (key or b"") + (value or b"") for key, value in outcome.published)
