"""`auditfuse dead-letters`: messages that could not become events."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.audit.store import Store
    from pipeline.retry.letters import Letter
    from pipeline.retry.run import Retried

app = typer.Typer(help="Messages that could not become events.", no_args_is_help=True)
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]


@app.command("list")
def list_dead_letters(
    store: StoreOption = None,
    config: ConfigFile = None,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="Count them by source and reason.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List dead letters, the newest first: where each is, why, and how long the message was.

    Their text is not in the store. The message is still in its topic, at the offset shown.

    Examples:

      auditfuse dead-letters list --limit 20

      auditfuse dead-letters list --by-reason --json
    """
    if by_reason:
        query = (
            "SELECT source, reason, count(*) AS dead_letters, max(broker_time) AS newest FROM dead_letters "
        )
        query += "GROUP BY ALL ORDER BY dead_letters DESC"
    else:
        query = (
            'SELECT topic_id, "partition", "offset", broker_time, source, reason, length FROM dead_letters '
        )
        query += 'ORDER BY broker_time DESC, topic_id, "partition", "offset" DESC'
    _run(store, config, f"{query} LIMIT {limit}", as_json)


@app.command("show")
def show_dead_letter(
    topic_id: Annotated[str, typer.Argument(help="The topic id, or the topic's name.")],
    partition: Annotated[int, typer.Argument(help="The partition.")],
    offset: Annotated[int, typer.Argument(help="The offset of the message.")],
    store: StoreOption = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show everything that is known of one dead letter.

    Example:

      auditfuse dead-letters show agent-events 0 4711
    """
    from pipeline.audit.views.base import quoted

    topic = quoted(topic_id)
    name = "regexp_replace(topic_id, '[.][0-9a-f]{32}$', '')"
    _run(
        store,
        config,
        f"FROM dead_letters WHERE {topic} IN (topic_id, {name}) "
        f'AND "partition" = {partition} AND "offset" = {offset}',
        as_json,
        missing=f"there is no dead letter at {topic_id}/{partition} offset {offset}",
    )


@app.command("retry")
def retry_dead_letters(
    letter: Annotated[
        str | None, typer.Argument(metavar="ID", help="TOPIC_ID/PARTITION/OFFSET, as the list shows them.")
    ] = None,
    reason_code: Annotated[
        str | None, typer.Option("--reason-code", help="All of one reason, such as not-json.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only those of one source.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and decode, and store nothing.")] = False,
    store: StoreOption = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read dead letters again where their topic still holds them, with today's configuration.

    What is an event now is sealed into a partition of its own, linked to its dead letter, which stays; each
    is retried once. Its events are late: they trip nothing. Exits with 1 where one was not retried.

    Examples:

      auditfuse dead-letters retry agent-events.0123456789abcdef0123456789abcdef/0/4711

      auditfuse dead-letters retry --reason-code larger-than-max-message-bytes --dry-run
    """
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.keys import Keys
    from pipeline.retry.run import Retrier

    if (letter is None) == (reason_code is None and source is None):
        raise ConfigError("say which: an ID, or --reason-code and --source")
    settings = load_config(config, store=store)
    opened = open_store(settings.store)
    opened.require()
    chosen = _chosen(opened, letter, reason_code, source)
    retrier = Retrier(opened, settings, Keys(settings.keys.path), now_ms=system_now_ms)
    done = [_told(one) for one in _shown(retrier.retry(chosen, dry_run=dry_run), len(chosen), as_json)]
    _summarize(done, dry_run, as_json)
    if any(one["status"] in ("still a dead letter", "not held") for one in done):
        raise typer.Exit(1)


def _summarize(done: list[dict[str, Any]], dry_run: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"executed": not dry_run, "dead_letters": done}))
        return
    if not done:
        typer.echo("No dead letter is like that.")
        return
    counts = Counter(one["status"] for one in done)
    words = {"retried": "would be retried"} if dry_run else {}
    told = ", ".join(f"{count} {words.get(status, status)}" for status, count in counts.most_common())
    typer.echo(f"Of {len(done)} dead letters: {told}.")


def _chosen(store: Store, letter: str | None, reason_code: str | None, source: str | None) -> list[Letter]:
    from pipeline.decode.dead_letter import REASONS
    from pipeline.errors import ConfigError, StoreError
    from pipeline.retry.letters import dead_letters

    reasons = {_code(reason): reason for reason in REASONS}
    if reason_code is not None and _code(reason_code) not in reasons:
        raise ConfigError(f"--reason-code is one of: {', '.join(sorted(reasons))}")
    wanted = None if reason_code is None else reasons[_code(reason_code)]
    found = [
        one
        for one in dead_letters(store)
        if (letter is None or letter in (one.identity, one.identity.rpartition("/")[0]))
        and wanted in (None, one.reason)
        and source in (None, one.source)
    ]
    if letter is not None and not found:
        raise StoreError(f"there is no dead letter {letter}; see: auditfuse dead-letters list")
    return found


def _code(reason: str) -> str:
    """A reason as a word of the command line: `not JSON` is `not-json`."""
    return re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")


def _told(one: Retried) -> dict[str, Any]:
    letter = one.letter
    return {
        "dead_letter": letter.identity,
        "source": letter.source,
        "reason": letter.reason,
        "status": one.status,
        "why": one.why,
        "events": one.events,
    }


def _shown(retries: Iterable[Retried], total: int, as_json: bool) -> Iterator[Retried]:
    """Each as it comes, a line of text for it, and on a terminal how far it is."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = as_json or not sys.stderr.isatty()
    for one in track(retries, "Retrying", total=total, console=console, disable=hidden, transient=True):
        if not as_json:
            why = f": {one.why}" if one.why else f" as {one.events} events" if one.events else ""
            typer.echo(f"{one.letter.identity}  {one.status}{why}")
        yield one


def _run(
    store: str | None, config: Path | None, query: str, as_json: bool, missing: str | None = None
) -> None:
    from pipeline.audit.query import open_catalog
    from pipeline.commands.sql import run_query
    from pipeline.errors import StoreError

    output: Literal["json", "table"] = "json" if as_json else "table"
    with open_catalog(chosen_store(store, config)) as catalog:
        if missing is not None and not any(result.fetchone() for result in catalog.run(query)):
            raise StoreError(missing)
        run_query(catalog, query, output)
