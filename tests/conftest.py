"""What the whole run shares: the Kafka broker, and the lines that say which one it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest._io import TerminalWriter
from support import broker

if TYPE_CHECKING:
    from support.postgres import PostgresServer
    from support.s3 import FakeS3

NEEDS_APACHE = "needs Apache Kafka"

LONGEST = (
    "e2e/test_kill_every_call.py",
    "redact/test_fast_path_fuzz.py",
    "e2e/test_real_traces.py",
    "docs/test_notebook.py",
    "audit/faults/test_fault_matrix.py",
    "e2e/test_demo.py",
    "benchmarks/test_benchmarks.py",
    "e2e/test_canaries.py",
    "e2e/test_kill_moments.py",
    "redact/test_corpus.py",
    "redact/test_memo.py",
    "audit/test_remote_store.py",
    "audit/tamper/test_tamper_matrix.py",
)
"""The files that take longest, the longest first: begun first, so that all workers end together."""

COMPILE = """
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.engine import Engine
Engine(RedactionConfig(names="off"))
"""
_left_out: list[str] = []
_WRITER = pytest.StashKey[TerminalWriter]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka_apache: needs what only Apache Kafka has")
    config.stash[_WRITER] = config.get_terminal_writer()
    config.stash[_WRITER].line(f"Kafka broker of the tests: {broker.choose().text}")
    if config.getoption("numprocesses", None):
        # Once for all workers and the processes that they start: it is kept.
        subprocess.run([sys.executable, "-c", COMPILE], cwd=config.rootpath, check=False)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    line = f"Kafka broker of the tests: {broker.choose().text}"
    if _left_out:
        line += f"; left out: {', '.join(_left_out)}"
    config.stash[_WRITER].line(line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    choice = broker.choose()
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "local" in parameters.values():
            continue  # a test of both kinds of topic, here with the local one
        if "kafka" in getattr(item, "fixturenames", ()) or "kafka" in parameters.values():
            item.add_marker("kafka")
        needed = "kafka" if choice.kind == "none" else "kafka_apache"
        if choice.is_apache or item.get_closest_marker(needed) is None:
            continue
        if os.environ.get("CI") == "true":
            raise pytest.UsageError("under CI=true only Apache Kafka will do: give Docker, or Java and Maven")
        item.add_marker(pytest.mark.skip(reason=f"{NEEDS_APACHE}; here is {choice.text}"))


def _turn(item: pytest.Item) -> int:
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return LONGEST.index(path) if path in LONGEST else len(LONGEST)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Also sees what ran in the worker processes of a parallel run."""
    if report.skipped and isinstance(report.longrepr, tuple) and NEEDS_APACHE in report.longrepr[2]:
        _left_out.append(report.nodeid.partition("::")[2])


@pytest.fixture(scope="session", autouse=True)
def disk_is_not_waited_for() -> Iterator[None]:
    """No test of this process waits for the disk: what fsync adds is seen after a power cut alone, and
    `support.disk` plays that. The processes that tests start sync as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def kafka() -> Iterator[broker.TestBroker]:
    """The broker that all tests share: use topics of your own names on it."""
    directory = Path(__file__).parent.parent / "build" / "kafka" / f"test-{os.getpid()}"
    with broker.running(directory) as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Iterator["FakeS3"]:
    """The S3 server that all tests of a process share."""
    from support.s3 import running  # moto takes a second to import

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """The PostgreSQL server that all tests of a process share: ask it for a database of your own."""
    from support.postgres import running

    with running() as server:
        yield server
