"""`auditfuse pseudonym`, rotation of keys, and that both find what redaction wrote."""

import json
import logging
import os
from pathlib import Path

import pytest
import structlog
import typer
from support.policy import shared_engine
from typer.testing import CliRunner

from pipeline.audit.erase.values import needles
from pipeline.commands.pseudonym import pseudonym
from pipeline.errors import ConfigError
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.pseudonym import TOKEN, Pseudonyms, normal_form
from pipeline.redact.redactor import Redactor
from pipeline.redact.rule_checks import known_types
from pipeline.redact.types.secrets import SECRET_ENTITIES

MAIL = "marta.lindqvist@example.org"


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command in a directory with keys k1 and k2, of which k2 makes new pseudonyms."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auditfuse.toml").write_text(
        '[keys]\npath = "keys"\n[redaction]\nnames = "off"\npseudonym_key_id = "k2"\n'
        '[[redaction.deny]]\ntype = "PROJECT"\nvalues = ["Falcon"]\n'
    )
    for key_id in ("k1", "k2"):
        Keys(tmp_path / "keys").get(f"pseudonym-{key_id}")
    app = typer.Typer()
    app.command()(pseudonym)

    def run(*args: str, **kw):
        with shared_engine():
            return CliRunner().invoke(app, list(args), **kw)

    yield run
    # The command set up logs that go to the runner's stream, which is closed.
    structlog.reset_defaults()
    for handler in list(logging.getLogger().handlers):
        if type(handler) is logging.StreamHandler:
            logging.getLogger().removeHandler(handler)


def written(keys: Path, text: str, **rules: object) -> list[str]:
    """The tokens that redaction writes for a text."""
    config = RedactionConfig.model_validate({"names": "off", **rules})
    with shared_engine():
        return TOKEN.findall(Redactor(config, Keys(keys)).redact_text(text).text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MAIL, f"to {MAIL.upper()} now"),
        ("+44 20 7946 0958", "call 020 7946 0958"),
        ("4111-1111-1111-1111", "card 4111 1111 1111 1111"),
        ("536228419", "ssn 536-22-8419"),
        ("Margaret  Hill", '{"customer_name": "margaret hill"}'),
        ("margaret_hill", '{"customer_name": "Margaret Hill", "user": "margaret_hill"}'),
        ("Falcon", "about FALCON"),
    ],
)
def test_every_token_of_a_value_is_told_under_every_key(ask, tmp_path: Path, value: str, text: str) -> None:
    told = ask(value).stdout.split()
    for key_id in ("k1", "k2"):
        rules = {"pseudonym_key_id": key_id, "phone_regions": ("GB",)}
        deny = [{"type": "PROJECT", "values": ["FALCON"]}]
        tokens = written(tmp_path / "keys", text, deny=deny, **rules)
        assert tokens
        assert set(tokens) <= set(told), key_id


def test_one_type_and_stdin(ask) -> None:
    result = ask("-", "--type", "EMAIL_ADDRESS", input=f"{MAIL}\n")
    assert [token[:18] for token in result.stdout.split()] == ["<EMAIL_ADDRESS:k1.", "<EMAIL_ADDRESS:k2."]
    assert MAIL not in result.output


def test_the_asking_is_logged_without_the_value(ask) -> None:
    result = ask("Mia Li", "--type", "PERSON")
    log = json.loads(result.stderr.splitlines()[0])
    assert log["event"] == "pseudonyms looked up"
    assert log["types"] == ["PERSON"]
    assert log["keys"] == ["k1", "k2"]
    assert "Mia" not in result.stderr.splitlines()[0]
    assert "Written as: Mia Li; Mia_Li" in result.stderr
    assert "more ways" in result.stderr


def test_json_has_the_hash_too(ask, tmp_path: Path) -> None:
    document = json.loads(ask(MAIL, "--type", "EMAIL_ADDRESS", "--json").stdout)
    config = RedactionConfig.model_validate(
        {"names": "off", "pseudonym_key_id": "k2", "operators": {"*": "hash"}}
    )
    with shared_engine():
        hashed = Redactor(config, Keys(tmp_path / "keys")).redact_text(MAIL).text
    assert {"type": "EMAIL_ADDRESS", "key": "k2", "hash": hashed}.items() <= document[1].items()
    assert len(ask(MAIL, "--all-types", "--json").stdout) > 10_000


def test_no_key_is_made_by_asking(ask, tmp_path: Path) -> None:
    for file in (tmp_path / "keys").iterdir():
        file.unlink()
    error = ask(MAIL).exception
    assert isinstance(error, ConfigError)
    assert "there is no pseudonym key in keys" in str(error)
    assert list((tmp_path / "keys").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_keys_that_may_not_be_read_are_told(ask, tmp_path: Path) -> None:
    (tmp_path / "keys" / "pseudonym-k1.key").chmod(0)
    assert "cannot be read" in str(ask(MAIL).exception)


def test_keys_open_to_others_are_refused(ask, tmp_path: Path) -> None:
    (tmp_path / "keys" / "pseudonym-k1.key").chmod(0o644)
    assert "chmod 600" in str(ask(MAIL).exception)


@pytest.mark.parametrize("args", [("-",), (" ",), (MAIL, "--type", "MAIL")])
def test_a_question_without_sense_is_refused(ask, args: tuple[str, ...]) -> None:
    assert isinstance(ask(*args, input="\n").exception, ConfigError)


def test_a_new_key_changes_tokens_and_old_ones_pass(tmp_path: Path) -> None:
    first = written(tmp_path, MAIL)
    second = written(tmp_path, MAIL, pseudonym_key_id="k2")
    assert first != second
    assert written(tmp_path, f"{first[0]} {MAIL}", pseudonym_key_id="k2") == [*first, *second]


def test_erasure_looks_for_pseudonyms_and_hashes_under_every_key(tmp_path: Path) -> None:
    tokens = {
        token
        for operator in ("pseudonym", "hash")
        for key_id in ("k1", "k2")
        for token in written(tmp_path, MAIL, operators={"*": operator}, pseudonym_key_id=key_id)
    }
    assert len(tokens) == 4
    assert tokens <= set(needles([MAIL], RedactionConfig(), Keys(tmp_path)).pseudonyms)


@pytest.mark.parametrize(
    ("entity", "one", "other"),
    [
        ("US_SSN", "536-22-8419", "536228419"),
        ("DE_TAX_ID", "86 095 742 719", "86095742719"),
        ("MAC_ADDRESS", "0a:1b:2c:3d:4e:5f", "0A-1B-2C-3D-4E-5F"),
        ("PERSON", "Zoë  HILL", "zoe\u0308 hill"),
        ("DENIED", "Project  Falcon", "project falcon"),
    ],
)
def test_ways_of_writing_one_value_have_one_pseudonym(entity: str, one: str, other: str) -> None:
    keys = Pseudonyms("k1", b"0" * 32, "US")
    assert keys.token(entity, one) == keys.token(entity, other)


def test_secrets_keep_their_signs_and_case() -> None:
    for entity in SECRET_ENTITIES & known_types(RedactionConfig()):
        assert normal_form(entity, "aB-c d", "US") == "aB-c d", entity
