"""A switch on a `_control` in memory, served; logs go to the real standard error, as auditfuse has it."""

import sys

import httpx
import pytest
import structlog
from support.killswitch import FakeControl, people_tokens, running_switch, served


@pytest.fixture(autouse=True)
def logs_to_standard_error():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def switch(tmp_path, control):
    with running_switch(tmp_path / "journal", control) as switch:
        yield switch


@pytest.fixture
def server(switch):
    with served(switch) as server:
        yield server


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.fixture
def people_http(tmp_path, control):
    """As `http`, of a switch that people have tokens for, and flags too need one."""
    options = {"tokens": people_tokens(), "ofrep_open_on_loopback": False}
    with running_switch(tmp_path / "journal", control, **options) as switch:
        with served(switch) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
            client.switch = switch
            yield client
