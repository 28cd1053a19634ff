"""OTLP traces that say nothing of what their tools do: configured tool patterns still show write bursts."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.running import auditfuse, write_config
from support.service import QUICK, query, verified
from support.traces import EVENTS, OTLP, lines, needs_shared

TOOLS = {
    "external": ["transfer_*", "send_*"],
    "write": ["book_*", "cancel_*", "update_*"],
    "read": ["get_*", "search_*", "list_*"],
    "none": ["calculate", "think"],
}
PAYLOAD = {
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
}
BURST = 200
BURST_S = 40

pytestmark = [needs_shared, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def stripped() -> list[dict[str, Any]]:
    """The messages of the OTLP file without any `audit.*` attribute."""
    messages = [json.loads(line) for line in lines(OTLP)]
    for resource_spans in (spans for message in messages for spans in message["resourceSpans"]):
        for owner in (resource_spans["resource"], *spans_of(resource_spans)):
            owner["attributes"] = [one for one in owner["attributes"] if not one["key"].startswith("audit.")]
    assert "audit." not in {key.split(".")[0] + "." for key in keys_of(messages)}
    return messages


def test_write_bursts_are_found_by_tool_patterns_alone(stripped: list[Any], tmp_path: Path) -> None:
    messages = list(stripped)
    place = len(messages) // 2
    messages[place:place] = burst(messages[place])
    ingest(tmp_path, messages)
    found = query(tmp_path, "select agent_id, severity, summary from findings where detector = 'write_burst'")
    assert [row["agent_id"] for row in found] == ["tau-airline/gpt-4o"]
    kinds = query(
        tmp_path,
        "select action_kind, count(*) as n, "
        "count(*) filter (list_contains(flags, 'action_kind_inferred')) as guessed "
        "from events where action is not null and operation = 'execute_tool' group by all",
    )
    assert {row["action_kind"]: int(row["n"]) for row in kinds}["write"] == 242 + BURST
    assert {row["guessed"] for row in kinds} == {"0"}
    verified(tmp_path)


@pytest.mark.long
def test_without_a_burst_there_is_none(stripped: list[Any], tmp_path: Path) -> None:
    ingest(tmp_path, [without_payload(message) for message in stripped])
    assert query(tmp_path, "select count(*) as n from events") == [{"n": str(EVENTS)}]
    assert query(tmp_path, "select finding_id from findings where detector = 'write_burst'") == []


def without_payload(message: dict[str, Any]) -> dict[str, Any]:
    """The same steps without what was said in them, which takes most of the time and bursts do not need."""
    light = copy.deepcopy(message)
    for span in (span for spans in light["resourceSpans"] for span in spans_of(spans)):
        span["attributes"] = [one for one in span["attributes"] if one["key"] not in PAYLOAD]
    return light


def ingest(folder: Path, messages: list[Any]) -> None:
    """Load the messages as `auditfuse ingest` does with any file."""
    write_config(folder, data_dir=str(folder), tools=TOOLS, **QUICK)
    file = folder / "traces.ndjson"
    file.write_text("".join(json.dumps(message) + "\n" for message in messages))
    auditfuse("ingest", str(file), "--format", "otlp-json", "--config", "auditfuse.toml", cwd=folder)


def burst(near: dict[str, Any]) -> list[dict[str, Any]]:
    """A write tool called again and again within a minute, by the agent of a message and at its time."""
    choice = random.Random(7)
    template = copy.deepcopy(near)
    (resource_spans,) = template["resourceSpans"]
    span = spans_of(resource_spans)[0]
    began_ns = int(span["endTimeUnixNano"])
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book_reservation",
        "gen_ai.tool.type": "function",
    }
    kept = [one for one in span["attributes"] if one["key"] in ("gen_ai.agent.id", "gen_ai.agent.version")]
    messages = []
    for number in range(BURST):
        at_ns = began_ns + number * BURST_S * 1_000_000_000 // BURST
        written = {
            **span,
            "name": "execute_tool book_reservation",
            "spanId": f"{choice.getrandbits(64):016x}",
            "traceId": f"{choice.getrandbits(128):032x}",
            "startTimeUnixNano": str(at_ns),
            "endTimeUnixNano": str(at_ns + 1_000_000),
            "attributes": [*kept, *({"key": k, "value": {"stringValue": v}} for k, v in tool.items())],
        }
        scope_spans = [{**resource_spans["scopeSpans"][0], "spans": [written]}]
        messages.append({"resourceSpans": [{**resource_spans, "scopeSpans": scope_spans}]})
    return messages


def spans_of(resource_spans: dict[str, Any]) -> list[dict[str, Any]]:
    """Every span of one resource."""
    return [span for scope in resource_spans["scopeSpans"] for span in scope["spans"]]


def keys_of(value: Any) -> set[str]:
    """Every attribute key in a message."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value)) if value else set()
    if isinstance(value, dict):
        own = {value["key"]} if isinstance(value.get("key"), str) else set()
        return own.union(*map(keys_of, value.values()))
    return set()
