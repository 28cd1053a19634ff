"""What verification says of checkpoints and anchors, one known attack a case."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.audit import START_MS, TOPIC_ID, sealed_store
from support.checkpoint import KEY, NAME, OTHER_KEY, Clock, Host, cosign, grow, notes, witness

from pipeline.audit.checkpoint.note import PublicKey, SigningKey
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.audit.verify.anchors import ANCHORED, read_anchors, split_notes
from pipeline.audit.verify.checkpoints import CheckpointOutcome, check_checkpoints
from pipeline.audit.verify.covered import SIGNED
from pipeline.errors import ConfigError

KEYS = [KEY.public]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with three checkpoints and one entry since."""
    store = sealed_store(tmp_path / "store", partitions=2)
    clock = Clock(START_MS + 60_000)
    host = Host(tmp_path / "host", store, now_ms=clock)
    for _ in range(3):
        host.sequencer.run_once()
        clock.advance_s(60)
        grow(store)
    return tmp_path / "store"


@pytest.fixture
def anchors(root: Path) -> list[bytes]:
    """The checkpoints as they were kept elsewhere."""
    return [note.read_bytes() for note in notes(root)]


def judge(
    root: Path, anchors: list[bytes] | None = None, keys: list[PublicKey] | None = None
) -> CheckpointOutcome:
    return check_checkpoints(Store(root), KEYS if keys is None else keys, anchors or [])


def failed(outcome: CheckpointOutcome) -> set[str]:
    return {fault.verdict for fault in outcome.faults}


def test_a_store_with_checkpoints_holds(root: Path, anchors: list[bytes]):
    outcome = judge(root, anchors)
    assert (outcome.faults, outcome.notes, outcome.unchecked) == ([], [], {})
    signed, by = outcome.details[SIGNED]
    assert signed.startswith(f"13 log entries up to 2026-01-01 00:03:00 UTC, as {NAME}; open: 2 entries from")
    assert f"({TOPIC_ID}/0: 2)" in signed
    assert by == f"signed by {KEY.public.label}"
    assert outcome.details[ANCHORED][0].startswith("13 log entries up to 2026-01-01 00:03:00 UTC; open: 2")


def test_an_older_anchor_says_what_is_open(root: Path, anchors: list[bytes]):
    [line] = judge(root, anchors[:1]).details[ANCHORED]
    assert line.startswith("9 log entries")
    assert (
        f"open: 6 entries from 2026-01-01 00:00:00 UTC to 2026-01-01 00:00:00 UTC ({TOPIC_ID}/0: 6)" in line
    )


def test_without_keys_and_anchors_that_is_said(root: Path, anchors: list[bytes]):
    outcome = judge(root, [], [])
    assert outcome.faults == []
    assert "no public key was given" in outcome.unchecked[SIGNED]
    assert "no checkpoint from outside" in outcome.unchecked[ANCHORED]
    assert "no public key was given" in judge(root, anchors, []).unchecked[ANCHORED]


def test_a_store_without_checkpoints_is_not_checked(tmp_path: Path, anchors: list[bytes]):
    store = sealed_store(tmp_path / "bare")
    assert "there is no checkpoint" in judge(store.cache_dir).unchecked[SIGNED]
    assert failed(judge(store.cache_dir, anchors)) == {ANCHORED}


def test_a_witness_is_named(root: Path):
    newest = Checkpoint.parse(notes(root)[-1].read_bytes())
    more = newest.note.with_signatures([cosign(newest.note.text, 1_767_300_000)])
    cosigned = Checkpoint(more, newest.statement)
    (root / FOLDER / cosigned.cosigned_file_name).write_bytes(more.encode())
    outcome = judge(root, keys=[*KEYS, witness()])
    assert outcome.faults == []
    assert f"signed by {witness().label}, seen 2026-01-01 20:40:00 UTC" in outcome.details[SIGNED]


# --- attacks on the store -----------------------------------------------------------------------------------


def _log(root: Path, topic_id: str = TOPIC_ID) -> list[Path]:
    return sorted((root / "log" / topic_id / "0").glob("*.json"))


