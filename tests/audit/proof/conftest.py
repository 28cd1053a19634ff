"""A store with checkpoints that no test changes."""

import pytest
from support.audit import (
    sealed_store,
)
from support.proof import checkpoint_now

from pipeline.audit.store import Store


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = sealed_store(tmp_path_factory.mktemp("store"), segments=10, rows=6, partitions=2)
    checkpoint_now(store, batch_leaves=4)
    return store
