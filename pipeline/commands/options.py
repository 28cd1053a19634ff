"""Options that many commands take alike."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Your name; by default the login name.")]
