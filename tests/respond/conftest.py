"""What the tests of the respond stage share: both kinds of state database."""

from pathlib import Path

import pytest
import support.respond
from pydantic import SecretStr
from support.long import by_form

BOTH = ["sqlite", "postgresql"]


@pytest.fixture(params=BOTH)
def each_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs on each: `support.respond.state_url` tells where. A directory is a database."""
    _use(request, monkeypatch)
    return str(request.param)


@pytest.fixture(params=by_form(short=BOTH[:1], long=BOTH))
def each_database_long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test is long, or another one needs the same of the database: it runs on both in the long form."""
    _use(request, monkeypatch)
    return str(request.param)


@pytest.fixture(params=by_form(short=BOTH[1:], long=BOTH))
def the_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test is about several processes: on PostgreSQL, and on both in the long form."""
    _use(request, monkeypatch)
    return str(request.param)


def _use(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        urls: dict[Path, SecretStr] = {}

        def state_url(directory: Path) -> SecretStr:
            if directory not in urls:
                urls[directory] = SecretStr(server.schema())
            return urls[directory]

        monkeypatch.setattr(support.respond, "state_url", state_url)
