"""The store's files: created whole or not at all, never overwritten, with the modes that were promised."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.audit import TOPIC_ID, sealed_store

from pipeline.audit.store import LocalObjects, SegmentName, Store, StoreConfig
from pipeline.errors import StoreError

NAME = str(SegmentName(0, 10, 1, "seal", "0" * 16))


def test_opening_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.partitions() == []
    assert store.segment_names(TOPIC_ID, 0) == []
    assert store.read_entry(TOPIC_ID, 0, 0) is None
    assert not (tmp_path / "store").exists()


def test_modes_and_places(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        store = sealed_store(tmp_path / "store", segments=1, commands=1)
    finally:
        os.umask(umask)
    files = [path for path in store.cache_dir.rglob("*") if path.is_file()]
    folders = [store.cache_dir, *(path for path in store.cache_dir.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o440}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o750}
    assert list((store.cache_dir / "staging").iterdir()) == []
    assert (store.cache_dir / f"log/{TOPIC_ID}/0/000000000000.json").exists()


def test_create_never_overwrites_and_tells_equal_from_other(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    assert objects.create("a/b", b"one")
    assert objects.create("a/b", b"one")
    assert not objects.create("a/b", b"two")
    assert objects.read("a/b") == b"one"
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.names("a") == []


@pytest.mark.parametrize("topic_id", ["", ".", "..", "../x", "a/b", "a\\b", "a\x00", "x" * 300])
def test_a_topic_id_cannot_lead_out_of_the_store(tmp_path: Path, topic_id: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError):
        store.create_entry(topic_id, 0, 0, b"")
    with pytest.raises(StoreError):
        store.segment_location(topic_id, 0, NAME)


@pytest.mark.parametrize("name", ["../../x.parquet", "x.parquet", NAME + "x", NAME.replace("seal", "sale")])
def test_only_names_of_segments_are_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError):
        Store(tmp_path).open_segment(TOPIC_ID, 0, name)


def test_a_segments_name_is_its_contents(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create_segment(TOPIC_ID, 0, NAME, b"one")
    store.create_segment(TOPIC_ID, 0, NAME, b"one")
    with pytest.raises(StoreError, match="other bytes"):
        store.create_segment(TOPIC_ID, 0, NAME, b"two")


def test_staging_is_cleaned_of_old_files_only(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    staging = tmp_path / "staging"
    staging.mkdir()
    for name, seconds in (("old", 1_000), ("new", 9_000)):
        (staging / name).write_bytes(b"")
        os.utime(staging / name, (seconds, seconds))
    objects.clean_staging(5_000_000)
    assert objects.names("staging") == ["new"]


def test_configuration_names_its_limits() -> None:
    with pytest.raises(ValidationError):
        StoreConfig(superseded_grace_s=7200)
    with pytest.raises(ValidationError):
        StoreConfig.model_validate({"seal_rows": 5})
