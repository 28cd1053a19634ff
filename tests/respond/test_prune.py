"""What is kept in the state database: what is open for ever, what is over for the configured days."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from support.respond import START_MS, found, open_state

from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.outbox import Deliverer
from pipeline.respond.page import Page
from pipeline.respond.sent import Sent
from pipeline.respond.state import StateDatabase
from pipeline.respond.upkeep import Upkeep

pytestmark = pytest.mark.usefixtures("each_database")

DAY_MS = 86_400_000
CONFIG = RespondConfig(keep_days=90)


class TakesAll:
    def prepare(self) -> None:
        return

    def send(self, target: str, page: Page) -> Sent:
        return Sent(outcome="sent")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDatabase]:
    database = open_state(tmp_path, CONFIG)
    yield database
    database.close()


def rows(state: StateDatabase) -> dict[str, int]:
    grows = (tables.incidents, tables.findings, tables.pages, tables.deliveries)
    return state.read(
        lambda connection: {
            each.name: connection.scalar(select(func.count()).select_from(each)) or 0 for each in grows
        }
    )


def prune(state: StateDatabase, now_ms: int) -> None:
    upkeep = Upkeep(state, CONFIG, lambda: now_ms)
    for _ in range(5):
        upkeep.step()


def test_old_resolved_incidents_leave_with_all_that_was_told(
    state: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.respond.prune.AT_ONCE", 25)
    over = state.consume([found(f"agent-{n}") for n in range(60)], {}, START_MS).paged
    [kept] = state.consume([found("open-agent")], {}, START_MS).paged
    state.consume([found("shadow-agent", shadow=True)], {}, START_MS)
    Deliverer(state, lambda _: None, TakesAll(), CONFIG, lambda: START_MS).drain_once()
    for incident_id in over:
        state.resolve(incident_id, "maria", "fixed", START_MS + DAY_MS)
    prune(state, START_MS + 90 * DAY_MS)
    assert rows(state)["incidents"] == 61
    prune(state, START_MS + 91 * DAY_MS + 1)
    left = rows(state)
    assert (left["incidents"], left["findings"]) == (1, 1)
    assert left["pages"] <= 2
    assert [one.incident_id for one in state.incidents()] == [kept]


def test_an_id_is_never_given_twice(state: StateDatabase) -> None:
    [first] = state.consume([found()], {}, START_MS).paged
    state.resolve(first, "maria", "fixed", START_MS)
    prune(state, START_MS + 91 * DAY_MS)
    assert rows(state)["incidents"] == 0
    [second] = state.consume([found(window=10)], {}, START_MS + 91 * DAY_MS).paged
    assert (first[-2:], second[-2:]) == ("-1", "-2")
