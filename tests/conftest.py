"""What the whole run shares: the Kafka broker, the lines that say which one it is, and how the run ends.

Tests have a short form and, where that leaves something out, a long one: `AUDITFUSE_LONG=1`, which is what
`make test-long` sets, runs more seeds, more kills, more cases, and the tests that are marked `long`. A short
form fails for the defect that its test was written for.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest._io import TerminalWriter
from support import broker
from support.long import LONG, VARIABLE, by_form
from support.stalled import Stalled

if TYPE_CHECKING:
    from support.postgres import PostgresServer
    from support.s3 import FakeS3

NEEDS_APACHE = "needs Apache Kafka"

LONGEST = (
    "e2e/test_kill_every_call.py",
    "e2e/test_halts.py",
    "e2e/test_pages.py",
    "e2e/test_canaries.py",
    "e2e/test_roles.py",
    "e2e/test_fault_run.py",
    "e2e/test_trip_when_broken.py",
    "audit/faults/test_fault_matrix.py",
    "e2e/test_demo.py",
    "e2e/test_real_traces.py",
    "docs/test_notebook.py",
    "e2e/test_ingest.py",
    "redact/test_fast_path_fuzz.py",
    "redact/test_memo.py",
    "audit/test_remote_store.py",
    "audit/tamper/test_tamper_matrix.py",
    "respond/test_delivery.py",
    "killswitch/test_peers.py",
    "web/test_browser.py",
)
"""The files that take longest, about the longest first: begun first, so that all workers end together."""

COMPILE = """
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.engine import Engine
Engine(RedactionConfig(names="off"))
"""
STALLED_S = by_form(short=700.0, long=2_000.0)
"""More than any test may take."""
_left_out: list[str] = []
_WRITER = pytest.StashKey[TerminalWriter]()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    # A lost worker ends the run, as a failure of the test that it was at. Were it replaced, xdist would hand
    # out its finished files again, and at the end wait for ever for tests that are done.
    if getattr(config.option, "maxworkerrestart", "0") is None:
        config.option.maxworkerrestart = "0"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka_apache: needs what only Apache Kafka has")
    config.addinivalue_line("markers", f"long: runs in the long form only ({VARIABLE}=1)")
    config.stash[_WRITER] = config.get_terminal_writer()
    config.stash[_WRITER].line(f"Kafka broker of the tests: {broker.choose().text}")
    if config.getoption("numprocesses", None):
        # Once for all workers and the processes that they start: it is kept.
        subprocess.run([sys.executable, "-c", COMPILE], cwd=config.rootpath, check=False)
        config.pluginmanager.register(Stalled(STALLED_S))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    line = f"Kafka broker of the tests: {broker.choose().text}"
    if _left_out:
        line += f"; left out: {', '.join(_left_out)}"
    config.stash[_WRITER].line(line)
    if not LONG:
        config.stash[_WRITER].line(
            f"Short forms of the tests: {VARIABLE}=1, or make test-long, for the long ones"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    if not LONG:
        _leave_out(config, items)
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


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of the long form."""
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
    items[:] = [item for item in items if item.get_closest_marker("long") is None]


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


@pytest.fixture(autouse=True)
def logs_are_as_at_first(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that runs a command in this process leaves its logging to no other test."""
    import structlog

    configure, before = structlog.configure, structlog.get_config()
    was_configured = structlog.is_configured()
    monkeypatch.setattr(
        structlog,
        "configure",
        lambda **settings: configure(**settings | {"cache_logger_on_first_use": False}),
    )
    yield
    if was_configured:
        configure(**before)
    else:
        structlog.reset_defaults()


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
