"""One story for all tests of the incident page: nothing there writes the store."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.incident import NOW_MS, seal_findings, story_state, story_store
from support.web import Stand, look_once, stand

from pipeline.audit.store import Store


@pytest.fixture(autouse=True)
def logs_to_standard_error() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sealed: events, the incident's findings and its trip."""
    folder = tmp_path_factory.mktemp("story")
    store = story_store(folder / "store")
    state, incident_id = story_state(folder)
    seal_findings(state, store)
    look_once(store, state.incident(incident_id).lead, NOW_MS, 60)  # however busy this machine is
    state.close()
    return store


@pytest.fixture
def site(tmp_path: Path, story: Store) -> Iterator[Stand]:
    """The pages, with people who have tokens."""
    with stand(tmp_path, store=story) as one:
        yield one
