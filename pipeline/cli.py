"""The command line: registers the verbs of `pipeline/commands/` and turns errors into messages."""

import importlib
import os
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
    "canary",
    "sql",
    "verify",
    "prove",
    "export",
    "catalog",
    "compact",
    "erase",
    "redact",
    "pseudonym",
    "replay",
    "explain",
    "doctor",
    "readiness",
    "rollout",
)
GROUPS = (
    "gap",
    "hold",
    "retention",
    "dead_letters",
    "incidents",
    "silence",
    "page",
    "killswitch",
    "detector",
    "config",
    "checkpoint",
    "keys",
    "baseline",
    "token",
)
"""Modules whose `app` is a group of verbs."""


DEBUG_VARIABLE = "AUDITFUSE_DEBUG"


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
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"auditfuse: {where}{error.strerror}; check that it is there, may be used and has room\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # A defect of ours. Its text and traceback may hold content, so they are shown on request only.
        if os.environ.get(DEBUG_VARIABLE):
            raise
        sys.stderr.write(
            f"auditfuse: unexpected {type(error).__name__}; nothing sealed is lost. This is a defect: "
            f"please report it, with the traceback that {DEBUG_VARIABLE}=1 shows.\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
