"""`auditfuse redact` as a filter."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.commands.redact import redact

MAIL = "marta.lindqvist" + "@example.org"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDITFUSE_REDACTION__NAMES", "off")
    app = typer.Typer()
    app.command()(redact)
    return lambda *args, **kw: CliRunner().invoke(app, list(args), **kw)


def test_text_and_ndjson_keep_their_lines_and_numbers(run, tmp_path: Path) -> None:
    lines = f'write to {MAIL}\n\n{{"amount": 129.50, "mail": "{MAIL}"}}\nlast line'
    (tmp_path / "in.txt").write_text(lines)
    result = run("in.txt")
    assert result.exit_code == 0, result.output
    out = result.stdout.split("\n")
    assert out[0].startswith("write to <EMAIL_ADDRESS:k1.")
    assert out[1] == ""
    assert out[2].startswith('{"amount": 129.50, "mail": "<EMAIL_ADDRESS:k1.')
    assert out[3] == "last line"


def test_stdin_and_explain_show_no_clear_value(run) -> None:
    result = run("--explain", input=f"write to {MAIL}\n")
    assert MAIL not in result.output
    assert "EMAIL_ADDRESS at 9-" in result.stderr


def test_json_counts_by_type(run) -> None:
    document = json.loads(run("--json", input=f"{MAIL}\n{MAIL} and 536-22-8419\n").stdout)
    assert document["redactions"] == {"EMAIL_ADDRESS": 2, "US_SSN": 1}
    assert len(document["lines"]) == 2


def test_a_private_key_over_many_lines_goes_as_a_whole(run) -> None:
    block = (
        "-----BEGIN RSA "
        + "PRIVATE KEY-----\n"
        + ("Qk9" * 20 + "\n") * 3
        + "-----END RSA "
        + "PRIVATE KEY-----"
    )
    result = run(input=f"key:\n{block}\nend\n")
    assert "Qk9" not in result.stdout
    assert result.stdout.startswith("key:\n<PRIVATE_KEY:k1.")
    assert result.stdout.endswith("\nend\n")


def test_a_missing_file_is_named(run) -> None:
    result = run("nowhere.txt")
    assert "nowhere.txt" in str(result.exception)
