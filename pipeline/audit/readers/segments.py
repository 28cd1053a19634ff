"""One segment without its payloads: exactly as an erasure of all of them would leave it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.audit.arrow import Table
from pipeline.audit.columns import segment_schema
from pipeline.audit.erase.rewrite import Doomed, without
from pipeline.audit.segment import finish_writer, open_parquet, open_writer, read_footer


def write_without_payloads(source: BinaryIO, topic_id: str, target: Path, where: str) -> None:
    """Write the copy of an open segment to the new file `target`, synced, readable by its owner alone.

    The rows keep their hashes, so that readers can recompute the chain from `cp`. Memory: one row group.
    Raises StoreError for what is no segment of ours, OSError.
    """
    file = open_parquet(source)
    footer = read_footer(file, where)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as sink:
        writer = open_writer(sink, segment_schema(topic_id), footer.rows)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False)
            writer.write_table(without_payloads(table, topic_id), row_group_size=max(1, table.num_rows))
        finish_writer(writer, footer)
        sink.flush()
        os.fsync(sink.fileno())


def without_payloads(table: Table, topic_id: str) -> Table:
    """The rows with `payload` and `salt_p` null and `cp` in their place."""
    still_there = np.asarray(
        table.column("payload").is_valid().combine_chunks().to_numpy(zero_copy_only=False)
    )
    return without(table, topic_id, Doomed(np.zeros(table.num_rows, np.bool_), still_there))
