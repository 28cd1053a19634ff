"""Attacks on checkpoints, and on the store as a whole."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from support.audit import TOPIC_ID, event_rows
from support.forger import Forger
from support.stage import LOG_NAME, Stage
from support.tamper import entry_paths, overwrite
from support.tamper_registry import STOLEN_NAME, keyholder, plain, skilled
from support.trail import Trail

from pipeline.audit.checkpoint.note import SignedNote, SigningKey, sign_note
from pipeline.audit.checkpoint.statement import Statement
from pipeline.audit.store import CHECKPOINT
from schemas.log_entry import LogEntry

OTHER_NAME = SigningKey("example.com/other", b"\x02" * 32)
REAL = SigningKey(LOG_NAME, bytes(32))


@plain
def note_edited(trail: Trail) -> None:
    """Its time, a minute back."""
    _edit_newest(
        trail, lambda one: [*one[:3], f"time {int(one[3].removeprefix('time ')) - 60_000}", *one[4:]]
    )


@plain
def note_with_another_root(trail: Trail) -> None:
    _edit_newest(trail, lambda one: [*one[:2], base64.b64encode(bytes(32)).decode(), *one[3:]])


@plain
def signature_of_a_note_edited(trail: Trail) -> None:
    note = SignedNote.parse(_notes(trail)[-1].read_bytes())
    [signature] = note.signatures
    raw = bytes([signature.raw[0] ^ 1]) + signature.raw[1:]
    edited = SignedNote(note.text, (replace(signature, raw=raw),))
    overwrite(_notes(trail)[-1], edited.encode())


@plain
def note_signed_by_another_key_of_the_same_name(trail: Trail) -> None:
    for path in _notes(trail):
        overwrite(path, sign_note(SignedNote.parse(path.read_bytes()).text, [STOLEN_NAME]).encode())


@plain
def old_note_replayed_as_the_newest(trail: Trail) -> None:
    overwrite(_notes(trail)[-1], _notes(trail)[0].read_bytes())


@plain
def newest_notes_deleted(trail: Trail) -> None:
    """So that an older one is the newest."""
    for path in _notes(trail)[-2:]:
        path.unlink()


@plain
def newest_note_deleted(trail: Trail) -> None:
    _notes(trail)[-1].unlink()


@plain
def two_neighbouring_notes_deleted(trail: Trail) -> None:
    for path in _notes(trail)[1:3]:
        path.unlink()


@plain
def all_notes_deleted(trail: Trail) -> None:
    shutil.rmtree(trail.root / "checkpoints")


@plain
def checkpoints_and_their_log_deleted(trail: Trail) -> None:
    shutil.rmtree(trail.root / "checkpoints")
    shutil.rmtree(trail.root / "log" / CHECKPOINT)


@plain
def batch_backdated(trail: Trail) -> None:
    path = entry_paths(trail.root, CHECKPOINT)[-1]
    content = path.read_bytes()
    batch = msgspec.json.decode(content, type=LogEntry)
    overwrite(path, content.replace(str(batch.at_ms).encode(), str(batch.at_ms - 60_000).encode()))


@skilled
def newest_batch_backdated(forger: Forger) -> None:
    log = forger.logs[CHECKPOINT, 0]
    log[-1] = msgspec.structs.replace(log[-1], at_ms=log[-2].at_ms + 1)


@keyholder
def tail_of_everything_cut(trail: Trail) -> None:
    """Back to the checkpoint before the newest: entries, batches and notes after it are gone."""
    forger = Forger(trail.root)
    batches = [entry for entry in forger.logs[CHECKPOINT, 0] if entry.kind == "batch"]
    counts: dict[tuple[str, int], int] = {}
    for batch in batches[:-1]:
        for part in batch.leaves:
            counts[part.topic_id, part.partition] = part.first_n + len(part.hashes)
    for place, log in forger.logs.items():
        cut = log.index(batches[-1]) if place[0] == CHECKPOINT else counts[place]
        for path in entry_paths(trail.root, *place):
            if int(path.stem) >= cut:
                path.unlink()
        for path in (trail.root / "log" / place[0] / "0" / "bundles").glob("*"):
            assert int(path.name[13:25]) < cut
    _notes(trail)[-1].unlink()


@keyholder
def rolled_back_to_an_older_copy(trail: Trail) -> None:
    shutil.rmtree(trail.root)
    shutil.copytree(trail.older, trail.root)


@keyholder
def forked(trail: Trail) -> None:
    """Two readers, two histories with the same beginning, both signed by the real key."""
    rolled_back_to_an_older_copy(trail)
    stage = Stage(trail.root.parent)
    writer = stage.writer()
    for start in range(60, 120, 10):
        writer.seal(event_rows(start, 10, principal="another"), start + 10)
        stage.sequencer().run_once(take_over=True)


@keyholder
def rebuilt_with_the_real_key(trail: Trail) -> None:
    """By the operator, or by whoever has the key: one row edited, everything made and signed anew."""
    forger = Forger(trail.root)
    forger.rows(TOPIC_ID)[34]["payload"] = '{"input":null}'
    forger.write(REAL)


@plain
def rebuilt_with_a_new_key_of_another_name(trail: Trail) -> None:
    forger = Forger(trail.root)
    forger.rows(TOPIC_ID)[34]["payload"] = '{"input":null}'
    forger.write(OTHER_NAME)


@plain
def rebuilt_and_the_old_notes_left(trail: Trail) -> None:
    forger = Forger(trail.root)
    forger.rows(TOPIC_ID)[34]["payload"] = '{"input":null}'
    forger.write(None)


@skilled
def everything_rebuilt_with_a_new_key(forger: Forger) -> None:
    """Every row of every event is another."""
    for row in forger.rows(TOPIC_ID):
        if row["payload"]:
            row["payload"], row["salt_p"] = '{"input":"forged"}', bytes(16)


@keyholder
def emptied(trail: Trail) -> None:
    """A new store in the place of the old one."""
    shutil.rmtree(trail.root)
    trail.root.mkdir()
    Stage(trail.root.parent).writer()


def _notes(trail: Trail) -> list[Path]:
    return sorted((trail.root / "checkpoints").glob("*.note"))


def _edit_newest(trail: Trail, change: Callable[[list[str]], list[str]]) -> None:
    """Edit the lines of the newest note; its file is called what it then says."""
    path = _notes(trail)[-1]
    lines = change(path.read_text().split("\n"))
    text = "\n".join(lines)
    path.unlink()
    statement = Statement.parse(text.partition("\n\n")[0] + "\n")
    path.with_name(statement.file_name).write_text(text)
