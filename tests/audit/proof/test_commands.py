"""`prove`, `verify --proof` and `export` as people run them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.audit import TOPIC_ID, sealed_store
from support.erase import settings_in, store_of
from support.proof import KEY, OTHER_KEY, checkpoint_now

from pipeline.cli import run as run_command

TRACE = f"{2:032x}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, its store `store`, a checkpoint, and the public key in `trail.pub`."""
    folder = tmp_path_factory.mktemp("folder")
    store = store_of(settings_in(folder))
    sealed_store(store.cache_dir, segments=4, rows=6)
    checkpoint_now(store)
    (folder / "trail.pub").write_text(f"{KEY.public}\n")
    (folder / "other.pub").write_text(f"{OTHER_KEY.public}\n")
    return folder


class Done(NamedTuple):
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def auditfuse(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the program in the folder, in this process: a process each would take most of the time to start."""

    def run(*arguments: str, code: int = 0) -> Done:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["auditfuse", *arguments])
        capfd.readouterr()
        done = Done(run_command(), *capfd.readouterr())
        assert done.returncode == code, done
        return done

    return run


def test_a_proof_is_made_and_checked(auditfuse: Run):
    made = auditfuse("prove", TRACE, "--out", "proof.json")
    assert made.stdout == "" and "verify --proof proof.json" in made.stderr
    checked = auditfuse("verify", "--proof", "proof.json", "--key", "trail.pub")
    assert checked.stdout.splitlines()[-1] == "The proof holds."
    assert f"proved: {TOPIC_ID}/0 offset 12 item 0\n" in checked.stdout
    report = json.loads(
        auditfuse("verify", "--proof", "proof.json", "--key", str(KEY.public), "--json").stdout
    )
    assert report["holds"] and len(report["rows"]) == 9 and report["faults"] == []


def test_a_proof_on_standard_output_without_payloads(folder: Path, auditfuse: Run):
    made = auditfuse("prove", f"{TOPIC_ID}/0/12", "--without-payload")
    (folder / "withheld.json").write_text(made.stdout)
    checked = auditfuse("verify", "--proof", "withheld.json", "--key", "trail.pub")
    assert "withheld or erased" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("prove", "f" * 32), 1, "no row of"),
        (("verify", "--proof", "proof.json"), 2, "--key"),
        (("verify", "--proof", "nowhere.json", "--key", "trail.pub"), 2, "nowhere.json"),
        (("verify", "--proof", "trail.pub", "--key", "trail.pub"), 1, "not a proof"),
        (("verify", "--proof", "proof.json", "--key", "other.pub"), 1, "is not signed by"),
        (("export", "--from", "today", "--to", "2027-01-01", "out"), 2, "is no time"),
        (("export", "--from", "2027-01-02", "--to", "2027-01-01", "out"), 2, "not before"),
        (("export", "--from", "1999-01-01", "--to", "1999-01-02", "--key", "trail.pub", "out"), 1, "no row"),
        (
            ("export", "--from", "2026-01-01", "--to", "2027-01-01", "--key", "other.pub", "out"),
            2,
            "not signed",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said(
    folder: Path, auditfuse: Run, arguments: tuple[str, ...], code: int, message: str
):
    auditfuse("prove", f"{TOPIC_ID}/0/12", "--out", "proof.json")
    done = auditfuse(*arguments, code=code)
    assert done.stdout == ""
    assert message in done.stderr
    assert not (folder / "out").exists()


def test_a_changed_proof_exits_with_1_and_says_what(folder: Path, auditfuse: Run):
    made = auditfuse("prove", TRACE).stdout
    assert "paid" in made
    (folder / "changed.json").write_text(made.replace("paid", "void", 1))
    done = auditfuse("verify", "--proof", "changed.json", "--key", "trail.pub", code=1)
    assert f"NOT proved: {TOPIC_ID}/0 offset 10 item 0: it is not the row that was sealed here" in done.stdout
    assert done.stdout.splitlines()[-1] == "The proof does NOT hold."


def test_an_export_says_what_it_holds(folder: Path, auditfuse: Run):
    day = ("--from", "2026-01-01", "--to", "2026-01-01T01:00+00:00", "--key", "trail.pub")
    done = auditfuse("export", *day, "--json", "out")
    manifest = json.loads(done.stdout)
    assert manifest["rows"] == 26 and manifest["origin"] == "trail.example"
    checked = subprocess.run(
        [sys.executable, "-I", "verify_export.py", str(KEY.public)],
        cwd=folder / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0 and "26 rows are proved, 0 faults." in checked.stdout
    readme = (folder / "out" / "README.md").read_text()
    assert "2026-01-01T00:00:00.000Z up to, not including, 2026-01-01T01:00:00.000Z" in readme
    assert str(KEY.public) in readme and "$" not in readme
    again = auditfuse("export", *day, "out", code=2)
    assert "not an empty folder" in again.stderr
    spoken = auditfuse("export", *day, "--agent", "invoice-agent", "--without-payload", "agent")
    assert spoken.stdout.startswith("24 rows (0 erased) of 5 segments are in agent, under checkpoint")
