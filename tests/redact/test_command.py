"""`auditfuse redact` as a filter."""

import json
from pathlib import Path

import pytest
import typer
from support.policy import shared_engine
from typer.testing import CliRunner

from pipeline.commands.redact import redact
from pipeline.redact.stream import blocks

MAIL = "marta.lindqvist" + "@example.org"
CONFIG = """
[[redaction.overrides]]
agents = ["billing/*"]
sources = ["orders"]
operators = { EMAIL_ADDRESS = "drop" }
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDITFUSE_REDACTION__NAMES", "off")
    app = typer.Typer()
    app.command()(redact)

    def invoke(*args: str, **kw):
        with shared_engine():
            return CliRunner().invoke(app, list(args), **kw)

    return invoke


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
    assert result.stderr == "4 lines, 2 values redacted; EMAIL_ADDRESS 2\n"


def test_stdin_and_explain_show_no_clear_value(run) -> None:
    text = f'write to {MAIL}\n{{"password": "hunter2", "note": "ssn 536-22-8419"}}\nbank account 945456787\n'
    result = run("--explain", input=text)
    for value in (MAIL, "hunter2", "536-22-8419", "945456787"):
        assert value not in result.output
    lines = result.stderr.splitlines()
    assert lines[0].startswith("line 1: EMAIL_ADDRESS at 9-")
    assert "validated" in lines[0]
    assert lines[1].startswith("line 2: PASSWORD at 0-7")
    assert "key says so" in lines[1]
    assert any("US_BANK_NUMBER" in line and "context 'account', 'bank'" in line for line in lines)


def test_values_are_shown_only_on_request(run) -> None:
    assert run("--explain", "--show-values", input=MAIL).stderr.count(MAIL) == 1
    assert "add --explain" in str(run("--show-values", input=MAIL).exception)


def test_names_found_elsewhere_are_explained(run) -> None:
    result = run("--explain", input='{"first_name": "Margaret", "note": "Margaret called"}\n')
    assert "Margaret" not in result.output
    assert "line 1: PERSON" in result.stderr


def test_json_counts_by_type(run) -> None:
    document = json.loads(run("--json", input=f"{MAIL}\n{MAIL} and 536-22-8419\n").stdout)
    assert document["redactions"] == {"EMAIL_ADDRESS": 2, "US_SSN": 1}
    assert len(document["lines"]) == 2


def test_json_with_findings(run) -> None:
    document = json.loads(run("--json", "--explain", input=f"plain\n{MAIL}\n").stdout)
    assert document["lines"][0] == {"text": "plain\n", "findings": []}
    (finding,) = document["lines"][1]["findings"]
    assert finding["type"] == "EMAIL_ADDRESS"
    assert "value" not in finding
    assert json.loads(run("--json", input="").stdout) == {"lines": [], "redactions": {}}


def test_the_difference_is_plain_where_no_terminal_is(run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(f"same\nto {MAIL} [bold]\n")
    lines = run("--diff", "in.txt").stdout.splitlines()
    assert lines[0] == "@@ in.txt:2 @@"
    assert lines[1] == f"-to {MAIL} [bold]"
    assert lines[2].startswith("+to <EMAIL_ADDRESS:k1.")
    assert len(lines) == 3


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_the_difference_is_coloured_for_a_terminal(run, monkeypatch, no_color, coloured: bool) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[31m" in run("--diff", input=f"to {MAIL}\n").stdout) == coloured


def test_the_policy_of_an_agent_can_be_tried(run, tmp_path: Path) -> None:
    (tmp_path / "auditfuse.toml").write_text(CONFIG)
    assert run("--policy-for", "billing/x@orders", input=f"to {MAIL}!").stdout == "to !"
    assert "<EMAIL_ADDRESS:" in run("--policy-for", "billing/x@other", input=MAIL).stdout
    assert "<EMAIL_ADDRESS:" in run(input=MAIL).stdout


def test_names_can_be_switched_for_a_run(run) -> None:
    assert run("--names", "off", input="x").exit_code == 0
    assert "'off'" in str(run("--names", "nobody", input="x").exception)


def test_what_would_not_fit_its_budget_exits_with_1(run, tmp_path: Path) -> None:
    (tmp_path / "auditfuse.toml").write_text("[redaction]\nmax_value_bytes = 1024\nmax_event_bytes = 1024\n")
    result = run(input="a b " * 400 + "\n" + "long" * 2000 + "\nshort\n")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "<REDACTION_CUT:" in lines[0]
    assert lines[1:] == ["<REDACTION_FAILED:too_large:8001>", "short"]


def test_a_line_of_any_length_is_read_in_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x" * 100_000 + "\nnext\n" + "y" * 50)
    found = list(blocks([tmp_path / "in.txt"], 40))
    assert [(b.line, b.text, b.withheld) for b in found] == [
        (1, "<REDACTION_FAILED:too_large:100001>\n", True),
        (2, "next\n", False),
        (3, "<REDACTION_FAILED:too_large:50>", True),
    ]


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
