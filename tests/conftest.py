"""What the whole run shares: the Kafka broker, and the lines that say which one it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest._io import TerminalWriter
from support import broker

_LEFT_OUT = pytest.StashKey[list[str]]()
_WRITER = pytest.StashKey[TerminalWriter]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka_apache: needs what only Apache Kafka has")
    config.stash[_LEFT_OUT] = []
    config.stash[_WRITER] = config.get_terminal_writer()
    config.stash[_WRITER].line(f"Kafka broker of the tests: {broker.choose().text}")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    line = f"Kafka broker of the tests: {broker.choose().text}"
    if left_out := config.stash[_LEFT_OUT]:
        line += f"; left out: {', '.join(left_out)}"
    config.stash[_WRITER].line(line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
        item.add_marker(pytest.mark.skip(reason=f"needs Apache Kafka; here is {choice.text}"))
        config.stash[_LEFT_OUT].append(item.name)


@pytest.fixture(scope="session")
def kafka() -> Iterator[broker.TestBroker]:
    """The broker that all tests share: use topics of your own names on it."""
    directory = Path(__file__).parent.parent / "build" / "kafka" / f"test-{os.getpid()}"
    with broker.running(directory) as running:
        yield running
