"""`auditfuse redact`: text or NDJSON in, redacted out."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.redact.redactor import RedactedText, Redactor


def redact(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to redact; - or none: stdin.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr what was found, by which recognizer, how surely.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document: the lines and the counts.")
    ] = False,
) -> None:
    """Redact text or NDJSON, line by line, as payloads are redacted before they are stored.

    A line that is a JSON object or array is walked leaf by leaf and keeps its numbers and layout; other
    lines are text. A private key's lines are taken together.

    Examples:

      echo "Call Margaret on +44 20 7946 0958" | auditfuse redact

      auditfuse redact events.ndjson > redacted.ndjson

      auditfuse redact --explain notes.txt
    """
    from pipeline.config import load_config
    from pipeline.keys import Keys
    from pipeline.redact.redactor import Redactor

    settings = load_config(config)
    redactor = Redactor(settings.redaction, Keys(settings.keys.path))
    counts: Counter[str] = Counter()
    kept: list[str] = []
    for number, result in enumerate(_redacted(redactor, _blocks(files or [Path("-")])), 1):
        counts.update(result.counts)
        if as_json:
            kept.append(result.text)
        else:
            typer.echo(result.text, nl=False)
        if explain:
            _explain(number, result)
    if as_json:
        typer.echo(json.dumps({"lines": kept, "redactions": dict(sorted(counts.items()))}))


def _redacted(redactor: "Redactor", blocks: Iterable[str]) -> Iterator["RedactedText"]:
    for block in blocks:
        body = block.rstrip("\r\n")
        result = redactor.redact_text(body)
        yield result._replace(text=result.text + block[len(body) :])


def _blocks(files: list[Path]) -> Iterator[str]:
    """Lines; the lines of a PEM block stay together, since only the whole of it shows what it is."""
    for file in files:
        held: list[str] = []
        for line in _lines(file):
            if held or ("-----BEGIN" in line and "-----END" not in line):
                held.append(line)
                if "-----END" not in line and len(held) < 500:
                    continue
                yield "".join(held)
                held = []
            else:
                yield line
        if held:
            yield "".join(held)


def _lines(file: Path) -> Iterator[str]:
    from pipeline.errors import ConfigError

    if str(file) == "-":
        for raw in sys.stdin.buffer:
            yield raw.decode("utf-8", "replace")
        return
    try:
        with file.open("rb") as stream:
            for raw in stream:
                yield raw.decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; name a file that you can read") from None


def _explain(number: int, result: "RedactedText") -> None:
    """Findings without their clear values, so that the explanation can be shared."""
    for hit in result.findings:
        typer.echo(
            f"line {number}: {hit.entity} at {hit.start}-{hit.end}, score {hit.score:.2f}, {hit.recognizer}",
            err=True,
        )
