"""`auditfuse erase`, `hold` and `retention` as a person meets them."""

import json
import os
from pathlib import Path

import pytest
from support.audit import sealed_store
from support.erase import settings_in
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.config import Config
from pipeline.errors import ConfigError

TRACE = f"trace={2:032x}"
BY = ("--by", "Ana Diaz", "--reason", "request 4711")


def as_given(_: Config, *texts: str) -> list[str]:
    """The texts, not redacted."""
    return list(texts)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store in its configuration, to run commands in. Reasons are taken as they are: the
    patterns take two seconds to load."""
    monkeypatch.chdir(tmp_path)
    config = settings_in(tmp_path)
    sealed_store(config.store.path)
    monkeypatch.setattr("pipeline.commands.reason.fit_texts", as_given)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(build_app(), list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.usefixtures("in_folder")
def test_first_looked_at_then_done() -> None:
    assert "Would erase 9 rows" in run("erase", "--where", TRACE)
    assert "Nothing was erased" in run("erase", "--list")
    assert "Erased 9 rows" in run("erase", "--where", TRACE, *BY, "--execute")
    listed = run("erase", "--list")
    assert "Ana Diaz" in listed
    assert "[9 rows, 0 payloads]" in listed
    assert json.loads(run("erase", "--where", TRACE, "--json"))["rows"] == 0


@pytest.mark.usefixtures("in_folder")
def test_it_exits_with_1_while_something_is_left() -> None:
    placed = json.loads(run("hold", "place", "--where", TRACE, *BY, "--json"))[0]
    assert "Left by a legal hold: 9 rows" in run("erase", "--where", TRACE, *BY, "--execute", code=1)
    assert placed["hold"] in run("hold", "list")
    run("hold", "lift", placed["hold"], *BY)
    assert "No hold is in force" in run("hold", "list")
    run("erase", "--where", TRACE, *BY, "--execute")


def test_copies_that_were_declared_are_out_of_reach(in_folder: Path) -> None:
    settings_in(in_folder, '[erasure]\nfurther_copies = ["nightly backup: 30 days"]')
    outcome = json.loads(run("erase", "--where", TRACE, *BY, "--execute", "--json", code=1))
    assert outcome["out_of_reach"] == ["nightly backup: 30 days"]


def test_input_topics_in_kafka_are_out_of_reach(in_folder: Path) -> None:
    binding = 'format = "events"\nagents = ["*"]\nenvironments = ["*"]'
    settings_in(in_folder, f'[[sources]]\nname = "in"\nkind = "kafka"\ntopic = "agent-events"\n{binding}')
    outcome = json.loads(run("erase", "--where", TRACE, "--json", code=1))
    assert "Kafka topic agent-events" in outcome["out_of_reach"][0]


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--where", "agent=x", "--execute"], "--by"),
        ([], "--where"),
        (["--where", "person=x"], "KEY=VALUE"),
        (["--where", "agent=x", "--where", "agent=y"], "twice"),
        (["--where", "from=yesterday"], "2026-01-31"),
        (["--where", "agent=x", "--payload-only", "--rows"], "exclude"),
        (["--where", "agent=x", "--resume", "0" * 32], "--list"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run("erase", *arguments)


@pytest.mark.usefixtures("in_folder")
def test_retention_is_planned_and_applied(tmp_path: Path) -> None:
    assert "everything is kept" in run("retention", "plan")
    settings_in(tmp_path, "[[retention]]\ndays = 1")
    assert json.loads(run("retention", "plan", "--json"))[0]["rows"] == 30
    assert json.loads(run("retention", "apply", "--json"))[0]["rows"] == 30
    assert "Nothing is due" in run("retention", "apply")


def test_a_value_comes_from_stdin(in_folder: Path) -> None:
    del in_folder
    result = CliRunner().invoke(
        build_app(),
        ["erase", "--value-file", "-", "--json"],
        input="jane@example.org\n",
        env=dict(os.environ),
    )
    assert result.exit_code == 0
    assert "jane" not in result.output
