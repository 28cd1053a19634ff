"""A store, a clock and a host that signs."""

from pathlib import Path

import pytest
from support.audit import sealed_store
from support.checkpoint import START, Clock, Host

from pipeline.audit.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sealed_store(tmp_path / "store", partitions=2)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def host(tmp_path: Path, store: Store, clock: Clock) -> Host:
    return Host(tmp_path / "host", store, now_ms=clock)
