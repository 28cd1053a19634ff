"""Every `make bench-NAME` and `make eval-NAME` works, and its JSON has the keys that it promises."""

import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from support.docs import ROOT
from support.traces import needs_shared

from benchmarks import report
from benchmarks.scoring import Sentence, mask, removed, score

PROMISED = {
    "bench-audit": {
        "append_vs_parquet",
        "append_vs_floor",
        "verify_rows_per_s",
        "verify_rows_per_s_without_columns",
        "sql_verify_rows_per_s",
    },
    "bench-detect": {"signals_per_s", "rss_mb_10k_keys", "rss_mb_100k_keys"},
    "bench-ingest": {"events_per_s", "cpu_s_per_1000_events"},
    "bench-kill": {
        "check_us",
        "fail_closed_late_ms_max",
        "finding_to_last_action_p99_ms",
        "produced_to_page_p99_ms",
        "ofrep_per_s",
        "ofrep_p50_ms",
        "ofrep_p99_ms",
        "trip_to_served_p50_ms",
        "trip_to_served_p99_ms",
    },
    "bench-redact": {
        "events_per_s",
        "ratio_stock_stream",
        "ratio_stock_unique",
        "ratio_tagger_spacy",
        "worst_time_per_byte_growth",
    },
    "eval-detect": {
        "false_pages_per_day",
        "false_trips",
        "found_share",
        "delay_ratio_best_rule",
    },
    "eval-pii": {
        "f2",
        "f2_stock",
        "precision",
        "recall",
        "real_person_recall",
        "real_person_precision",
        "false_leaf_share",
    },
}
QUICK = {"bench-ingest", "eval-detect"}
"""What the short form runs of them."""
NEEDS_SHARED = {"bench-redact", "eval-pii"}


def _named() -> set[str]:
    found = [p for kind in ("bench", "eval") for p in (ROOT / "benchmarks").glob(f"{kind}_*.py")]
    return {path.stem.replace("_", "-") for path in found}


def test_every_measurement_is_tested_here() -> None:
    assert _named() == set(PROMISED)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            n,
            marks=[
                *([pytest.mark.shared, needs_shared] if n in NEEDS_SHARED else []),
                *([] if n in QUICK else [pytest.mark.long]),
            ],
        )
        for n in PROMISED
    ],
)
def test_a_quick_run_prints_a_table_and_writes_its_figures(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    importlib.import_module(f"benchmarks.{name.replace('-', '_')}").main(["--quick", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith(f"### make {name}\n")
    assert "|---|---:|" in printed
    figures = json.loads((tmp_path / f"{name}.json").read_text())
    assert figures["quick"] is True
    assert PROMISED[name] <= figures.keys()
    for key in PROMISED[name]:
        values = figures[key].values() if isinstance(figures[key], dict) else [figures[key]]
        assert values
        assert all(value >= 0 for value in values), key


def test_a_figure_is_a_median_and_a_ratio_one_of_rounds() -> None:
    slow, quick = [report.Cost(9, cpu) for cpu in (2, 8, 30)], [report.Cost(9, cpu) for cpu in (1, 2, 3)]
    assert report.median(slow) == report.Cost(9, 8)
    assert report.ratio(slow, quick) == 4


def test_shared_data_that_is_not_there_is_said_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "SHARED", tmp_path)
    for name in sorted(NEEDS_SHARED):
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(f"benchmarks.{name.replace('-', '_')}").main(
                ["--quick", "--out", str(tmp_path)]
            )
        assert ended.value.code == 2
        assert "is not there" in capsys.readouterr().err


def test_what_was_removed_is_what_recall_counts() -> None:
    text = "Call Ann Lee at 555."
    assert removed(text, "Call <PERSON:k1.3f9a2c7100d4e8b2> at 555.") == [(5, 12, "PERSON")]
    sentence = Sentence(text, [(5, 12, "PERSON"), (16, 19, "PHONE_NUMBER")])
    found = score([sentence], [mask(len(text), [(0, 12, "PERSON")])])
    assert found.recall == {"PERSON": 1.0, "PHONE_NUMBER": 0.0}
    assert found.precision == pytest.approx(6 / 10)
    assert found.recall_all == pytest.approx(6 / 9)


def test_make_help_lists_every_measurement() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in PROMISED:
        assert re.search(rf"^{name} +\S", done.stdout, re.MULTILINE), name


def test_the_page_of_figures_names_every_measurement() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in PROMISED:
        assert f"make {name}" in page
