"""An erasure that dies anywhere is finished by resuming it; until then nothing is lost, the trail holds."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.audit import TOPIC_ID, sealed_store
from support.erase import eraser_of, request, settings_in, store_of, stored_rows
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync
from support.long import by_form

from pipeline.audit.catalog import build_catalog
from pipeline.audit.log import PartitionLog
from pipeline.audit.verify import Wanted, verify_store
from pipeline.config import Config
from pipeline.errors import AuditfuseError, ConfigError, StoreError

__all__ = ["without_disk_sync"]

TRACE = f"trace={2:032x}"


def prepared(folder: Path) -> Config:
    """A small store with a detector's snapshot."""
    config = settings_in(folder)
    store = sealed_store(config.store.path, segments=2, rows=19, commands=1)
    snapshots = store.cache_dir / "snapshots"
    snapshots.mkdir()
    (snapshots / "detect-0.bin").write_bytes(b"x")
    return config


def calls_of(folder: Path) -> int:
    """How many durable calls an undisturbed erasure makes."""
    config = prepared(folder)
    with durable_faults(None, -1) as faults:
        eraser_of(config).execute(request(TRACE))
    return faults.calls


def try_erase(config: Config, fault: Fault, at: int) -> str | None:
    """Erase while one call goes wrong; the call, None where it did not come to it."""
    with durable_faults(fault, at) as faults, contextlib.suppress(Killed, OSError, AuditfuseError):
        eraser_of(config).execute(request(TRACE))
    return faults.hit


def finish(config: Config) -> None:
    """What a person does then: resume what was begun, or ask again where nothing was."""
    eraser = eraser_of(config)
    pending = eraser.pending()
    for intent in pending:
        eraser.resume(request(TRACE), intent.erasure)
    if not pending:
        eraser.execute(request(TRACE))
    assert eraser.pending() == []


def check(config: Config, before: dict[Any, Any]) -> None:
    """Exactly the trace is gone, nothing lies about, and the trail holds."""
    store = store_of(config)
    after = stored_rows(store)
    for key, row in before.items():
        if row["meta"] and key[0] == TOPIC_ID and 10 <= key[2] < 20:
            assert after[key]["meta"] is None
        else:
            assert after[key] == row
    assert set(store.segment_names(TOPIC_ID, 0)) == set(PartitionLog.open(store, TOPIC_ID, 0).state.live)
    assert store.objects.names("staging") == []
    assert list((store.cache_dir / "snapshots").glob("detect-*")) == []
    report = verify_store(store)
    assert report.holds, report.faults


STEP = by_form(short=4, long=1)
"""In the short form every fourth call; the faults still take turns over all of them."""


def test_every_durable_call(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    count = calls_of(undisturbed)
    assert count > 20
    template = tmp_path / "template"
    template.mkdir()
    before = stored_rows(store_of(prepared(template)))
    for at in range(0, count, STEP):
        fault = FAULTS[at // STEP % len(FAULTS)]
        folder = Path(shutil.copytree(template, tmp_path / f"{at}"))
        config = settings_in(folder)
        assert try_erase(config, fault, at) is not None
        if at // STEP % 3 == 0:
            report = verify_store(store_of(config), Wanted(columns=False))
            assert report.holds, (at, fault, report.faults)
        finish(config)
        check(config, before)


def test_what_failed_says_how_to_go_on(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    with pytest.raises(StoreError, match="--resume"), durable_faults("not persisted", 45):
        eraser_of(config).execute(request(TRACE))
    (intent,) = eraser_of(config).pending()
    assert eraser_of(config).resume(request(TRACE), intent.erasure).rows == 10


def test_resuming_asks_for_the_same(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    build_catalog(store_of(config))
    eraser = eraser_of(config)
    with pytest.raises(Killed), durable_faults("killed before", 45):
        eraser.execute(request(TRACE))
    (intent,) = eraser.pending()
    with pytest.raises(ConfigError, match="something else"):
        eraser.resume(request(f"trace={3:032x}"), intent.erasure)
    with pytest.raises(ConfigError, match="--list"):
        eraser.resume(request(TRACE), "0" * 32)
    outcome = eraser.resume(request(TRACE), intent.erasure)
    assert outcome.rows == 10
    again = eraser.resume(request(TRACE), intent.erasure)
    assert again.rows == 10, "resuming what is complete tells what it took"
