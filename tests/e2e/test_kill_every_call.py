"""A real SIGKILL at each write, link, fsync, append and commit of the protocol, restarts in between.

The short form kills at a sample of them, and where the protocol turns. Either form sees every call, and fails
for one that the lists do not know.
"""

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import TestBroker
from support.crash import Kill, Launcher, launching, traced
from support.crash_checks import StoredRow, assert_sound, finding_ids, incidents, pages_of
from support.kill_calls import ALWAYS, AT_STOP, FIRST_RUN, KILLS, SOMETIMES
from support.kill_rounds import PARTITIONS, Rounds, Stage
from support.long import LONG, by_form
from support.produce import create_topic, unique
from support.running import wait_until
from support.webhook import Webhook, running_webhook

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(by_form(short=240, long=900))]

PAST_S = 2.0
"""What a first run comes to, it comes to within this time; where it does not, a new folder does."""


IN_TIME = {("link", "idle entry")}
"""What a partition comes to that was silent for a while: the short form may be over before."""


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with launching() as launcher:
        yield launcher


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as webhook:
        yield webhook


def test_killed_in_its_first_run(
    tmp_path: Path, kafka: TestBroker, launcher: Launcher, webhook: Webhook
) -> None:
    topic = unique("first-kills")
    asyncio.run(create_topic(kafka.bootstrap, topic, PARTITIONS))
    trace = tmp_path / "trace"
    rounds = Rounds(kafka, topic, launcher, trace)
    stages = [Stage(tmp_path / "0", kafka, topic, webhook)]
    for one in by_form(short=FIRST_RUN[::4], long=FIRST_RUN):
        if not rounds.kill(stages[-1], Kill(*one), timeout_s=PAST_S):  # this folder is past it
            stages.append(Stage(tmp_path / str(len(stages)), kafka, topic, webhook))
            assert rounds.kill(stages[-1], Kill(*one)), f"never came to {one}"
    assert_known(trace)
    for stage in stages:
        launcher.start(stage.folder)
        wait_until(stage.send, 20, "everything is sent")
        wait_until(lambda stage=stage: stage.holds(topic, rounds.messages), 20, "everything is sealed")
        assert launcher.end(signal.SIGTERM) == 0, stage.log()
        assert_sound(stage.store)


def test_killed_at_every_call(
    tmp_path: Path, kafka: TestBroker, launcher: Launcher, webhook: Webhook
) -> None:
    topic = unique("kills")
    asyncio.run(create_topic(kafka.bootstrap, topic, PARTITIONS))
    trace = tmp_path / "trace"
    rounds = Rounds(kafka, topic, launcher, trace)
    stage = Stage(tmp_path / "killed", kafka, topic, webhook)
    for one in by_form(short=AT_STOP[-1:], long=AT_STOP):
        assert rounds.kill(stage, Kill(*one), at_stop=True), f"never came to {one}:\n{stage.log()}"
    for kill in KILLS if LONG else sample():
        assert rounds.kill(stage, kill), f"never came to {kill}:\n{stage.log()}"
    assert_known(trace)
    missed = set(ALWAYS) - traced(trace) - by_form(short=IN_TIME, long=set())
    assert not missed, f"calls that the list names and no run has made: {missed}"

    rounds.plan(stage)
    launcher.start(stage.folder, trace=trace)
    wait_until(stage.send, 20, "everything is sent")
    database = stage.folder / "state.db"
    wait_until(
        lambda: set(incidents(database).values()) >= refused(rounds), 60, "every agent has an incident"
    )
    wait_until(lambda: all(pages_of(webhook, database).values()), 60, "every incident is paged")
    assert launcher.end(signal.SIGTERM) == 0, stage.log()
    assert_known(trace)

    rows = assert_sound(stage.store)
    pages = pages_of(webhook, database)
    assert set(pages.values()) == {1}, pages
    assert sorted(v for v in incidents(database).values() if v.endswith("/auth_failure")) == sorted(
        refused(rounds)
    )
    found = finding_ids(stage.store)
    assert len(found) == len(set(found)) >= len(pages)
    clean = Stage(tmp_path / "clean", kafka, topic, webhook, detect=False)
    assert_same(rows, uninterrupted(clean, stage, rounds, launcher), topic)


def sample() -> list[Kill]:
    """Of all kills every tenth, and those around what publishes: the seal, the commits and the page."""
    turns = [("link", "seal entry"), ("commit", "consumed"), ("commit", "appends"), ("send", "page")]
    around = [kill for kill in KILLS if kill[:2] in turns and kill.occurrence == 1]
    return list(dict.fromkeys([*KILLS[::10], *around]))


def assert_known(trace: Path) -> None:
    """The trace holds no call that the lists do not."""
    unknown = traced(trace) - {*FIRST_RUN, *AT_STOP, *ALWAYS, *SOMETIMES}
    assert not unknown, f"calls that no list here knows, so that nothing was killed at them: {unknown}"


def refused(rounds: Rounds) -> set[str]:
    return {f"{agent}/auth_failure" for agent in rounds.agents}


def uninterrupted(clean: Stage, stage: Stage, rounds: Rounds, launcher: Launcher) -> list[StoredRow]:
    """The rows of a run of the same messages, with the same keys, that nobody kills."""
    shutil.copytree(stage.folder / "keys", clean.folder / "keys")
    clean.unsent = list(stage.accepted)
    launcher.start(clean.folder)
    wait_until(clean.send, 60, "everything is sent")
    wait_until(lambda: clean.holds(rounds.topic, rounds.messages), 60, "everything is sealed")
    assert launcher.end(signal.SIGTERM) == 0, clean.log()
    return assert_sound(clean.store)


def assert_same(rows: list[StoredRow], clean: list[StoredRow], topic: str) -> None:
    """Of Kafka row by row; of what came by HTTP, where a retry is a repeat, event by event."""
    here, there = ({row[1:4]: row.content for row in of if row.topic == topic} for of in (rows, clean))
    assert here == there
    here, there = (
        {(json.dumps({**row.meta, "origin": None}), row.payload) for row in of if row.topic == "http"}
        for of in (rows, clean)
    )
    assert here == there
