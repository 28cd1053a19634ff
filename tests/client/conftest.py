"""A stub of the server, and the real one in this process with short leases."""

import pytest
from auditfuse_client import Guard
from support.killswitch import running_switch, served
from support.lease_stub import running_stub


@pytest.fixture
def stub():
    with running_stub() as stub:
        yield stub


@pytest.fixture
def switch(tmp_path):
    with running_switch(tmp_path / "journal", lease_s=2, renew_s=0.5) as switch:
        yield switch


@pytest.fixture
def server(switch):
    with served(switch) as server:
        yield server


@pytest.fixture
def start(stub):
    """Starts guards that all end with the test."""
    guards = []

    def one(**options):
        guards.append(Guard(stub.url, agent="invoice-agent", **options))
        return guards[-1]

    yield one
    for guard in guards:
        guard.close()
