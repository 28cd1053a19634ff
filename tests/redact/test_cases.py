"""The policy test: what holds, what does not, and where; a malformed file is named by its line."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer
from support.policy import shared_engine
from typer.testing import CliRunner

from pipeline.commands.redact import redact
from pipeline.errors import ConfigError
from pipeline.redact.config import RedactionConfig

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "redaction-cases.example.yaml"

HOLDS = """
- text: Call +44 20 7946 0958 about order 1188
  must_go: ["+44 20 7946 0958"]
  must_stay: [Call, 1188]
  types: {"+44 20 7946 0958": PHONE_NUMBER}
- json: {customer: {mail: ana@example.org, since: 2020-01-31}, nested: '{"mail": "bo@example.org"}'}
  must_go: [ana@example.org, bo@example.org]
  must_stay: [customer, 2020-01-31]
- text: ana@example.org failed
  field: status_message
  must_go: [ana@example.org]
- {text: ana@example.org, field: end_user, types: {ana@example.org: EMAIL_ADDRESS}}
- {text: ana@example.org, field: customer.e-mail, agent: billing/x, must_stay: [ana@example.org]}
- {text: ana@example.org, source: legal, types: {ana@example.org: EMAIL_ADDRESS}}
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `auditfuse redact --check` on a text: (exit code, output)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auditfuse.toml").write_text(
        '[redaction]\nnames = "off"\n'
        '[[redaction.overrides]]\nagents = ["billing/*"]\noperators = { EMAIL_ADDRESS = "keep" }\n'
        '[[redaction.overrides]]\nsources = ["legal"]\noperators = { "*" = "replace" }\n'
    )
    app = typer.Typer()
    app.command()(redact)

    def run(text: str, *options: str):
        (tmp_path / "cases.yaml").write_text(text)
        with shared_engine():
            return CliRunner().invoke(app, ["--check", "cases.yaml", *options])

    return run


def test_cases_that_hold(check) -> None:
    result = check(HOLDS)
    assert result.exit_code == 0, result.output
    assert result.stdout == "6 of 6 cases hold.\n"


def test_the_example_holds(check) -> None:
    result = check(EXAMPLE.read_text())
    assert result.exit_code == 0, result.output


def test_what_the_page_says_loads_and_holds(check) -> None:
    page = (DOCS / "redaction.md").read_text()
    cases = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    policy = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert cases and policy
    result = check(cases[1])
    assert result.exit_code == 0, result.output
    config = RedactionConfig.model_validate(tomllib.loads(policy[1])["redaction"])
    assert config.overrides and config.deny and config.fields


def test_cases_that_do_not_hold_are_told_by_line(check) -> None:
    text = """
- text: ana@example.org is 47
  name: the wrong way round
  must_go: [47]
  must_stay: [ana@example.org]
  types: {ana@example.org: PHONE_NUMBER, 47: US_SSN}

- {text: fine, must_stay: [fine]}
"""
    result = check(text)
    assert result.exit_code == 1
    for told in ("cases.yaml:2", "1 the wrong way round", "must go, and stays: 47", "1 of 2 cases hold"):
        assert told in result.stdout
    document = json.loads(check(text, "--json").stdout)
    assert document["cases"] == 2
    assert [(f["number"], f["line"], f["what"]) for f in document["failures"]] == [
        (1, 2, "must go, and stays: 47"),
        (1, 2, "must stay, and goes: ana@example.org"),
        (1, 2, "must be PHONE_NUMBER, and is EMAIL_ADDRESS: ana@example.org"),
        (1, 2, "must be US_SSN, and is not redacted: 47"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- text: [", "line 1: not YAML"),
        ("- text: a\n- text: 'b", "line 2: not YAML"),
        ("text: a", "write a list of cases"),
        ("", "write a list of cases"),
        ("[]", "holds 0 cases"),
        ("- text: a b", "line 1, case 1: a case says what must_go"),
        ("- text: a b\n  must_stay: [a]\n- must_go: [x]", "line 3, case 2: a case has either text or json"),
        ("- {text: a, json: {}, must_go: [a]}", "either text or json"),
        ("- {text: a, must_go: [b]}", "'b' is not in the case's own text"),
        ("- {text: a, must_go: [a], mustgo: [a]}", "mustgo: there is no such key"),
        ("- {text: a, must_go: [a], field: http_status}", "field http_status is never redacted"),
        ("- {json: {a: b}, must_go: [b], field: target}", "field target holds a text"),
        ("- &x {text: a, must_go: [a]}\n- *x", "line 2: write it out"),
        ("- !!python/object/apply:os.system ['true']", "not YAML"),
        ("- " + "[" * 5000, "line 1: nested too deeply"),
        ("- just a text", "line 1, case 1"),
    ],
)
def test_a_malformed_file_is_a_usage_error(check, text: str, told: str) -> None:
    error = check(text).exception
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    assert "cases.yaml" in str(error)
    assert told in str(error)


def test_check_goes_with_no_files(check) -> None:
    assert "--check takes its texts" in str(check("", "notes.txt").exception)


def test_a_warning_about_the_rules_is_given_once(check, tmp_path: Path) -> None:
    with (tmp_path / "auditfuse.toml").open("a") as config:
        config.write('[[redaction.overrides]]\nagents = ["lab/*"]\noperators = { PASSWORD = "keep" }\n')
    result = check("- {text: fine, must_stay: [fine]}")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("WARNING") == 1
    assert "operators.PASSWORD: a secret is kept" in result.stderr
