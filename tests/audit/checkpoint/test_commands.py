"""`auditfuse keys` and `auditfuse checkpoint` as people use them."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer
from support.audit import sealed_store
from support.checkpoint import NAME, cosign, grow, notes, witness
from typer.testing import CliRunner

from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.checkpoint.key import KEY_VARIABLE, signing_keys
from pipeline.audit.checkpoint.note import PublicKey, SignedNote, SigningKey
from pipeline.audit.checkpoint.statement import Checkpoint
from pipeline.audit.merkle import consistent
from pipeline.audit.store import Store
from pipeline.commands import checkpoint, keys, verify
from pipeline.errors import AuditfuseError, ConfigError, StoreError

app = typer.Typer()
app.add_typer(keys.app, name="keys")
app.add_typer(checkpoint.app, name="checkpoint")
app.command("verify")(verify.verify)
WITNESS = str(witness())


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands set the logs up for a process of their own."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    (tmp_path / "auditfuse.toml").write_text('data_dir = "data"\n')
    return sealed_store(tmp_path / "data" / "store")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, AuditfuseError):
        raise result.exception
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_is_made_where_it_is_looked_for(store: Store, tmp_path: Path):
    printed = run("keys", "new", NAME).strip()
    private = tmp_path / "data" / "keys" / "checkpoint.key"
    public = private.with_suffix(".pub")
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644
    assert public.read_text().strip() == printed == str(SigningKey.parse(private.read_text()).public)
    assert run("keys", "show").strip() == printed
    assert json.loads(run("keys", "show", "--json")) == [
        {"name": NAME, "id": PublicKey.parse(printed).key_id.hex(), "key": printed, "signs": True}
    ]
    assert json.loads(run("checkpoint", "now", "--json"))["origin"] == NAME


def test_no_key_is_overwritten(store: Store, tmp_path: Path):
    run("keys", "new", NAME)
    before = (tmp_path / "data" / "keys" / "checkpoint.key").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        run("keys", "new", NAME)
    assert (tmp_path / "data" / "keys" / "checkpoint.key").read_bytes() == before


@pytest.mark.parametrize("out", ["data/store/my.key", "data/store/segments/../x.key"])
def test_no_key_is_made_in_the_store(store: Store, out: str):
    with pytest.raises(ConfigError, match="within the store"):
        run("keys", "new", NAME, "--out", out)


@pytest.mark.parametrize("name", ["two words", "a+b", ""])
def test_a_name_that_no_key_may_have(store: Store, name: str):
    with pytest.raises(AuditfuseError, match="one word"):
        run("keys", "new", name)


def test_there_is_no_key_to_show_yet(store: Store):
    with pytest.raises(ConfigError, match="auditfuse keys new"):
        run("keys", "show")


def test_without_set_up_a_key_is_made_with_a_name_of_its_own(tmp_path: Path):
    [key] = signing_keys(CheckpointConfig(), tmp_path / "keys", None)
    assert key.name.startswith("auditfuse/")
    assert signing_keys(CheckpointConfig(), tmp_path / "keys", key.name) == [key]
    assert (tmp_path / "keys" / "checkpoint.pub").read_text() == f"{key.public}\n"


def test_a_host_without_the_logs_key_makes_none(tmp_path: Path):
    with pytest.raises(ConfigError, match="copy the key file"):
        signing_keys(CheckpointConfig(), tmp_path / "keys", NAME)
    assert not (tmp_path / "keys").exists()


def test_a_key_of_another_log_does_not_sign(tmp_path: Path):
    signing_keys(CheckpointConfig(), tmp_path / "keys", None)
    with pytest.raises(ConfigError, match="is not of the log"):
        signing_keys(CheckpointConfig(), tmp_path / "keys", NAME)


def test_a_key_from_the_environment_takes_the_place_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = SigningKey(NAME, bytes(range(100, 132)))
    monkeypatch.setenv(KEY_VARIABLE, key.encode())
    assert signing_keys(CheckpointConfig(), tmp_path / "keys", None) == [key]
    monkeypatch.setenv(KEY_VARIABLE, key.encode()[:-4] + "AAAA")
    with pytest.raises(ConfigError) as refused:
        signing_keys(CheckpointConfig(), tmp_path / "keys", None)
    assert KEY_VARIABLE in str(refused.value)
    assert key.encode()[-40:-4] not in str(refused.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    signing_keys(CheckpointConfig(), tmp_path / "keys", None)
    (tmp_path / "keys" / "checkpoint.key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        signing_keys(CheckpointConfig(), tmp_path / "keys", None)


# --- checkpoint ---------------------------------------------------------------------------------------------


def test_checkpoints_are_made_listed_and_shown(store: Store, tmp_path: Path):
    assert "There is no checkpoint yet" in run("checkpoint", "list")
    first = json.loads(run("checkpoint", "now", "--json"))
    assert (first["size"], first["leaves"], first["anchors"]) == (5, 5, {})
    grow(store)
    assert "2 log entries were added" in run("checkpoint", "now")
    assert "Nothing was logged since" in run("checkpoint", "now")
    listed = json.loads(run("checkpoint", "list", "--json"))
    assert [one["size"] for one in listed] == [5, 7]
    assert [one["file"] for one in listed] == [note.name for note in notes(store.cache_dir)]
    assert len(run("checkpoint", "list").splitlines()) == 2
    assert run("checkpoint", "show").encode() == notes(store.cache_dir)[1].read_bytes()
    assert run("checkpoint", "show", "5").encode() == notes(store.cache_dir)[0].read_bytes()
    with pytest.raises(StoreError, match="no checkpoint of 6"):
        run("checkpoint", "show", "6")


def test_nothing_is_signed_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="no store"):
        run("checkpoint", "now")
    assert not (tmp_path / "auditfuse-data" / "store").exists()


def test_an_anchor_that_does_not_take_it_is_exit_code_1(store: Store, tmp_path: Path):
    (tmp_path / "auditfuse.toml").write_text(
        'data_dir = "data"\n[[checkpoint.anchors]]\nname = "disk"\nkind = "directory"\npath = "far"\n'
        '[[checkpoint.anchors]]\nname = "web"\nkind = "http"\nurl = "http://127.0.0.1:9/"\n'
    )
    document = json.loads(run("checkpoint", "now", "--json", code=1))
    assert document["anchors"]["disk"] is None
    assert "no answer" in document["anchors"]["web"]
    assert len(list((tmp_path / "far").iterdir())) == 1
    assert "anchored up to: " not in run("verify", "--anchor", "far")
    assert run("verify", "--anchor", "far").count("not checked") == 0
    assert run("verify").count("not checked") == 0, "the configured anchors are not read"


def test_consistency_is_proven_to_who_has_only_the_notes(store: Store, tmp_path: Path):
    run("checkpoint", "now")
    old = run("checkpoint", "show")
    (tmp_path / "kept.note").write_text(old)
    grow(store, 3)
    run("checkpoint", "now")
    proof = json.loads(run("checkpoint", "consistency", "kept.note", "11"))
    assert proof == json.loads(run("checkpoint", "consistency", "5", "11"))
    first, second = (Checkpoint.parse(proof[name].encode()).statement for name in ("old", "new"))
    path = [base64.b64decode(node) for node in proof["path"]]
    assert consistent(first.size, first.root, second.size, second.root, path)
    (tmp_path / "fork.note").write_text(
        old.replace(old.splitlines()[2], base64.b64encode(bytes(32)).decode())
    )
    assert not json.loads(run("checkpoint", "consistency", "fork.note", "11", code=1))["consistent"]
    with pytest.raises(ConfigError, match="not earlier"):
        run("checkpoint", "consistency", "11", "5")
    with pytest.raises(ConfigError, match="cannot be read"):
        run("checkpoint", "consistency", "missing.note", "11")


def test_a_witness_signature_is_kept_beside_the_note(store: Store, tmp_path: Path):
    run("checkpoint", "now")
    own = SignedNote.parse(run("checkpoint", "show").encode())
    cosigned = own.with_signatures([cosign(own.text, 1_767_300_000)])
    (tmp_path / "back.note").write_bytes(cosigned.encode())
    name = run("checkpoint", "add-signature", "back.note", "--witness", WITNESS).strip()
    assert (store.cache_dir / "checkpoints" / name).read_bytes() == cosigned.encode()
    assert run("checkpoint", "show").encode() == cosigned.encode()
    assert f"signed by {witness().label}, seen" in run(
        "verify", "--key", WITNESS, "--key", run("keys", "show")
    )
    with pytest.raises(ConfigError, match="no signature that the store does not have"):
        run("checkpoint", "add-signature", "back.note")


def test_a_signature_that_does_not_hold_is_not_kept(store: Store, tmp_path: Path):
    run("checkpoint", "now")
    own = SignedNote.parse(run("checkpoint", "show").encode())
    wrong = own.with_signatures([cosign("another text\n", 1)])
    (tmp_path / "back.note").write_bytes(wrong.encode())
    with pytest.raises(ConfigError, match="is not over this text"):
        run("checkpoint", "add-signature", "back.note", "--witness", WITNESS)
    (tmp_path / "back.note").write_bytes(own.encode())
    with pytest.raises(ConfigError, match="not signed by a witness that was named"):
        run("checkpoint", "add-signature", "back.note", "--witness", WITNESS)
    assert len(notes(store.cache_dir)) == 1


def test_keys_that_signed_earlier_stay_trusted(store: Store, tmp_path: Path):
    """Rotation, step by step as the documentation says."""
    old = run("keys", "new", NAME).strip()
    run("checkpoint", "now")
    new = run("keys", "new", NAME, "--out", "keys/2027.key").strip()
    grow(store)
    for section in (
        'keys = ["data/keys/checkpoint.key", "keys/2027.key"]',
        f'keys = ["keys/2027.key"]\ntrusted = ["{old}"]',
    ):
        (tmp_path / "auditfuse.toml").write_text(f'data_dir = "data"\n[checkpoint]\n{section}\n')
        grow(store)
        run("checkpoint", "now")
        assert "holds        checkpoints signed and consistent" in run("verify")
    assert run("keys", "show").split() == [new, old]
    (tmp_path / "auditfuse.toml").write_text('data_dir = "data"\n[checkpoint]\nkeys = ["keys/2027.key"]\n')
    assert "no trusted key has signed it" in run("verify", code=1)
