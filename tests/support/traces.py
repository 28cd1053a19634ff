"""The real traces of the shared folder, and what a store must hold after them."""

import gzip
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TRACES = SHARED / "traces"
NATIVE = TRACES / "taubench.events.ndjson.gz"
OTLP = TRACES / "taubench.otlp.ndjson.gz"
FULL_HISTORY = TRACES / "taubench.full-history.otlp.ndjson.gz"
EVENTS = 5108

needs_shared = pytest.mark.skipif(
    not TRACES.is_dir(),
    reason=f"the shared data folder is not there ({SHARED.name}/traces beside the checkout)",
)


def lines(path: Path) -> list[bytes]:
    """The messages of a file."""
    with gzip.open(path, "rb") as file:
        return file.read().splitlines()
