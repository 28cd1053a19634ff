"""The command line: registers the verbs of `pipeline/commands/` and turns errors into messages."""

import importlib
import sys
from typing import Any

import typer

from pipeline.errors import AuditfuseError

EPILOG = "Exit codes: 0 it holds, 1 it does not hold, 2 the usage or the configuration is wrong."
VERBS = (
    "demo",
    "run",
    "ingest",
    "generate",
    "sources",
    "sql",
    "verify",
    "catalog",
    "compact",
    "redact",
)
GROUPS = ("gap", "dead_letters", "incidents", "page", "killswitch", "config")
"""Modules whose `app` is a group of verbs."""


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="auditfuse",
        help="The black-box recorder and the fuse for AI agents.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in VERBS:
        module = importlib.import_module(f"pipeline.commands.{verb}")
        command: Any = getattr(module, verb)
        app.command(verb)(command)
    for group in GROUPS:
        module = importlib.import_module(f"pipeline.commands.{group}")
        app.add_typer(module.app, name=group.replace("_", "-"))
    return app


def main() -> None:
    """Entry point: no traceback reaches a user for anything auditfuse raises on purpose."""
    try:
        build_app()()
    except AuditfuseError as error:
        sys.stderr.write(f"auditfuse: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
