"""`auditfuse doctor`: is everything that auditfuse rests on well?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption

SIGNS = {"well": "well", "warning": "WARNING", "fails": "FAILS"}


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
) -> None:
    """Look at Kafka's topics, the store, keys, redaction, the state database, the control server, page
    targets, disks and the clock, and say what is wrong and what to do.

    Changes nothing. Exits with 1 if something fails.

    Examples:

      auditfuse doctor

      auditfuse doctor --strict --json
    """
    import msgspec

    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.doctor.areas import areas_of
    from pipeline.doctor.examine import examine
    from pipeline.logs import LogConfig, configure_logs

    loaded = load_config(config, store=store)
    configure_logs(LogConfig(format=loaded.log.format, level="error"))
    results = list(examine(areas_of(loaded, system_now_ms)))
    failing = sum(result.state == "fails" for result in results)
    warned = sum(result.state == "warning" for result in results)
    if as_json:
        typer.echo(json.dumps({"well": not failing, "checks": msgspec.to_builtins(results)}))
    else:
        for result in results:
            typer.echo(f"{SIGNS[result.state]:8} {result.check}: {result.says}")
            if result.remedy:
                typer.echo(f"{'':8}   {result.remedy}")
        typer.echo(f"{len(results)} checks: {failing} fail, {warned} warn.")
    if failing or (strict and warned):
        raise typer.Exit(1)
