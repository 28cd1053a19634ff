"""`auditfuse sql`: DuckDB over the audit store, read-only."""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from pipeline.commands.chosen_catalog import CatalogOption, chosen_catalog
from pipeline.commands.chosen_store import StoreOption

if TYPE_CHECKING:
    import duckdb

    from pipeline.audit.query import Query

Format = Literal["table", "csv", "json"]
FETCH_ROWS = 1000
TABLE_MAX_ROWS = 1000
"""A table is for reading: what has more rows is cut here and says so. csv and json give all rows."""
PROMPT, CONTINUED = "auditfuse> ", "      ...> "


def sql(
    query: Annotated[
        str | None, typer.Argument(help="The query; without one, a prompt or standard input.")
    ] = None,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    catalog: CatalogOption = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Query the audit store with DuckDB SQL. Nothing can be written, and no other file be read.

    Views: events, traces, sessions, agents_by_minute, dead_letters, findings, incidents, killswitch,
    erasures, holds, segments, checkpoints. Questions under names: trace('…'), agent_timeline('…') and
    others. docs/schema.md has every column.

    Who may not read the store but the readers' copy of the configuration gets that one.

    Examples:

      auditfuse sql "select count(*) from events"

      auditfuse sql --format csv "from agents_by_minute where errors > 0 order by minute"

      auditfuse sql "from errors_by_agent(ago('1 hour'))"

      echo "from findings" | auditfuse sql --format json

      auditfuse sql --catalog /srv/trail/trail.duckdb "from incidents"
    """
    with chosen_catalog(store, config, catalog) as opened:
        if query is not None:
            run_query(opened, query, output)
        elif sys.stdin.isatty():
            _prompt(opened, output)
        else:
            run_query(opened, sys.stdin.read(), output)


def run_query(catalog: Query, text: str, output: Format) -> None:
    """Run the statements of `text` and print what each gives. Raises QueryError."""
    import duckdb

    from pipeline.audit.query import query_error

    try:
        for result in catalog.run(text):
            names = [column[0] for column in result.description or []]
            if names:
                {"table": _print_table, "csv": _print_csv, "json": _print_json}[output](names, result)
    except duckdb.Error as error:
        raise query_error(error) from None  # while the rows were fetched


def _prompt(catalog: Query, output: Format) -> None:
    from pipeline.audit.query import QueryError

    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # line editing and history, where Python has them
    typer.echo("Queries end with ';'. SHOW TABLES lists the views. Leave with Ctrl-D.")
    text = ""
    while True:
        try:
            text += input(CONTINUED if text.strip() else PROMPT) + "\n"
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            text = ""
            typer.echo()
            continue
        if text.strip().lower() in ("exit", "quit", ".quit", ".exit"):
            return
        if text.rstrip().endswith(";"):
            try:
                run_query(catalog, text, output)
            except QueryError as error:
                typer.echo(str(error), err=True)
            text = ""


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while batch := result.fetchmany(FETCH_ROWS):
        yield from batch


def _print_csv(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in _rows(result):
        writer.writerow(["" if value is None else _text(value) for value in row])


def _print_json(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    """One JSON array of objects, a row a line."""
    separator = "["
    for row in _rows(result):
        record = {name: _json_value(value) for name, value in zip(names, row, strict=True)}
        sys.stdout.write(separator + json.dumps(record, ensure_ascii=False))
        separator = ",\n "
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


def _print_table(names: list[str], result: duckdb.DuckDBPyConnection) -> None:
    rows = [[_cell(value) for value in row] for row in result.fetchmany(TABLE_MAX_ROWS)]
    cut = result.fetchone() is not None
    if sys.stdout.isatty():
        _print_rich(names, rows)
    else:
        _print_plain(names, rows)
    if cut:
        typer.echo(f"The first {TABLE_MAX_ROWS} rows; --format csv or json prints all.", err=True)


def _print_rich(names: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*names)
    for row in rows:
        # Text, not markup: what an agent wrote must not colour a terminal.
        table.add_row(*map(Text, row))
    Console().print(table)


def _print_plain(names: list[str], rows: list[list[str]]) -> None:
    """Columns aligned by spaces, easy to read and to cut."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in [names, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    """One line a value; control characters, which could steer a terminal, become visible."""
    text = "" if value is None else _text(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _text(value: Any) -> str:
    plain = _json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _json_value(value: Any) -> Any:
    """Values as JSON has them: bytes in hex, times and decimals as text, the rest as it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in cast("list[Any]", value)]
    return str(value)
