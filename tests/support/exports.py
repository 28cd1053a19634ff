"""Exports as those who get them see them: their verdicts, their rows."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from support.audit import START_MS
from support.proof import KEY

from pipeline.audit.export.selection import Selection

ALL = Selection(from_ms=START_MS, to_ms=START_MS + 3_600_000)


def verify_export(folder: Path, key: object = KEY.public) -> subprocess.CompletedProcess[str]:
    """The folder's own program, with nothing of ours."""
    return subprocess.run(
        [sys.executable, "-I", folder / "verify_export.py", str(key)],
        capture_output=True,
        text=True,
        check=False,
    )


def sql_faults(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the folder's SQL finds."""
    monkeypatch.chdir(folder)
    with duckdb.connect() as connection:
        return connection.execute((folder / "verify.sql").read_text()).fetchall()


def unpacked(path: Path) -> bytes:
    """A file's content, whether it is packed or not."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def exported_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of the folder's Parquet files."""
    tables = [pq.read_table(path) for path in sorted((folder / "rows" / "events").glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]
