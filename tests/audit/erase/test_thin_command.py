"""`auditfuse thin` on a store with a planted burst: what it says, what it does, what it must not change."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.erase import settings_in
from support.scan import files
from typer.testing import CliRunner

from pipeline.audit.store import open_store
from pipeline.cli import build_app
from pipeline.config import Config
from pipeline.errors import ConfigError, StoreError
from pipeline.generate.faults import parse_fault
from pipeline.generate.stream import StreamConfig, fleet, generate, native_json
from pipeline.ingest import ingest_files
from pipeline.replay.run import Span, replay
from schemas.finding import Finding

RULES = "[[thinning.rules]]\nkeep = 0.0\nafter_hours = 24\n"
MARK = "wombatquartz"
EVENT = {
    "start_time_unix_nano": 1_760_000_000_000_000_000,
    "agent_id": "solitary",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "operation": "execute_tool",
    "action": "read_file",
    "status": "ok",
    "input": {"q": MARK},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("thin")
    config = settings_in(folder, RULES)
    fault = parse_fault("write_burst:agent-001@60+60x20")
    agents = fleet(4, 20.0)
    stream = StreamConfig(seed=1, agents=agents, start_ms=1_760_000_000_000, length_s=240, faults=[fault])
    path = folder / "events.ndjson"
    path.write_bytes(b"\n".join([*map(native_json, generate(stream)), json.dumps(EVENT).encode()]))
    ingest_files(config, [path], None)
    path.unlink()
    return config


def run(config: Config, *arguments: str) -> Any:
    """A command's JSON."""
    file = config.store.path.parent / "auditfuse.toml"
    is_thin = arguments[0] == "thin"
    where = ("--config", str(file)) if is_thin else ("--store", str(config.store.path))
    form = ("--format", "json") if arguments[0] == "sql" else ("--json",)
    result = CliRunner().invoke(build_app(), [*arguments, *where, *form])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def marked(config: Config) -> list[str]:
    return [name for name, content in files(config.store.path.parent) if MARK.encode() in content]


def test_it_takes_what_it_announced_and_nothing_else_changes(config: Config) -> None:
    columns = "* exclude (input, output, attributes)"
    events = f'select {columns} from events order by topic_id, "partition", "offset", item'
    findings = "select finding_id, summary from findings order by all"
    before = run(config, "sql", events), run(config, "sql", findings), _replayed(config)
    assert before[1] and before[2] and marked(config)
    planned = run(config, "thin", "--dry-run")
    assert planned["payloads"] > 20 and planned["payload_bytes"] > 1000 and not planned["executed"]
    assert {"an incident", "an error, a refusal or a time-out"} <= planned["kept_rows"].keys()
    done = run(config, "thin")
    assert (done["payloads"], done["payload_bytes"]) == (planned["payloads"], planned["payload_bytes"])
    assert len(done["erasures"]) == 1 and not done["out_of_reach"]
    assert run(config, "thin", "--dry-run")["payloads"] == 0
    assert (run(config, "sql", events), run(config, "sql", findings), _replayed(config)) == before
    assert run(config, "verify")["holds"]
    (erasure,) = run(config, "sql", "select ordered_by, reason, payloads from erasures")
    assert (erasure["ordered_by"], erasure["payloads"]) == ("thinning", done["payloads"])
    assert "keep = 0 after 24 h" in erasure["reason"]
    assert marked(config) == [], "no byte of a thinned payload is left"


def test_it_says_of_a_trace_why_it_is_kept(config: Config) -> None:
    run(config, "thin")
    (kept,) = run(config, "sql", "select trace_id from events where outcome = 'error' limit 1")
    told = run(config, "thin", "--trace", kept["trace_id"])
    assert told["is_kept"] and all(row["has_payload"] for row in told["rows"])
    assert "an error, a refusal or a time-out" in told["verdict"]
    told = run(config, "thin", "--trace", str(EVENT["trace_id"]))
    assert (told["verdict"], told["is_kept"]) == ("its payloads were erased", False)
    with pytest.raises(StoreError, match="no event of trace"):
        run(config, "thin", "--trace", "f" * 32)


def test_without_a_rule_it_says_so(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    with pytest.raises(ConfigError, match=r"\[\[thinning.rules\]\]"):
        run(config, "thin")


def _replayed(config: Config) -> list[Finding]:
    """What a replay of everything finds."""
    (found,) = replay(open_store(config.store), [config.detect], Span(0, 2_000_000_000_000))
    return [one.finding for one in found.found]
