"""Reminders with doubling pauses, and escalation, until somebody answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from support.respond import START_MS, found, open_state, paging_to

from pipeline.respond.config import RespondConfig
from pipeline.respond.outbox import Deliverer
from pipeline.respond.page import Page
from pipeline.respond.sent import Sent
from pipeline.respond.state import StateDatabase
from pipeline.respond.targets import EscalationLevel, Target
from pipeline.respond.upkeep import Upkeep

pytestmark = pytest.mark.usefixtures("each_database_long")

MINUTE_MS = 60_000
TARGETS = (
    Target(name="phone", url=SecretStr("console://")),
    Target(name="chat", url=SecretStr("console://"), tags=("page", "chat")),
    Target(name="lead", url=SecretStr("console://"), tags=("lead",)),
    Target(name="boss", url=SecretStr("console://"), tags=("boss",)),
)


class RecordingPager:
    """Takes every page and remembers to whom it went."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, str]] = []
        self.down: set[str] = set()

    def prepare(self) -> None:
        return

    def send(self, target: str, page: Page) -> Sent:
        if target in self.down:
            return Sent(outcome="failed", error="HTTP 503")
        self.pages.append((target, page.title))
        return Sent(outcome="sent")


class Watch:
    """Minutes pass one by one; `told` says in which minute who was told."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.config: RespondConfig = paging_to("", **{"targets": TARGETS} | changes)
        self.state: StateDatabase = open_state(directory, self.config)
        self.pager = RecordingPager()
        self.minute = 0
        self.told: list[tuple[int, str]] = []
        self._upkeep = Upkeep(self.state, self.config, self._now_ms)
        self._deliverer = Deliverer(self.state, lambda rows: None, self.pager, self.config, self._now_ms)

    def _now_ms(self) -> int:
        return START_MS + self.minute * MINUTE_MS

    def run(self, until_minute: int, step: int = 1) -> list[tuple[int, str]]:
        while self.minute <= until_minute:
            self._upkeep.step()
            before = len(self.pager.pages)
            self._deliverer.drain_once()
            self.told += [(self.minute, target) for target, _ in self.pager.pages[before:]]
            self.minute += step
        return self.told

    def open(self, **changes: Any) -> str:
        [incident_id] = self.state.consume([found(**changes)], {}, self._now_ms()).paged
        return incident_id


@pytest.fixture
def states() -> Iterator[list[StateDatabase]]:
    opened: list[StateDatabase] = []
    yield opened
    for state in opened:
        state.close()


def test_a_page_is_repeated_with_doubling_pauses(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.open()
    told = watch.run(500, step=5)
    assert [minute for minute, target in told if target == "phone"] == [0, 15, 45, 105, 225, 465]
    assert [minute for minute, target in told if target == "chat"] == [0]  # a chat is told once
    assert watch.pager.pages[2][1].startswith("CRITICAL invoice-agent in production: still unanswered: 212")
    watch.state.close()


def test_the_pause_grows_no_longer_than_configured(tmp_path: Path) -> None:
    watch = Watch(tmp_path, remind_after_s=600, remind_max_s=1_200)
    watch.open()
    told = [minute for minute, target in watch.run(75, step=5) if target == "phone"]
    assert told == [0, 10, 30, 50, 70]
    watch.state.close()


@pytest.mark.parametrize("answer", ["acknowledge", "resolve"])
def test_an_answer_ends_it(tmp_path: Path, answer: str) -> None:
    watch = Watch(tmp_path, escalation=(EscalationLevel(after_minutes=30, tags=("lead",)),))
    incident_id = watch.open()
    watch.run(20)
    getattr(watch.state, answer)(incident_id, "maria", "on it", START_MS + 20 * MINUTE_MS)
    phone = [minute for minute, target in watch.run(40) if target in ("phone", "lead")]
    assert phone == ([0, 15] if answer == "acknowledge" else [0, 15, 21])
    watch.state.close()


def test_warnings_are_not_repeated_unless_configured(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.open(severity="warning")
    assert {minute for minute, _ in watch.run(60)} == {0}
    watch.state.close()


def test_more_people_are_told_level_by_level(tmp_path: Path) -> None:
    levels = (
        EscalationLevel(after_minutes=60, tags=("boss",)),
        EscalationLevel(after_minutes=10, tags=("lead",)),
        EscalationLevel(after_minutes=1, tags=("boss",), environments=("staging",)),
    )
    watch = Watch(tmp_path, escalation=levels, remind_after_s=0)
    watch.open()
    told = watch.run(120, step=5)
    assert [one for one in told if one[1] in ("lead", "boss")] == [(10, "lead"), (60, "boss")]
    watch.state.close()


def test_who_could_not_be_told_is_not_reminded_and_others_are_told_in_time(tmp_path: Path) -> None:
    watch = Watch(tmp_path, escalation=(EscalationLevel(after_minutes=10, tags=("lead",)),))
    watch.pager.down = {"phone", "chat"}
    watch.open()
    watch.run(60)
    assert watch.told[0] == (10, "lead")
    watch.pager.down = set()
    told = [minute for minute, target in watch.run(80) if target == "phone"]
    assert told == [61, 76]  # once, and again a quarter of an hour after it could be told
    watch.state.close()


def test_a_restart_forgets_no_reminder(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.open()
    watch.run(14)
    watch.state.close()
    again = Watch(tmp_path)
    again.minute = 15
    assert [target for _, target in again.run(20)] == ["phone"]
    again.state.close()


def test_an_escalation_to_nobody_is_refused() -> None:
    with pytest.raises(ValidationError, match="which no target has"):
        paging_to("", targets=TARGETS, escalation=(EscalationLevel(after_minutes=1, tags=("nobody",)),))