def _rewrite(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.chmod(0o640)
    path.write_bytes(content.replace(old, new, 1))


def _edit_entry(root: Path) -> None:
    _rewrite(_log(root)[1], b'"rows":10', b'"rows":11')


def _drop_entry(root: Path) -> None:
    _log(root)[2].unlink()


def _swap_entries(root: Path) -> None:
    first, second = _log(root)[1:3]
    one, other = first.read_bytes(), second.read_bytes()
    for path, content in ((first, other), (second, one)):
        path.chmod(0o640)
        path.write_bytes(content)


def _edit_leaf(root: Path) -> None:
    batch = _log(root, CHECKPOINT)[1]
    content = batch.read_bytes()
    at = content.index(b'"hashes":["') + 11
    batch.chmod(0o640)
    batch.write_bytes(content[:at] + (b"0" if content[at : at + 1] != b"0" else b"1") + content[at + 1 :])


def _leaf_that_is_no_hash(root: Path) -> None:
    batch = _log(root, CHECKPOINT)[1]
    content = batch.read_bytes()
    at = content.index(b'"hashes":["') + 11
    batch.chmod(0o640)
    batch.write_bytes(content[:at] + b"x" + content[at + 1 :])


def _edit_root(root: Path) -> None:
    batch = _log(root, CHECKPOINT)[-1]
    content = batch.read_bytes()
    _rewrite(
        batch,
        content[-20:],
        bytes(48 + (byte - 47) % 10 if 48 <= byte < 58 else byte for byte in content[-20:]),
    )


def _batch_by_another(root: Path) -> None:
    batch = _log(root, CHECKPOINT)[-1]
    at = batch.read_bytes().index(b'"writer":"') + 10
    content = batch.read_bytes()
    batch.chmod(0o640)
    batch.write_bytes(content[:at] + b"f" * 32 + content[at + 32 :])


def _garbled_batch(root: Path) -> None:
    batch = _log(root, CHECKPOINT)[-1]
    batch.chmod(0o640)
    batch.write_bytes(b"{}")


def _edit_note(root: Path) -> None:
    _rewrite(notes(root)[1], b"\n11\n", b"\n14\n")


def _bend_signature(root: Path) -> None:
    note = notes(root)[0]
    content = note.read_bytes()
    _rewrite(note, content[-20:-10], content[-20:-10].swapcase())


def _replay_under_another_name(root: Path) -> None:
    first, last = notes(root)[0], notes(root)[-1]
    last.chmod(0o640)
    last.write_bytes(first.read_bytes())


def _note_of_a_fork(root: Path) -> None:
    last = notes(root)[-1]
    shutil.copy(last, last.with_name(last.name.replace("-", "-0", 1)[:37] + ".note"))


def _sign_with_a_new_key(root: Path) -> None:
    for note in notes(root):
        forged = SigningKey(NAME, bytes(32)).sign(Checkpoint.parse(note.read_bytes()).note.text)
        text = Checkpoint.parse(note.read_bytes()).note.text
        note.chmod(0o640)
        note.write_bytes(f"{text}\n{forged}\n".encode())


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (_edit_entry, "entry 1 is changed since the checkpoint of 9 entries"),
        (_drop_entry, "entry 2 is missing since the checkpoint of 9 entries"),
        (_swap_entries, "entries 1 to 2 are changed"),
        (_edit_leaf, "states another size or root than its leaves give"),
        (_leaf_that_is_no_hash, "leaves that are no hashes"),
        (_edit_root, "states another size or root than its leaves give"),
        (_batch_by_another, "not by the latest writer claim"),
        (_garbled_batch, "cannot be read"),
        (_edit_note, "it is not called what it states"),
        (_bend_signature, "is not over this text"),
        (_replay_under_another_name, "it is not called what it states"),
        (_note_of_a_fork, "it is not called what it states"),
        (
            _sign_with_a_new_key,
            f"no trusted key has signed it, but {SigningKey(NAME, bytes(32)).public.label}",
        ),
    ],
)
def test_what_was_checkpointed_cannot_be_changed(root: Path, attack: Callable[[Path], None], told: str):
    attack(root)
    outcome = judge(root)
    assert SIGNED in failed(outcome)
    assert any(told in fault.how for fault in outcome.faults), [fault.how for fault in outcome.faults]


def test_missing_notes_are_told(root: Path):
    """The newest may not be signed yet; but what an anchor has was in the store before."""
    newest = notes(root)[-1]
    anchor = newest.read_bytes()
    newest.unlink()
    outcome = judge(root)
    assert outcome.faults == []
    assert "has no checkpoint" in outcome.notes[0].what
    [fault] = judge(root, [anchor]).faults
    assert (fault.verdict, fault.how) == (SIGNED, "the checkpoint of this batch is gone: it was deleted")
    for note in notes(root):
        note.unlink()
    told = {fault.how for fault in judge(root).faults}
    assert told == {
        "the checkpoint of this batch is gone: it was deleted",
        "no checkpoint over its 13 entries is signed",
    }


def test_a_clock_that_went_back_is_told(tmp_path: Path, root: Path):
    Host(tmp_path / "host", Store(root), now_ms=Clock(START_MS)).sequencer.run_once()
    outcome = judge(root)
    assert outcome.faults == []
    assert "older than the one before" in outcome.notes[0].what


