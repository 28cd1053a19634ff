"""What the end-to-end tests of `auditfuse run` share: configurations, events, questions to the store."""

import contextlib
import csv
import io
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.running import auditfuse

AGENT = "invoice-agent"
LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
QUICK: dict[str, Any] = {"redaction": {"names": "off"}, "worker": {"processes": 0}}
"""No model of names, no process pool: these tests are about neither, and start in half the time."""


def source(topic: str, **options: Any) -> dict[str, Any]:
    """A Kafka source of native events that may speak for every agent."""
    bound = {"name": topic, "topic": topic, "kind": "kafka", "format": "events"}
    return {**bound, "agents": ["*"], "environments": ["*"], **options}


def kafka(bootstrap: str, group: str) -> dict[str, Any]:
    """A group of its own; the broker hears of a member that hangs within its shortest time-out."""
    return {
        "bootstrap_servers": bootstrap,
        "group_id": group,
        "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 500,
    }


def event(agent: str = AGENT, **fields: Any) -> bytes:
    """One step of an agent that ended just now."""
    step = {
        "start_time_unix_nano": time.time_ns() - 1_000_000,
        "duration_ns": 1_000_000,
        "agent_id": agent,
        "environment": "production",
        "trace_id": secrets.token_hex(16),
        "span_id": secrets.token_hex(8),
        "operation": "execute_tool",
        "action": "lookup_invoice",
        "action_kind": "read",
        "status": "ok",
    }
    return json.dumps({**step, **fields}).encode()


def refusals(count: int, agent: str = AGENT) -> list[bytes]:
    """Refused authorizations."""
    refused = {"status": "error", "http_status": 403, "error_type": "PermissionDenied"}
    return [event(agent, **refused) for _ in range(count)]


def query(folder: Path, sql: str) -> list[dict[str, str]]:
    """Rows by `auditfuse sql`, every value as text."""
    done = auditfuse("sql", "--config", "auditfuse.toml", "--format", "csv", sql, cwd=folder)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def verified(folder: Path) -> dict[str, Any]:
    """The report of `auditfuse verify`, which must hold."""
    done = auditfuse("verify", "--config", "auditfuse.toml", "--json", cwd=folder)
    report = json.loads(done.stdout)
    assert report["holds"] is True, report
    return report


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the database's write lock."""
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        yield
    finally:
        holder.kill()
        holder.communicate()
