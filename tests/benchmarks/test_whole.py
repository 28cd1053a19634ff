"""`make bench` and `make soak` work, against a real broker; figures of a quick run mean nothing."""

import json
from pathlib import Path

import pytest
from support.broker import TestBroker
from support.long import by_form
from support.traces import needs_shared

from benchmarks import bench, extrapolate, soak

# The other parts start `auditfuse run` again and again; the soak starts it once.
PARTS = by_form(short=["stages", "beside"], long=["stages", "end to end", "beside", "processes", "catalog"])


@pytest.mark.kafka_apache
@pytest.mark.shared
@needs_shared
@pytest.mark.timeout(300)
def test_a_quick_bench_prints_its_tables_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kafka: TestBroker
) -> None:
    to = ["--out", str(tmp_path), "--bootstrap", kafka.bootstrap]
    assert bench.main(["--quick", *to, "--only", *PARTS]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("### make bench\n")
    assert "| CPU µs an event |" in printed
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert {"ratio_script", "ratio_floor", "stage_us native"} <= figures.keys()
    if "end to end" in PARTS:
        assert figures["events_per_s_core"] > 0
        assert figures["scale_2_cores"] > 0
    assert {"fetch", "decode", "redact", "encode", "chain", "write", "publish", "detect"} <= set(
        figures["stage_us native"]
    )


@pytest.mark.kafka_apache
@pytest.mark.shared
@needs_shared
@pytest.mark.timeout(300)
def test_a_quick_soak_writes_its_lines_and_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kafka: TestBroker
) -> None:
    assert soak.main(["--quick", "--out", str(tmp_path), "--bootstrap", kafka.bootstrap]) == 0
    assert "| rss_mb |" in capsys.readouterr().out
    header, *lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert header == ",".join(soak.Point._fields)
    assert len(lines) >= 3
    last = dict(zip(soak.Point._fields, map(float, lines[-1].split(",")), strict=True))
    assert last["rss_mb"] > 50
    assert last["rows"] > 0
    assert last["tasks"] > 0


FIGURES = {
    "machine": "a machine",
    "rounds": 5,
    "events_per_s_core": 4_000.0,
    "sealed_bytes_an_event": 400.0,
    "catalog_ms_a_segment": 0.1,
    "processes_per_s": {"1": 4_000.0, "2": 7_000.0},
    "processes_us": {"1": 250.0, "2": 280.0},
    "scale_2_cores": 1.75,
}


def test_a_million_events_a_second_follow_from_what_was_measured() -> None:
    found = {need.what: need.amount for need in extrapolate.needs(FIGURES)}
    assert found["cores that ingest"] == "250"
    assert found["input partitions"] == "500"
    assert found["a build of the catalog"] == "50 s"
    assert found["TB sealed a day"] == "34.6"


def test_the_tables_go_between_the_markers_of_the_page(tmp_path: Path) -> None:
    page = extrapolate.PAGE.read_text()
    once = extrapolate.put_into(page, extrapolate.tables(FIGURES))
    assert "| 2 | 7,000 | 280 |" in once
    assert extrapolate.put_into(once, extrapolate.tables(FIGURES)) == once
    assert once.startswith(page.split(extrapolate.BEGIN)[0])
    with pytest.raises(ValueError, match="from make bench"):
        extrapolate.put_into("no markers", "x")
    assert extrapolate.main(["--figures", str(tmp_path / "none.json")]) == 2
