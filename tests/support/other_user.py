"""Runs as another user id: imports everything as root, gives root up for good, then does what it is told.

    python other_user.py '{"uid": …, "gid": …, "trail": "…", "closed": ["…"], "arguments": […]}'

Prints one JSON object. Imports come first, since the interpreter itself may lie where only root reads.
"""

import json
import os
import sys
from pathlib import Path

import duckdb
from typer.testing import CliRunner


def main() -> None:
    """Do what the first argument asks for and print what came of it."""
    task = json.loads(sys.argv[1])
    warm_up(task["arguments"])
    os.setgroups([])
    os.setgid(task["gid"])
    os.setuid(task["uid"])
    told = {"uid": os.geteuid(), "closed": {path: why_closed(Path(path)) for path in task["closed"]}}
    print(json.dumps(told | queried(task["trail"]) | commanded(task["arguments"])))


def warm_up(arguments: list[str]) -> None:
    """Load every module that the command needs."""
    commanded(arguments)
    duckdb.sql("SELECT 1").fetchall()


def queried(trail: str) -> dict[str, object]:
    """What plain DuckDB sees."""
    try:
        with duckdb.connect(trail, read_only=True) as connection:
            counts = "count(*), count(input), count(output), count(attributes)"
            return {
                "events": connection.execute(f"SELECT {counts} FROM events").fetchone(),
                "stored": connection.execute("SELECT count(payload), count(salt_p) FROM all_rows").fetchone(),
                "tools": connection.execute("SELECT count(*) FROM top_tools()").fetchone(),
            }
    except duckdb.Error as error:
        return {"error": type(error).__name__}


def why_closed(path: Path) -> str | None:
    """The error that opening raises, None where it opens."""
    try:
        if path.is_dir():
            list(path.iterdir())
        else:
            path.read_bytes()
    except OSError as error:
        return type(error).__name__
    return None


def commanded(arguments: list[str]) -> dict[str, object]:
    """What `auditfuse sql` says."""
    import typer

    from pipeline.commands.sql import sql

    app = typer.Typer()
    app.command()(sql)
    result = CliRunner().invoke(app, arguments)
    return {"stdout": result.stdout, "stderr": result.stderr, "failed": repr(result.exception or "")}


if __name__ == "__main__":
    main()
