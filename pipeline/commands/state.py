"""`auditfuse state show|upgrade|downgrade|copy|begin`: what the state database holds, and its version."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption

if TYPE_CHECKING:
    from pipeline.respond.state import StateDatabase

app = typer.Typer(help="The state database: what it holds, and its version.", no_args_is_help=True)
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def show(config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say where the state database is, which version its tables have, and what they hold. Changes nothing.

    Exits with 1 where this version of auditfuse cannot work with it as it is.

    Examples:

      auditfuse state show

      auditfuse state show --json
    """
    from pipeline.respond.schema import needs

    state, place = _open(config, store)
    version = state.schema_version()
    remedy = needs(version)
    counts = state.counts() if remedy is None else {}
    shards = state.shards() if remedy is None else []
    if as_json:
        found = {"database": place, "schema": version, "remedy": remedy, "shards": shards, "rows": counts}
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{place}: schema {version}" + (f"; {remedy}" if remedy else ""))
        for name, count in counts.items():
            typer.echo(f"  {name:<12}{count:>12,}")
        if shards:
            typer.echo(f"  consumed by {', '.join(shards)}")
    if remedy is not None:
        raise typer.Exit(1)


@app.command()
def upgrade(config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Bring the tables to the version that this auditfuse needs, whole or not at all; make them in an empty
    database.

    Copy the database before. Processes of the version before may go on working with it meanwhile; a new start
    of them is refused. `run` does this by itself for an SQLite file, and for PostgreSQL with state.migrate.

    Examples:

      auditfuse state upgrade

      auditfuse state upgrade --config /etc/auditfuse/auditfuse.toml --json
    """
    from pipeline.respond.tables import SCHEMA_VERSION

    _move(config, store, SCHEMA_VERSION, as_json=as_json)


@app.command()
def downgrade(
    *,
    to: Annotated[int, typer.Option(help="The schema that the older auditfuse needs; its error names it.")],
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the tables back to an older version, so that the auditfuse before this one can start again.

    Stop every process first, and do it before the older version is installed: only the newer one knows how.
    Refused where the older tables cannot hold what is stored; nothing is lost silently.

    Examples:

      auditfuse state downgrade --to 3
    """
    _move(config, store, to, as_json=as_json)


@app.command()
def copy(
    *,
    source: Annotated[
        Path, typer.Option("--from", help="The SQLite file. Nothing may write to it meanwhile.")
    ],
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy an SQLite state database into the configured one, which must be new.

    Incidents, pages on their way, silences, how far detection is: all of it, or nothing where it fails.

    Examples:

      auditfuse state copy --from /var/lib/auditfuse/state.db
    """
    from pydantic import SecretStr

    from pipeline.errors import StoreError
    from pipeline.respond.config import StateConfig
    from pipeline.respond.state import StateDatabase
    from pipeline.respond.transfer import copy_state

    if not source.is_file():
        raise StoreError(f"there is no file {source}")
    state, place = _open(config, store, is_new=True)
    state.create_schema()
    old = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{source.resolve()}")))
    counts = copy_state(old, state)
    if as_json:
        typer.echo(json.dumps({"database": place, "rows": counts}))
    else:
        typer.echo(f"{place} has {sum(counts.values()):,} rows of {source} now")


@app.command()
def begin(config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Let detection begin at this moment, in a new state database beside a store that has history.

    For a database that was lost: otherwise all that was ever found would be found, and paged, again.
    Detection still learns from the history. What was not told yet when the database was lost is not told.

    Examples:

      auditfuse state begin
    """
    from pipeline.audit.store import open_store
    from pipeline.config import load_config
    from pipeline.respond.transfer import begin_now

    state, place = _open(config, store, is_new=True)
    state.create_schema()
    audit_store = open_store(load_config(config, store=store).store)
    audit_store.require()
    ends = begin_now(state, audit_store)
    if as_json:
        listed = [{"topic_id": key[0], "partition": key[1], "end": end} for key, end in ends.items()]
        typer.echo(json.dumps({"database": place, "consumed": listed}))
    else:
        typer.echo(f"{place}: detection begins at the ends of {len(ends):,} partitions")


def _move(config: Path | None, store: str | None, target: int, *, as_json: bool) -> None:
    state, place = _open(config, store)
    before = state.schema_version()
    if before is None:
        state.create_schema()
    else:
        before = state.migrate(target)
    after = state.schema_version()
    if as_json:
        typer.echo(json.dumps({"database": place, "before": before, "schema": after}))
    elif before == after:
        typer.echo(f"{place} has schema {after} already")
    else:
        was = "it was empty" if before is None else f"it had {before}"
        typer.echo(f"{place} has schema {after} now; {was}")


def _open(config: Path | None, store: str | None, *, is_new: bool = False) -> "tuple[StateDatabase, str]":
    """The database, and where it is, in words without a password."""
    from pipeline.config import load_config
    from pipeline.errors import StoreError
    from pipeline.respond.engine import place_of, sqlite_file
    from pipeline.respond.state import StateDatabase

    loaded = load_config(config, store=store)
    file = sqlite_file(loaded.state)
    if not is_new and file is not None and not file.exists():
        raise StoreError(f"there is no state database at {file} yet; the first run makes it")
    return StateDatabase(loaded.state, loaded.respond), place_of(loaded.state)
