"""What bounds a process and which settings fit, from what stages cost; and `auditfuse bench` itself."""

import json
from pathlib import Path

import pytest
import structlog
from support.running import auditfuse, write_config

from pipeline.bench.advice import MB, Costs, advise, bound
from pipeline.bench.kept import kept, tell_bound
from pipeline.config import load_config

US = {"fetch": 4, "decode": 16, "redact": 240, "encode": 20, "hand over": 30, "chain": 30, "detect": 10}


def costs(sync_ms: float = 4.0, **us: float) -> Costs:
    return Costs(us={**US, **us}, sync_ms=sync_ms, event_bytes=1_500)


def test_one_process_without_a_pool_does_everything_in_turn() -> None:
    found = bound(costs(), 0, 8, detects=False)
    assert found.events_per_s == pytest.approx(1e6 / 310)
    assert found.stage == "redact"


def test_a_small_pool_is_bound_by_redaction_and_a_large_one_by_the_main_process() -> None:
    small, large = (bound(costs(), processes, 64, detects=True) for processes in (1, 32))
    assert (small.where, small.stage) == ("the pool's processes", "redact")
    assert (large.where, large.stage) == ("the main process", "chain")
    assert large.events_per_s == pytest.approx(1e6 / (44 + 15))


def test_more_processes_than_cores_bring_nothing() -> None:
    assert bound(costs(), 16, 2, detects=True).where == "the cores"
    assert bound(costs(), 16, 2, detects=True).events_per_s == pytest.approx(2e6 / 350)


def test_on_one_core_nothing_is_handed_over() -> None:
    assert advise(costs(), 1, 4, detects=True).processes == 0


def test_as_many_processes_as_help() -> None:
    advice = advise(costs(), 64, 4, detects=True)
    assert 4 <= advice.processes <= 8
    assert advice.bound.where == "the main process"


def test_a_slow_disk_seals_less_often_and_queues_hold_some_seconds() -> None:
    quick, slow = advise(costs(1.0), 4, 4, detects=True), advise(costs(60.0), 4, 4, detects=True)
    assert quick.seal_interval_ms == 1_000
    assert slow.seal_interval_ms == 2_500
    assert quick.queue_bytes % MB == 0
    assert 8 * MB <= quick.queue_bytes <= 64 * MB


def test_the_command_measures_and_run_tells_what_bounds_it(tmp_path: Path) -> None:
    write_config(tmp_path, redaction={"enabled": False}, worker={"processes": 0})
    done = auditfuse("bench", "--seconds", "0", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["events"] >= 2_000
    assert {"decode", "redact", "encode", "hand over", "chain", "write", "publish", "detect"} == set(
        told["costs"]["us"]
    )
    config = load_config(tmp_path / "auditfuse.toml")
    config = config.model_copy(update={"store": config.store.model_copy(update={"cache": tmp_path / "kept"})})
    assert kept(config) is None
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "bench.json").write_text(done.stdout)
    with structlog.testing.capture_logs() as logs:
        tell_bound(config, {"detect"})
        tell_bound(config, {"ingest", "detect"})
    (line,) = logs
    assert line["stage"] in told["costs"]["us"]
    assert line["events_per_s"] > 0


def test_a_result_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    write_config(tmp_path)
    config = load_config(tmp_path / "auditfuse.toml")
    config = config.model_copy(update={"store": config.store.model_copy(update={"cache": tmp_path})})
    (tmp_path / "bench.json").write_text("{")
    assert kept(config) is None
