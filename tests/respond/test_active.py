"""One member responds: who holds the lock, who takes over, and how soon who lost it knows."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
import support.respond
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text
from support.active_child import BEAT_S, HELD_S, LEASE_S
from support.killswitch import until
from support.respond import locked
from support.webhook import running_webhook

from pipeline.config import Config, load_config
from pipeline.respond import active, state_watch
from pipeline.respond.active import ActiveLock
from pipeline.respond.config import StateConfig
from pipeline.roles.respond import Respond

if TYPE_CHECKING:
    from support.postgres import PostgresServer

TESTS = Path(__file__).parents[1]
PATIENCE_S = 30
"""What is awaited may take so long where the machine has much else to do."""


@pytest.fixture
def in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losing it takes half as long as in use."""
    for name, seconds in (("BEAT_S", BEAT_S), ("HELD_S", HELD_S), ("LEASE_S", LEASE_S)):
        monkeypatch.setattr(active, name, seconds)


def url_of(directory: Path) -> str:
    return support.respond.state_url(directory).get_secret_value()


@contextlib.contextmanager
def a_lock(url: str) -> Iterator[ActiveLock]:
    lock = ActiveLock(StateConfig(url=SecretStr(url)))
    yield lock
    lock.release()


@contextlib.contextmanager
def holder(url: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Another process that holds the lock, and what it prints after that."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    command = [sys.executable, "-m", "support.active_child", url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process, process.stdout
        finally:
            process.kill()


@pytest.mark.usefixtures("each_database")
def test_one_at_a_time(tmp_path: Path) -> None:
    with a_lock(url_of(tmp_path)) as first, a_lock(url_of(tmp_path)) as second:
        assert first.try_acquire()
        assert first.try_acquire(), "it has it already"
        assert not second.try_acquire()
        assert (first.is_held, second.is_held) == (True, False)
        first.release()
        assert not first.is_held
        assert second.try_acquire()
        assert not first.try_acquire()


@pytest.mark.usefixtures("each_database")
def test_who_is_killed_hands_over(tmp_path: Path) -> None:
    with a_lock(url_of(tmp_path)) as standby, holder(url_of(tmp_path)) as (process, _):
        assert not standby.try_acquire()
        process.kill()
        until(standby.try_acquire, PATIENCE_S)


def test_it_is_kept_for_as_long_as_answers_come(
    postgres: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(active, "BEAT_S", 0.05)
    monkeypatch.setattr(active, "_now_s", lambda: now_s[0])
    with a_lock(postgres.schema()) as lock:
        assert lock.try_acquire()
        now_s[0] = active.HELD_S - 0.1
        until(lambda: held_after(lock, now_s, active.HELD_S + 0.1), PATIENCE_S)
        now_s[0] = 3 * active.HELD_S
        assert not lock.is_held, "nobody has answered since"


def held_after(lock: ActiveLock, now_s: list[float], later_s: float) -> bool:
    """Whether it would be held then, too, without another answer."""
    before_s, now_s[0] = now_s[0], later_s
    held, now_s[0] = lock.is_held, before_s
    return held


@pytest.mark.usefixtures("in_short")
def test_who_stands_still_loses_it_and_knows(postgres: "PostgresServer") -> None:
    url = postgres.schema()
    with a_lock(url) as standby, holder(url) as (process, said):
        process.send_signal(signal.SIGSTOP)
        until(standby.try_acquire, PATIENCE_S)
        process.send_signal(signal.SIGCONT)
        assert said.readline() == "lost\n"


@pytest.mark.usefixtures("in_short")
def test_whose_connection_is_cut_stops_before_another_begins(postgres: "PostgresServer") -> None:
    url = postgres.schema()
    lost = threading.Event()
    with network(make_url(url).port or 0) as (port, cut), a_lock(url) as standby:
        through = make_url(url).set(port=port).render_as_string(hide_password=False)
        first = ActiveLock(StateConfig(url=SecretStr(through), busy_timeout_ms=1_000), lost.set)
        assert first.try_acquire()
        cut()
        until(standby.try_acquire, PATIENCE_S)
        assert not first.is_held
        assert lost.wait(PATIENCE_S)
        assert not first.try_acquire(), "it is another's"
        first.release()


def test_a_session_that_the_server_ends_is_noticed_at_once(postgres: "PostgresServer") -> None:
    url = postgres.schema()
    lost = threading.Event()
    lock = ActiveLock(StateConfig(url=SecretStr(url)), lost.set)
    assert lock.try_acquire()
    engine = create_engine(url)
    with engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        connection.execute(text(others))
    engine.dispose()
    assert lost.wait(PATIENCE_S)
    assert not lock.is_held
    assert lock.try_acquire(), "on a new connection"
    lock.release()


def test_a_database_that_is_away_gives_no_lock(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://u:hunter2@127.0.0.1:{nobody.getsockname()[1]}/x"
        with a_lock(url) as lock:
            assert not lock.try_acquire()
            assert not lock.is_held
    (tmp_path / "file").touch()
    with a_lock(f"sqlite:///{tmp_path / 'file' / 'state.db'}") as lock:
        assert not lock.try_acquire()


def test_a_lock_file_that_somebody_deleted_is_no_lock(tmp_path: Path) -> None:
    with a_lock(url_of(tmp_path)) as first, a_lock(url_of(tmp_path)) as second:
        assert first.try_acquire()
        (tmp_path / "state.db.active").unlink()
        assert second.try_acquire()
        assert not first.is_held


async def test_who_stands_by_tells_that_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds the lock of a server that is away, so nobody delivers. It is told all the same."""
    monkeypatch.setattr(state_watch, "ROUND_S", 0.05)
    now_ms, done = iter(range(0, 10**9, 30_000)), asyncio.Event()
    with running_webhook() as webhook:
        path = tmp_path / "auditfuse.toml"
        target = f'[[respond.targets]]\nname = "hook"\nurl = "{webhook.url}"\n'
        path.write_text(f'data_dir = "{tmp_path}"\n{target}')
        parts = Waiting(load_config(path), lambda: next(now_ms))
        with locked(tmp_path):
            role = Respond(cast("Any", parts), cast("Any", None))
            running = asyncio.create_task(role.run(done))
            await asyncio.to_thread(webhook.wait_for, 1)
        await asyncio.to_thread(webhook.wait_for, 2)
        done.set()
        await running
        role.close()
    assert [one["event"] for one in webhook.requests] == ["trigger", "resolve"]


class Waiting:
    """The parts of a process that waits for its state database."""

    def __init__(self, config: Config, now_ms: Callable[[], int]) -> None:
        impatient = config.state.model_copy(update={"busy_timeout_ms": 1})
        self.config = config.model_copy(update={"state": impatient})
        self.now_ms = now_ms
        self.leads_responding, self.writer_id = False, "0" * 32
        self.state = self.store = self.keys = self.companion = cast("Any", None)

    def await_state(self, stop: threading.Event) -> bool:
        stop.wait(PATIENCE_S)
        return False


@contextlib.contextmanager
def network(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """A way to the server that `cut` makes silent: nothing arrives any more, and nobody is told."""
    listener = socket.create_server(("127.0.0.1", 0))
    silent = threading.Event()
    sockets: list[socket.socket] = [listener]

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65_536):
                if not silent.is_set():
                    target.sendall(content)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                sockets.extend((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1], silent.set
    for each in sockets:
        each.close()
