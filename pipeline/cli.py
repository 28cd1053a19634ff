"""The command line: registers the verbs of `pipeline/commands/` and turns errors into messages."""

import atexit
import contextlib
import importlib
import os
import sys
import threading
from typing import Any, NoReturn

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
    "thin",
    "redact",
    "pseudonym",
    "replay",
    "explain",
    "doctor",
    "bench",
    "readiness",
    "rollout",
)
GROUPS = (
    "gap",
    "hold",
    "retention",
    "dead_letters",
    "topics",
    "incidents",
    "silence",
    "page",
    "killswitch",
    "detector",
    "config",
    "checkpoint",
    "keys",
    "state",
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
    leave(run())


def run() -> int:  # noqa: PLR0911 (one for each way to end)
    """Carry out the command of `sys.argv`; the exit code. Unlike `main` it does not end the process."""
    try:
        build_app()()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except AuditfuseError as error:
        sys.stderr.write(f"auditfuse: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"auditfuse: {where}{error.strerror}; check that it is there, may be used and has room\n"
        )
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # A defect of ours. Its text and traceback may hold content, so they are shown on request only.
        if os.environ.get(DEBUG_VARIABLE):
            raise
        sys.stderr.write(
            f"auditfuse: unexpected {type(error).__name__}; nothing sealed is lost. This is a defect: "
            f"please report it, with the traceback that {DEBUG_VARIABLE}=1 shows.\n"
        )
        return 2
    return 0


def leave(code: int) -> NoReturn:
    """End the process.

    A daemon thread may still be in native code: a look-up that was left behind at its time limit. Python
    would end it by unwinding its stack, which C++ answers with abort(). So do what Python does, but that.
    """
    if not any(thread.daemon for thread in threading.enumerate()):
        sys.exit(code)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for all other threads
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