# --- attacks that only an anchor shows ----------------------------------------------------------------------


def _cut_the_tail_of_everything(root: Path, tmp_path: Path) -> None:
    for path in [_log(root)[-1], *_log(root)[-3:-1], _log(root, CHECKPOINT)[-1], notes(root)[-1]]:
        path.unlink()


def _roll_back(root: Path, tmp_path: Path) -> None:
    """As it was after the first checkpoint."""
    for path in [*_log(root)[4:], *_log(root, CHECKPOINT)[2:], *notes(root)[1:]]:
        path.unlink()


def _rebuild(root: Path, tmp_path: Path, *keys: SigningKey) -> None:
    shutil.rmtree(root)
    store = sealed_store(root, segments=5, partitions=2)
    Host(tmp_path / "anew", store, *keys, now_ms=Clock(START_MS)).sequencer.run_once()


def _fork(root: Path, tmp_path: Path) -> None:
    """The holder of the key shows this reader another history of the same size."""
    _roll_back(root, tmp_path)
    host = Host(tmp_path / "fork", Store(root), now_ms=Clock(START_MS + 99_000))
    for _ in range(2):
        grow(Store(root), partition=1)
        host.sequencer.run_once(take_over=True)


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (_cut_the_tail_of_everything, "covers 13 entries; the store has 11: it was cut at its tail"),
        (_roll_back, "covers 13 entries; the store has 9: it was cut at its tail, rolled back"),
        (_rebuild, "it was forked or made anew"),
        (_fork, "is of another tree: the store was forked or rebuilt"),
    ],
)
def test_only_an_anchor_shows_it(
    root: Path, tmp_path: Path, anchors: list[bytes], attack: Callable[[Path, Path], None], told: str
):
    attack(root, tmp_path)
    assert failed(judge(root)) == set()
    outcome = judge(root, anchors)
    assert failed(outcome) == {ANCHORED}
    assert any(told in fault.how for fault in outcome.faults), [fault.how for fault in outcome.faults]


def test_a_trail_made_anew_with_a_new_key_shows_by_key_and_by_anchor(
    root: Path, tmp_path: Path, anchors: list[bytes]
):
    _rebuild(root, tmp_path, SigningKey("another/name", bytes(32)))
    assert failed(judge(root)) == {SIGNED}
    assert failed(judge(root, anchors, [])) == {ANCHORED}
    assert failed(judge(root, anchors, [SigningKey("another/name", bytes(32)).public])) == {ANCHORED}


def test_an_anchor_that_nobody_trusted_signed_proves_nothing(root: Path, anchors: list[bytes]):
    outcome = judge(root, anchors, [OTHER_KEY.public])
    assert {fault.how for fault in outcome.faults if fault.verdict == ANCHORED} == {
        "an anchor proves nothing: no trusted key has signed it"
    }


def test_anchors_of_other_logs_are_left_aside(root: Path, tmp_path: Path, anchors: list[bytes]):
    other = sealed_store(tmp_path / "other")
    key = SigningKey("another/name", bytes(32))
    Host(tmp_path / "other-host", other, key, now_ms=Clock(START_MS)).sequencer.run_once()
    strange = [note.read_bytes() for note in notes(tmp_path / "other")]
    outcome = judge(root, anchors + strange)
    assert outcome.faults == []
    assert "1 of the anchors are of other logs" in [note.what for note in outcome.notes]
    assert failed(judge(root, strange)) == {ANCHORED}


# --- where anchors are read from ----------------------------------------------------------------------------


def test_anchors_come_from_directories_files_and_lists(
    root: Path, tmp_path: Path, anchors: list[bytes], monkeypatch: pytest.MonkeyPatch
):
    assert read_anchors([str(root / FOLDER)]) == anchors
    for separator in (b"", b"\n", b"\n\n\n"):
        file = tmp_path / "kept.txt"
        file.write_bytes(separator.join(anchors))
        assert read_anchors([str(file)]) == anchors
    assert read_anchors([str(notes(root)[0]), str(root / FOLDER)]) == [anchors[0], *anchors]
    assert split_notes(anchors[0].rstrip(b"\n")) == anchors[:1]
    with file.open("rb") as kept:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": kept}))
        assert read_anchors(["-"]) == anchors


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_anchor_without_a_checkpoint_is_a_mistake(tmp_path: Path, content: bytes):
    (tmp_path / "empty").write_bytes(content)
    for source in ("empty", ".", "missing"):
        with pytest.raises(ConfigError):
            read_anchors([str(tmp_path / source) if source != "." else str(tmp_path)])


def test_an_anchor_that_is_no_note_fails_the_verdict(root: Path):
    assert failed(judge(root, [b"not a note\n"])) == {ANCHORED}
