"""The generator: equal seeds give equal streams, and planted faults are where the truth says they are."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from support.running import auditfuse

from pipeline.errors import ConfigError
from pipeline.generate.agents import Agent
from pipeline.generate.faults import parse_fault, parse_release
from pipeline.generate.stream import CALLS_PER_SESSION, StreamConfig, fleet, generate
from schemas.event import Event

START_MS = 1_790_000_000_000


def stream(*faults: str, agents: int = 2, rate: float = 60.0, seed: int = 3) -> list[Event]:
    config = StreamConfig(seed, fleet(agents, rate), START_MS, 600.0, tuple(parse_fault(f) for f in faults))
    return list(generate(config))


def calls(events: list[Event], agent: str, start_s: float, end_s: float) -> list[Event]:
    low, high = ((START_MS + second * 1000) * 1_000_000 for second in (start_s, end_s))
    return [e for e in events if e.agent_id == agent and low <= e.start_time_unix_nano < high]


def test_equal_seeds_give_equal_streams_byte_for_byte() -> None:
    one, other, another = (msgspec.json.encode(stream(seed=seed)) for seed in (1, 1, 2))
    assert one == other
    assert one != another


def test_events_are_in_time_order_and_ids_are_unique() -> None:
    events = stream()
    times = [event.start_time_unix_nano for event in events]
    assert times == sorted(times)
    assert len({event.span_id for event in events}) == len(events)


def test_the_rate_is_what_was_asked_for() -> None:
    counts = Counter(event.agent_id for event in stream(agents=3, rate=120))
    assert all(1000 < count < 1400 for count in counts.values()), counts


def test_a_write_burst_multiplies_writes_from_its_onset_to_its_end() -> None:
    events = stream("write_burst:agent-001@300+60x20")

    def writes(start_s: float, end_s: float) -> int:
        return sum(e.action_kind == "write" for e in calls(events, "agent-001", start_s, end_s))

    assert writes(300, 360) > 700
    assert writes(300, 303) > 20, "the burst begins at its onset, not at the agent's next usual call"
    assert writes(240, 300) < 30
    assert writes(361, 420) < 30


def test_an_auth_failure_is_refused_calls() -> None:
    refused = [e for e in stream("auth_failure:agent-002@100+100x5") if e.http_status == 403]
    assert len(refused) > 20
    inside = calls(refused, "agent-002", 100, 200)
    assert len(inside) / len(refused) > 0.9


def test_silence_is_silent() -> None:
    events = stream("silence:agent-001@200+100")
    assert calls(events, "agent-001", 200, 300) == []
    assert calls(events, "agent-002", 200, 300)


def test_an_error_spike_raises_the_share_of_errors() -> None:
    events = stream("error_spike:agent-001@300+120x30", rate=240)
    inside = calls(events, "agent-001", 300, 420)
    assert sum(e.status == "error" for e in inside) / len(inside) > 0.4


@pytest.mark.parametrize("text", ["", "write_burst", "flood:a@1+1", "write_burst:a@x+1", "write_burst:a@1"])
def test_a_fault_that_cannot_be_read_says_what_is_wanted(text: str) -> None:
    with pytest.raises(ConfigError, match="KIND:AGENT@ONSET"):
        parse_fault(text)


def test_the_command_writes_events_and_the_truth(tmp_path: Path) -> None:
    arguments = "--agents 2 --rate 60 --minutes 2 --seed 5 --start 1790000000000".split()  # noqa: SIM905
    arguments += ["--truth", "truth.ndjson"]
    auditfuse(
        "generate", *arguments, "--fault", "write_burst:agent-002@30+20x5", "events.ndjson", cwd=tmp_path
    )
    events = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert {event["agent_id"] for event in events} == {"agent-001", "agent-002"}
    truth = json.loads((tmp_path / "truth.ndjson").read_text())
    assert truth["kind"] == "write_burst"
    assert truth["start_ms"] == 1790000030000


def test_a_fault_of_an_agent_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = auditfuse("generate", "--fault", "silence:nobody@1+1", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "nobody" in done.stderr


def test_an_agent_runs_under_its_own_principal() -> None:
    assert Agent("a", "prod", 1.0).principal == "sa:a@prod"


def test_a_release_changes_the_version_from_its_onset_on_and_nothing_before() -> None:
    fleet_of_two = fleet(2, 60.0)
    release = (parse_release("agent-001@300=1.5.0"),)
    plain = list(generate(StreamConfig(3, fleet_of_two, START_MS, 600.0)))
    events = list(generate(StreamConfig(3, fleet_of_two, START_MS, 600.0, releases=release)))
    onset_ns = (START_MS + 300_000) * 1_000_000
    assert {
        e.agent_version for e in events if e.agent_id == "agent-001" and e.start_time_unix_nano < onset_ns
    } == {"1.4.2"}
    assert {e.agent_version for e in calls(events, "agent-001", 300, 600)} == {"1.5.0"}
    assert calls(events, "agent-002", 0, 600) == calls(plain, "agent-002", 0, 600)
    assert calls(events, "agent-001", 0, 300) == calls(plain, "agent-001", 0, 300)


def test_a_release_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ConfigError, match="AGENT@ONSET=VERSION"):
        parse_release("agent-001=1.5.0")


def test_office_hours_are_busy_and_nights_and_weekends_are_not() -> None:
    monday_ms = 1_789_948_800_000
    config = StreamConfig(3, fleet(1, 6.0), monday_ms, 7 * 86_400.0, office_hours=True)
    hours = Counter((e.start_time_unix_nano // 1_000_000 - monday_ms) // 3_600_000 for e in generate(config))
    noon, night, saturday_noon = (sum(hours[first + i] for i in range(4)) for first in (10, 22, 5 * 24 + 10))
    assert noon > 4 * night
    assert noon > 2 * saturday_noon


def test_every_further_kind_of_fault_does_what_it_says() -> None:
    kinds = {
        "external_burst": lambda e: e.action_kind == "external",
        "throttling": lambda e: e.http_status == 429,
        "latency": lambda e: e.duration_ns > 400_000_000,
        "personal_data": lambda e: "contacts" in (e.output or {}),
        "action_mix": lambda e: e.action == "export_vendors",
    }
    for kind, shows in kinds.items():
        events = stream(f"{kind}:agent-001@300+120x10", rate=120)
        inside, before = (calls(events, "agent-001", s, s + 120) for s in (300, 100))
        assert sum(map(shows, inside)) > 30 + 3 * sum(map(shows, before)), kind
        assert calls(events, "agent-002", 0, 600) == calls(stream(rate=120), "agent-002", 0, 600), kind


def test_a_loop_is_the_same_call_of_one_session_again_and_again() -> None:
    inside = calls(stream("loop:agent-001@300+60x5"), "agent-001", 300, 360)
    assert len(inside) > 200
    assert len({(e.session_id, e.action) for e in inside[CALLS_PER_SESSION:]}) == 1


def test_outside_of_its_time_a_fault_changes_nothing() -> None:
    plain, faulty = stream(), stream("latency:agent-001@300+60x10")
    assert calls(faulty, "agent-001", 0, 300) == calls(plain, "agent-001", 0, 300)
