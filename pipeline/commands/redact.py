"""`auditfuse redact`: text or NDJSON in, redacted out; and the policy test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pipeline.commands.options import ConfigOption

if TYPE_CHECKING:
    from pipeline.keys import Keys
    from pipeline.redact.cases import Failure
    from pipeline.redact.config import RedactionConfig
    from pipeline.redact.explain import Explainer
    from pipeline.redact.redactor import RedactedText, Redactor
    from pipeline.redact.stream import Block

Explain = Annotated[
    bool, typer.Option("--explain", help="Say on stderr what was found, by which recognizer, and why.")
]
ShowValues = Annotated[
    bool, typer.Option("--show-values", help="With --explain: the clear values too, for your own eyes.")
]
Diff = Annotated[bool, typer.Option("--diff", help="Show the changed lines, before and after: clear text.")]
PolicyFor = Annotated[
    str | None,
    typer.Option("--policy-for", help="AGENT or AGENT@SOURCE: under the policy that holds for it."),
]
Names = Annotated[
    str | None, typer.Option("--names", help="Who finds names in this run: off, or another `names`.")
]
Check = Annotated[Path | None, typer.Option("--check", help="Run a policy test: a YAML file of cases.")]

_STAND_INS = ("REDACTION_FAILED", "REDACTION_CUT")


class _Shown(NamedTuple):
    """What is printed."""

    explain: bool
    values: bool
    diff: bool
    json: bool

    def require_possible(self) -> None:
        """Raises ConfigError for options that do not go together."""
        from pipeline.errors import ConfigError

        if self.diff and self.json:
            raise ConfigError("--diff is for people and --json for programs; choose one")
        if self.values and not self.explain:
            raise ConfigError("--show-values is about what --explain says; add --explain")


def redact(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to redact; - or none: stdin.")] = None,
    config: ConfigOption = None,
    explain: Explain = False,
    show_values: ShowValues = False,
    diff: Diff = False,
    policy_for: PolicyFor = None,
    names: Names = None,
    check: Check = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document: the lines and the counts.")
    ] = False,
) -> None:
    """Redact text or NDJSON, line by line, as payloads are redacted before they are stored.

    A line that is a JSON object or array is walked leaf by leaf and keeps its numbers and layout; other
    lines are text. A private key's lines are taken together. Counts by type go to stderr at the end. Exits
    with 1 if something was replaced or cut because it would not fit its budget, or if a case of the policy
    test fails.

    Examples:

      echo "Call Margaret on +44 20 7946 0958" | auditfuse redact

      auditfuse redact events.ndjson > redacted.ndjson

      auditfuse redact --explain --diff notes.txt

      auditfuse redact --policy-for billing/refunds@orders notes.txt

      auditfuse redact --check redaction-cases.yaml
    """
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.keys import Keys
    from pipeline.redact.redactor import Redactor

    settings = load_config(config)
    rules = _chosen(settings.redaction, policy_for, names)
    keys = Keys(settings.keys.path)
    if check is not None:
        if files or explain or diff or policy_for:
            raise ConfigError("--check takes its texts and agents from its file; leave the others out")
        _check(check, rules, keys, as_json)
        return
    shown = _Shown(explain, show_values, diff, as_json)
    shown.require_possible()
    counts = _filter(files or [Path("-")], rules, Redactor(rules, keys), shown)
    if any(counts[kind] for kind in _STAND_INS):
        raise typer.Exit(1)


def _chosen(rules: RedactionConfig, policy_for: str | None, names: str | None) -> RedactionConfig:
    """The configuration with what the command line says of it."""
    from pydantic import ValidationError

    from pipeline.errors import ConfigError
    from pipeline.redact.overrides import general_rules_for

    if names is not None:
        try:
            rules = type(rules).model_validate(rules.model_dump(exclude_unset=True) | {"names": names})
        except ValidationError as error:
            reason = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise ConfigError(f"--names {names}: {reason}") from None
    if policy_for is not None:
        agent, _, source = policy_for.partition("@")
        rules = general_rules_for(rules, agent, source)
    return rules


def _filter(files: list[Path], rules: RedactionConfig, redactor: Redactor, shown: _Shown) -> Counter[str]:
    """Print everything redacted, in constant memory; the counts by type."""
    from pipeline.redact.explain import Explainer

    explainer = Explainer(rules) if shown.explain else None
    counts: Counter[str] = Counter()
    lines = 0
    if shown.json:
        typer.echo('{"lines": [', nl=False)
    for block, result in _redacted(files, rules, redactor):
        counts.update(result.counts)
        found = list(_found(block, result, shown, explainer)) if explainer else []
        if shown.json:
            entry = {"text": result.text, "findings": found} if shown.explain else result.text
            typer.echo((", " if lines else "") + json.dumps(entry), nl=False)
        else:
            _print(block, result.text, found, as_diff=shown.diff)
        lines += 1
    by_type = dict(sorted(counts.items()))
    if shown.json:
        typer.echo(f'], "redactions": {json.dumps(by_type)}}}')
    told = "".join(f"; {entity} {count}" for entity, count in by_type.items())
    typer.echo(f"{lines} lines, {sum(counts.values())} values redacted{told}", err=True)
    return counts


def _redacted(
    files: list[Path], rules: RedactionConfig, redactor: Redactor
) -> Iterator[tuple[Block, RedactedText]]:
    from pipeline.redact.redactor import RedactedText
    from pipeline.redact.stream import blocks

    # A longer line would be replaced anyway, once it was read.
    for block in blocks(files, 4 * rules.max_event_bytes):
        body = block.text.rstrip("\r\n")
        if block.withheld:
            yield block, RedactedText(block.text, {"REDACTION_FAILED": 1}, ())
            continue
        result = redactor.redact_text(body)
        yield block, result._replace(text=result.text + block.text[len(body) :])


def _print(block: Block, after: str, found: list[dict[str, Any]], *, as_diff: bool) -> None:
    if as_diff:
        _print_diff(block, after)
    else:
        typer.echo(after, nl=False)
    where = f"{block.file}, line {block.line}" if block.file != "-" else f"line {block.line}"
    for one in found:
        place = f" at {one['start']}-{one['end']}, score {one['score']:.2f}" if "start" in one else ""
        value = f": {one['value']!r}" if "value" in one else ""
        typer.echo(f"{where}: {one['type']}{place}, {one['recognizer']} ({one['why']}){value}", err=True)


def _found(
    block: Block, result: RedactedText, shown: _Shown, explainer: Explainer
) -> Iterator[dict[str, Any]]:
    """Findings without their clear values, unless they were asked for, so that they can be shared."""
    seen: Counter[str] = Counter()
    for hit in result.findings:
        seen[hit.entity] += 1
        finding: dict[str, Any] = {
            "type": hit.entity,
            "start": hit.start,
            "end": hit.end,
            "score": round(hit.score, 2),
            "recognizer": hit.recognizer,
            "why": explainer.why(hit, block.text),
        }
        yield finding | ({"value": hit.value} if shown.values else {})
    for entity, count in (Counter(result.counts) - seen).items():
        if entity not in _STAND_INS:
            why = "again in the same line: a name found elsewhere in it, or what showed once others had gone"
            yield {"type": entity, "recognizer": f"{count} more", "why": why}


def _print_diff(block: Block, after: str) -> None:
    if after == block.text:
        return
    from rich.console import Console
    from rich.text import Text

    from pipeline.redact.pseudonym import TOKEN

    # Width and markup are the text's own; colours only for a terminal that wants them.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(Text(f"@@ {block.file}:{block.line} @@", style="cyan"))
    for line in block.text.splitlines():
        console.print(Text(f"-{line}", style="red"))
    for line in after.splitlines():
        text = Text(f"+{line}", style="green")
        text.highlight_regex(TOKEN.pattern, "bold")
        console.print(text)


def _check(file: Path, rules: RedactionConfig, keys: Keys, as_json: bool) -> None:
    from pipeline.redact.cases import read_cases, run_cases
    from pipeline.redact.redactor import Redactor

    cases = read_cases(file)
    failures = run_cases(cases, Redactor(rules, keys))
    if as_json:
        found = [{"file": str(file), **failure._asdict()} for failure in failures]
        typer.echo(json.dumps({"cases": len(cases), "failures": found}))
    elif failures:
        _print_table(file, failures)
    failed = len({failure.number for failure in failures})
    typer.echo(f"{len(cases) - failed} of {len(cases)} cases hold.", err=as_json)
    if failures:
        raise typer.Exit(1)


def _print_table(file: Path, failures: list[Failure]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("where", "case", "what"):
        table.add_column(heading, overflow="fold")
    for failure in failures:
        name = f"{failure.number} {failure.name}".strip()
        table.add_row(Text(f"{file}:{failure.line}"), Text(name), Text(failure.what))
    Console(soft_wrap=True, highlight=False).print(table)
