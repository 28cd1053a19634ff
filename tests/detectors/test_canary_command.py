"""`auditfuse canary`: the verdict over the store, its exit codes and its JSON."""

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from support.audit import START_MS, claim, event_row
from typer.testing import CliRunner

from pipeline.audit.store import Store
from pipeline.commands.canary import canary
from pipeline.errors import ConfigError
from schemas.record import Row

HOURS = 8
EVENTS = 6_000


def run(root: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(canary)
    return CliRunner().invoke(app, ["--store", str(root), *arguments])


def rows(failing: int) -> list[Row]:
    """Every eighth event is the canary's; one in fifty of the stable version fails, one in `failing` of
    the canary. Each is a trace of its own."""
    step_ns = HOURS * 3600 * 1_000_000_000 // EVENTS
    out: list[Row] = []
    for i in range(EVENTS):
        on_trial = i % 8 == 0
        failed = (i // 8) % failing == 0 if on_trial else i % 50 == 1
        out.append(
            event_row(
                i,
                agent_id="refund-agent",
                agent_version="2.1" if on_trial else "2.0",
                trace_id=f"{i + 1:032x}",
                start_time_unix_nano=START_MS * 1_000_000 + i * step_ns - HOURS * 3600 * 1_000_000_000,
                outcome="error" if failed else "ok",
            )
        )
    return out


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store whose canary fails every third time, and one whose canary fails like the stable version."""
    made: dict[str, Path] = {}
    for name, failing in (("worse", 3), ("fine", 50)):
        root = tmp_path_factory.mktemp(name)
        writer = claim(Store(root))
        writer.seal(rows(failing), EVENTS)
        made[name] = root
    return made


def test_a_worse_canary_is_exit_code_1(stores: dict[str, Path]) -> None:
    result = run(stores["worse"], "refund-agent", "--canary", "2.1", "--json")
    report = json.loads(result.output)
    assert (result.exit_code, report["verdict"], report["environment"]) == (1, "worse", "production")
    failed = next(one for one in report["compared"] if one["measure"] == "failed")
    assert failed["traces"] <= EVENTS / 8
    assert failed["hits"] / failed["traces"] == pytest.approx(1 / 3, abs=0.02)
    assert failed["log10_e_worse"] >= report["needed_log10_e"] == 3.0


def test_a_good_canary_is_exit_code_0(stores: dict[str, Path]) -> None:
    result = run(stores["fine"], "refund-agent", "--canary", "2.1", "--stable", "2.0")
    assert result.exit_code == 0, result.output
    assert "NOT WORSE since 2025-12-31" in result.output


def test_too_little_seen_is_exit_code_3(stores: dict[str, Path]) -> None:
    result = run(stores["worse"], "refund-agent", "--canary", "2.1", "--since", "2025-12-31T23:58")
    assert (result.exit_code, "NOT YET" in result.output) == (3, True)


def test_an_unknown_version_is_said_to_be_unknown(stores: dict[str, Path]) -> None:
    result = run(stores["fine"], "refund-agent", "--canary", "9.9")
    assert isinstance(result.exception, ConfigError)
    assert "no events of agent refund-agent with version 9.9" in str(result.exception)
