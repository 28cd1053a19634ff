"""Real processes on one store: a writer that was stopped publishes nothing once another has taken over, and
hosts that append at once lose nothing."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import pytest
from support.audit import START_MS, TOPIC_ID, claim, event_rows, seal_batches
from support.faults import without_disk_sync
from support.store_child import FENCED, MOMENTS

from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.control import read_rows
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import CONTROL, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id

__all__ = ["without_disk_sync"]

CHILD = Path(__file__).parents[1] / "support" / "store_child.py"


@contextlib.contextmanager
def child(*arguments: object) -> Generator[subprocess.Popen[str]]:
    """A process of ours; killed if it is still there at the end."""
    paths = [str(CHILD.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_stopped(process: subprocess.Popen[str]) -> None:
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"ended with {status} before it was stopped"


def offsets(store: Store) -> list[int]:
    """The offsets of all live rows, in order."""
    found: list[int] = []
    for ref in PartitionLog.open(store, TOPIC_ID, 0).state.live.values():
        file = open_parquet(io.BytesIO(store.read_segment(TOPIC_ID, 0, ref.name)))
        found += file.read(columns=["offset"]).column("offset").to_pylist()
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_writer_that_was_stopped_publishes_nothing_after_a_takeover(tmp_path: Path, moment: str) -> None:
    store = Store(tmp_path)
    with child("seal", tmp_path, moment, 3) as stopped:
        wait_until_stopped(stopped)
        published = PartitionLog.open(store, TOPIC_ID, 0).state.end
        assert published in (3, 6)
        second = claim(store)
        assert second.end == published
        seal_batches(second, [event_rows(published, 5)])
        entries = second.state.next_n
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.wait(30) == FENCED
    seal_batches(second, [event_rows(published + 5, 5)])
    assert second.state.next_n == entries + 1
    assert offsets(store) == list(range(published + 10))
    assert verify_store(store).holds
    # What the first left behind is swept by the next claim.
    claim(store)
    live = PartitionLog.open(store, TOPIC_ID, 0).state.live
    assert store.segment_names(TOPIC_ID, 0) == list(live)


@pytest.mark.parametrize("moment", MOMENTS[2:])
def test_a_compactor_that_was_stopped_publishes_nothing_after_a_takeover(tmp_path: Path, moment: str) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    seal_batches(writer, [event_rows(i * 3, 3) for i in range(8)])
    config = StoreConfig.model_validate(
        {"path": tmp_path, "compact_fan_in_files": 2, "superseded_grace_s": 0}
    )
    number = 2 if "entry" in moment.replace("segment and entry", "") else 1
    with child("compact", tmp_path, moment, number) as stopped:
        wait_until_stopped(stopped)
        seal_batches(writer, [event_rows(24, 3)])
        second = PartitionCompactor(
            store, TOPIC_ID, 0, config, writer_id=new_writer_id(), now_ms=lambda: START_MS
        )
        while second.run_once().made:
            pass
        entries = PartitionLog.open(store, TOPIC_ID, 0).state.next_n
        os.kill(stopped.pid, signal.SIGCONT)
        # With nothing left to do it need not even look who holds the claim.
        assert stopped.wait(30) in (FENCED, 0)
    log = PartitionLog.open(store, TOPIC_ID, 0)
    assert log.state.next_n == entries
    assert offsets(store) == list(range(27))
    assert verify_store(store).holds
    second.run_once()
    assert store.segment_names(TOPIC_ID, 0) == list(log.state.live)


def test_three_hosts_append_to_control_at_once(tmp_path: Path) -> None:
    hosts, count = ("ams", "fra", "syd"), 200
    store = Store(tmp_path)
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(child("append", tmp_path, host, count)) for host in hosts]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    ids = [entry_id for entry in PartitionLog(store, CONTROL, 0).entries_after(-1) for entry_id in entry.ids]
    rows = list(read_rows(store, CONTROL))
    assert len(rows) == len(ids) == len(hosts) * count
    of_host: dict[str, list[str]] = defaultdict(list)
    for one_id in ids:
        of_host[one_id.partition("-")[0]].append(one_id)
    assert of_host == {host: [f"{host}-{i:04d}" for i in range(count)] for host in hosts}
    assert [row.offset for row in rows] == list(range(len(ids)))
    assert all(f'"{one_id}"'.encode() in (row.meta or b"") for one_id, row in zip(ids, rows, strict=True))
    turns = sum(left[:3] != right[:3] for left, right in pairwise(ids))
    assert turns > len(hosts), "they did not append at once"
    assert verify_store(store).holds
