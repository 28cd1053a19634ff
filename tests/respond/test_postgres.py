"""The state database on a real PostgreSQL server: turns, retries, time limits, and servers that die."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, func, make_url, select, text
from support.certificates import Certificate, certificate
from support.respond import START_MS, found

from pipeline.errors import StoreError
from pipeline.respond import tables
from pipeline.respond.config import StateConfig
from pipeline.respond.engine import goes_unverified, open_engine, place_of
from pipeline.respond.state import StateDatabase, StateUnavailable

if TYPE_CHECKING:
    from support.postgres import PostgresServer

PART = ("traces.0123456789abcdef0123456789abcdef", 0)


@pytest.fixture
def url(postgres: "PostgresServer") -> str:
    return postgres.schema()


def state_of(url: str, **changes: Any) -> StateDatabase:
    return StateDatabase(StateConfig(url=SecretStr(url), **changes))


@pytest.fixture
def state(url: str) -> Iterator[StateDatabase]:
    database = state_of(url)
    database.create_schema()
    yield database
    database.close()


def raise_in_server(connection: Connection, sqlstate: str) -> None:
    connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"))


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "25006"])
def test_what_gave_way_is_tried_again_as_a_whole(state: StateDatabase, sqlstate: str) -> None:
    """Serialization failure, deadlock, lock not available, a server that is read-only during a fail-over."""
    tries: list[int] = []

    def transaction(connection: Connection) -> None:
        tries.append(len(tries))
        connection.execute(text("INSERT INTO targets VALUES ('hook', 0, NULL, 0, NULL)"))
        if len(tries) < 3:
            raise_in_server(connection, sqlstate)

    state.write(transaction)
    assert len(tries) == 3
    count = select(func.count()).select_from(tables.targets)
    assert state.read(lambda connection: connection.scalar(count)) == 1


def test_a_statement_that_is_wrong_is_not_tried_again_and_shows_no_values(state: StateDatabase) -> None:
    def transaction(connection: Connection) -> None:
        connection.execute(text("SELECT :value FROM nowhere"), {"value": "kim@example.com"})

    with pytest.raises(StoreError, match=r"refuses a statement \(UndefinedTable, 42P01") as raised:
        state.write(transaction)
    assert "kim" not in f"{raised.value} {raised.value.__cause__}"


def test_writers_take_turns_and_ends_alone_need_none(url: str, state: StateDatabase) -> None:
    impatient = state_of(url, busy_timeout_ms=50, retry_for_ms=0)
    with open_engine(StateConfig(url=SecretStr(url))).begin():
        with pytest.raises(StateUnavailable, match="LockNotAvailable, 55P03"):
            impatient.consume([found()], {PART: (0, 40)}, START_MS)
        impatient.consume([], {PART: (0, 40)}, START_MS)
        assert impatient.incidents() == []
    impatient.consume([found()], {PART: (40, 50)}, START_MS)
    assert impatient.sealed_ends() == {PART: 50}
    impatient.close()


def test_a_reader_sees_one_moment(state: StateDatabase) -> None:
    count = select(func.count()).select_from(tables.incidents)

    def look(connection: Connection) -> tuple[Any, Any]:
        before = connection.scalar(count)
        state.consume([found()], {PART: (0, 40)}, START_MS)
        return before, connection.scalar(count)

    assert state.read(look) == (0, 0)
    assert len(state.incidents()) == 1


def test_a_process_that_stands_still_in_a_transaction_holds_up_nobody(url: str, state: StateDatabase) -> None:
    stuck = open_engine(StateConfig(url=SecretStr(url), statement_timeout_ms=1_000)).connect()
    stuck.begin()
    state.consume([found()], {PART: (0, 40)}, START_MS)  # waits until the server has ended that one
    assert len(state.incidents()) == 1
    stuck.invalidate()


def test_a_statement_that_takes_too_long_is_ended(url: str) -> None:
    state = state_of(url, statement_timeout_ms=1_000, retry_for_ms=0)
    with pytest.raises(StateUnavailable, match="QueryCanceled"):
        state.read(lambda connection: connection.execute(text("SELECT pg_sleep(30)")))
    state.close()


def test_more_threads_than_connections_wait_and_then_say_so(url: str, state: StateDatabase) -> None:
    few = state_of(url, pool_size=2, busy_timeout_ms=1_000, retry_for_ms=0)
    hold, begun = threading.Event(), threading.Barrier(3)

    def look(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        begun.wait(10)
        hold.wait(10)

    threads = [threading.Thread(target=few.read, args=(look,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    with pytest.raises(StateUnavailable, match="all connections are in use"):
        few.incidents()
    hold.set()
    for thread in threads:
        thread.join()
    assert few.incidents() == []
    few.close()


def test_text_that_postgresql_does_not_take_holds_up_nothing(state: StateDatabase) -> None:
    state.consume([found("agent\0one", summary="a\0b")], {PART: (0, 40)}, START_MS)
    [incident] = state.incidents()
    assert incident.agent_id == "agent\0one", "as it was found"
    assert state.resolve(incident.incident_id, "ma\0ria", "", START_MS).status == "resolved"


def test_a_server_that_dies_loses_nothing_and_is_found_again() -> None:
    from support.postgres import running

    with running() as server:
        state = state_of(f"{server.database()}?options=-csynchronous_commit%3Don")
        state.create_schema()
        state.consume([found()], {PART: (0, 40)}, START_MS)
        server.kill()
        threading.Timer(0.5, server.start).start()
        state.consume([found(window=1)], {PART: (40, 50)}, START_MS)
        assert state.sealed_ends() == {PART: 50}
        assert state.incidents()[0].findings == 2
        state.close()


def test_a_password_is_in_no_error(postgres: "PostgresServer") -> None:
    url = postgres.with_password("limited", "hunter2")
    limited = state_of(url, retry_for_ms=0)
    with pytest.raises(StoreError, match=r"\(InsufficientPrivilege, 42501, the user may not do this\)"):
        limited.create_schema()
    limited.close()
    wrong = state_of(url.replace("hunter2", "hunter3"), retry_for_ms=0)
    with pytest.raises(StateUnavailable, match="the server refuses the user or the password") as raised:
        wrong.incidents()
    assert "hunter" not in f"{raised.value}{raised.value.__cause__}"
    assert "hunter" not in repr(wrong.__dict__)
    assert "hunter" not in place_of(StateConfig(url=SecretStr(url)))


def test_tls_is_as_the_url_says(url: str, tmp_path: Path) -> None:
    ours, another = certificate(tmp_path, "localhost"), certificate(tmp_path, "elsewhere")
    with tls_front(make_url(url).port or 0, ours) as port:
        secured = make_url(url).set(port=port)
        checked = {"sslmode": "verify-full", "sslrootcert": str(ours.cert)}
        state = state_of(secured.update_query_dict(checked).render_as_string(hide_password=False))
        state.create_schema()
        assert state.incidents() == []
        state.close()
        for changes, says in (
            ({"sslrootcert": str(another.cert)}, "the server's certificate is not accepted"),
            ({"port": "plain"}, "TLS cannot be agreed on"),
        ):
            target = make_url(url) if "port" in changes else secured
            query = checked | {name: value for name, value in changes.items() if name != "port"}
            refused = state_of(str(target.update_query_dict(query)), retry_for_ms=0)
            with pytest.raises(StateUnavailable, match=says):
                refused.incidents()
            refused.close()


@pytest.mark.parametrize(
    ("where", "unverified"),
    [
        ("sqlite:///state.db", False),
        ("postgresql+psycopg://u@localhost/x", False),
        ("postgresql+psycopg://u@/x?host=/run/postgresql", False),
        ("postgresql+psycopg://u@db.example.com/x", True),
        ("postgresql+psycopg://u@db.example.com/x?sslmode=require", True),
        ("postgresql+psycopg://u@db.example.com/x?sslmode=verify-full", False),
    ],
)
def test_a_server_elsewhere_has_to_be_verified(where: str, unverified: bool) -> None:
    assert goes_unverified(StateConfig(url=SecretStr(where))) is unverified


@contextlib.contextmanager
def tls_front(port: int, certificate: Certificate) -> Iterator[int]:
    """A server that speaks PostgreSQL's TLS, and hands on to one that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(8)  # SSLRequest
            self.request.sendall(b"S")
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                with socket.create_connection(("127.0.0.1", port)) as server:
                    back = threading.Thread(target=pump, args=(server, client), daemon=True)
                    back.start()
                    pump(client, server)
                    back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as front:
        front.daemon_threads = True
        threading.Thread(target=front.serve_forever, args=(0.02,), daemon=True).start()
        yield front.server_address[1]
        front.shutdown()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65_536):
            target.sendall(content)
        target.shutdown(socket.SHUT_RDWR)
