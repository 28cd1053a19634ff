"""An export is checked in its folder alone, and shows every change made to it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit import (
    START_MS,
    claim,
    counting_clock,
    dead_letter_row,
    event_row,
    event_rows,
    seal_batches,
    sealed_store,
)
from support.erase import erase, settings_in, store_of
from support.exports import ALL, exported_rows, sql_faults, unpacked, verify_export
from support.proof import KEY, OTHER_KEY, checkpoint_now
from support.tamper import rewrite_rows, segment_paths, set_value

from pipeline.audit import merkle
from pipeline.audit.compact import compact_store
from pipeline.audit.export.cover import CoverRoot, cover
from pipeline.audit.export.run import export
from pipeline.audit.export.selection import Selection
from pipeline.audit.proof.checkpointed import NotCheckpointed
from pipeline.audit.proof.find import NoSuchRow
from pipeline.audit.store import Store, StoreConfig
from pipeline.errors import ConfigError, StoreError


def test_an_export_of_everything_holds(checkpointed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    manifest = export(checkpointed, ALL, out, [KEY.public])
    assert (manifest.rows, manifest.segments, manifest.erased_rows) == (122, 21, 0)
    done = verify_export(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "122 rows are proved, 0 faults." in done.stdout
    assert sql_faults(out, monkeypatch) == []


def test_one_agent_of_an_interval_is_exported_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rows of other agents and times are hashes alone."""
    settings = settings_in(tmp_path)
    store = store_of(settings)
    writer = claim(store)
    for number in range(6):
        rows = event_rows(number * 10, 10)
        rows[3:5] = [
            event_row(number * 10 + i, agent_id="other-agent", end_user="<PERSON:k1.00>") for i in (3, 4)
        ]
        rows[9] = dead_letter_row(number * 10 + 9)
        seal_batches(writer, [rows])
    erase(settings, f"trace={3:032x}")
    erase(settings, f"trace={4:032x}", what="payload")
    checkpoint_now(store)
    # Events end 250 ms after they start, at START_MS + offset.
    selection = Selection(
        from_ms=START_MS + 250 + 15,
        to_ms=START_MS + 250 + 45,
        agent="invoice-agent",
        environment="production",
    )
    out = tmp_path / "out"
    manifest = export(store, selection, out, [KEY.public], with_payload=False)
    rows = exported_rows(out)
    expected = [o for o in range(15, 45) if o // 10 != 2 and o % 10 not in (3, 4, 9)]
    assert [row["offset"] for row in rows if row["meta"]] == expected
    assert [row["offset"] for row in rows if not row["meta"]] == []
    assert manifest.rows == len(rows)
    assert all(row["payload"] is None and row["salt_p"] is None and row["cp"] for row in rows)
    files = [path for path in out.rglob("*") if path.is_file()]
    everything = b"".join(unpacked(path) for path in files)
    for absent in (b"other-agent", b"PERSON:k1", b"paid"):
        assert absent not in everything
    assert verify_export(out).returncode == 0, verify_export(out).stdout
    assert sql_faults(out, monkeypatch) == []


def test_erased_rows_are_exported_as_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = settings_in(tmp_path)
    store = store_of(settings)
    seal_batches(claim(store), [event_rows(0, 15), event_rows(15, 15)])
    checkpoint_now(store)
    erase(settings, f"trace={1:032x}")
    erase(settings, f"trace={2:032x}", what="payload")
    checkpoint_now(store)
    out = tmp_path / "out"
    manifest = export(store, ALL, out, [KEY.public])
    # The erasures' intents and completions are rows of `_control`, at a later time than this interval.
    assert (manifest.rows, manifest.erased_rows) == (30, 10)
    assert [row["payload"] is None for row in exported_rows(out)] == [True] * 20 + [False] * 10
    assert verify_export(out).returncode == 0
    assert sql_faults(out, monkeypatch) == []


def test_an_export_after_compaction_is_the_same_but_for_the_checkpoint(tmp_path: Path):
    store = sealed_store(tmp_path / "store", segments=20, rows=6)
    checkpoint_now(store)
    export(store, ALL, tmp_path / "before", [KEY.public])
    config = StoreConfig(path=tmp_path / "store", compact_fan_in_files=4, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=counting_clock()).merged
    export(store, ALL, tmp_path / "after", [KEY.public])
    before, after = (
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "before", tmp_path / "after")
    )
    parquet = {name for name in before if name.endswith(".parquet")} | {"manifest.json"}
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= parquet


def test_what_cannot_be_exported_leaves_nothing_behind(checkpointed: Store, tmp_path: Path):
    out = tmp_path / "out"
    later = Selection(from_ms=START_MS + 10**9, to_ms=START_MS + 10**10)
    with pytest.raises(NoSuchRow):
        export(checkpointed, later, out, [KEY.public])
    with pytest.raises(ConfigError, match="--key"):
        export(checkpointed, ALL, out, [OTHER_KEY.public])
    unsigned = sealed_store(tmp_path / "store")
    with pytest.raises(NotCheckpointed):
        export(unsigned, ALL, out, [KEY.public])
    checkpoint_now(unsigned)
    seal_batches(claim(unsigned), [event_rows(30, 6)])
    with pytest.raises(NotCheckpointed, match="auditfuse checkpoint now"):
        export(unsigned, ALL, out, [KEY.public])
    rewrite_rows(segment_paths(tmp_path / "store")[0], set_value("meta", 2, "{}"))
    with pytest.raises(StoreError, match="not those that were sealed"):
        export(unsigned, Selection(from_ms=START_MS, to_ms=START_MS + 280), out, [KEY.public])
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    out.mkdir()
    (out / "there").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        export(checkpointed, ALL, out, [KEY.public])


@given(st.data())
def test_a_cover_gives_the_root_and_shows_what_it_should(data: st.DataObject):
    leaves = [merkle.leaf_hash(bytes([n])) for n in range(data.draw(st.integers(1, 70)))]
    shown = data.draw(st.lists(st.booleans(), min_size=len(leaves), max_size=len(leaves)))
    parts, whole = list(cover(leaves, shown)), CoverRoot()
    for part in parts:
        whole.add(part)
    assert whole.size == len(leaves)
    assert whole.root() == merkle.root(bytes([n]) for n in range(len(leaves)))
    assert [part.number for part in parts if part.number is not None] == [i for i, s in enumerate(shown) if s]
    runs = 1 + sum(shown)
    assert len(parts) <= sum(shown) + runs * 2 * len(leaves).bit_length()
