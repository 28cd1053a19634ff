"""Real text labelled by hand: `labels/*.jsonl` hold hashes and ranges; strings are found where they stand.

A line: `sha256` of the string (a leaf of a payload or a line of one; a piece of an installed package's file),
`source` ("taubench", or the file in site-packages and `at`, its characters there), `origin`, `sample`
("random", or what the string was drawn for), `spans` as [start, end, type]. docs/redaction-quality.md has
the rules.
"""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from benchmarks import stock
from benchmarks.scoring import Removed, removed
from benchmarks.traces import read_trace
from pipeline.redact.payload import is_json
from pipeline.redact.redactor import Redactor
from schemas.event import Event
from schemas.record import Payload

FOLDER = Path(__file__).parent / "labels"
SETS = ("taubench", "packages")


class Label(NamedTuple):
    """A labelled string, without its text."""

    sha256: str
    source: str
    at: tuple[int, int] | None
    origin: str
    sample: str
    spans: list[tuple[int, int, str]]


class Judged(NamedTuple):
    """A labelled string with its text and what was redacted of it, where it stands, by us and by stock."""

    label: Label
    text: str
    ours: list[Removed]
    stock: list[Removed]


def read_labels(name: str, count: int | None = None) -> list[Label]:
    """One of SETS, all of it or some spread over the file."""
    rows = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    if count is not None:
        rows = rows[:: len(rows) // count]
    return [
        Label(
            row["sha256"],
            row["source"],
            tuple(row["at"]) if "at" in row else None,
            row["origin"],
            row["sample"],
            [(start, end, kind) for start, end, kind in row["spans"]],
        )
        for row in rows
    ]


def judge(name: str, labels: Sequence[Label], redactor: Redactor) -> list[Judged]:
    """The labelled strings that are found here, redacted by both. Stock is asked for our types, on the string
    alone; ours sees a trace's string in its event, as a worker does."""
    found = _in_traces(labels, redactor) if name == "taubench" else _in_packages(labels, redactor)
    return [Judged(label, text, ours, stock_ranges(text)) for label, text, ours in found]


def stock_ranges(text: str) -> list[Removed]:
    """What stock finds of our types."""
    return [Removed(r.start, r.end, r.entity_type) for r in stock.analyze(text, stock.our_entities())]


Found = tuple[Label, str, list[Removed]]


def _in_packages(labels: Sequence[Label], redactor: Redactor) -> Iterator[Found]:
    for label in labels:
        text = package_text(label)
        if text is not None:
            yield label, text, removed(text, redactor.redact_text(text).text)


def package_text(label: Label) -> str | None:
    """The string in its package's file; None where the file is not there or is another version's."""
    if label.at is None:
        return None
    whole = _package_file(label.source)
    text = None if whole is None else whole[slice(*label.at)]
    return text if text is not None and _hash(text) == label.sha256 else None


@functools.lru_cache(maxsize=64)
def _package_file(name: str) -> str | None:
    site_packages = Path(str(importlib.metadata.distribution("msgspec").locate_file("")))
    try:
        return (site_packages / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _in_traces(labels: Sequence[Label], redactor: Redactor) -> Iterator[Found]:
    """Each string where it occurs first in the native file: its event is redacted as a message of its own."""
    wanted = {label.sha256: label for label in labels}
    for event in read_trace("native").events:
        here = {sha: text for text in _with_lines(_leaves(_payload(event))) if (sha := _hash(text)) in wanted}
        if not here:
            continue
        after = redactor.redact([[event]])[0][0]
        for text, ours in _pieces(_payload(event), msgspec.json.decode(after.payload)):
            label = wanted.pop(_hash(text), None)
            if label is not None:
                yield label, text, ours


def _payload(event: Event) -> object:
    payload = Payload(input=event.input, output=event.output, attributes=event.attributes)
    return msgspec.json.decode(msgspec.json.encode(payload))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _leaves(value: object) -> Iterator[str]:
    return (before for before, _ in _pairs(value, value))


def _with_lines(leaves: Iterator[str]) -> Iterator[str]:
    for leaf in leaves:
        yield leaf
        if "\n" in leaf:
            yield from leaf.split("\n")


def _pieces(before: object, after: object) -> Iterator[tuple[str, list[Removed]]]:
    """Every leaf and every line of one, and what was redacted of it."""
    for text, redacted in _pairs(before, after):
        ranges = removed(text, redacted)
        yield text, ranges
        start = 0
        for line in text.split("\n") if "\n" in text else ():
            yield line, _within(ranges, start, start + len(line))
            start += len(line) + 1


def _within(ranges: Sequence[Removed], start: int, end: int) -> list[Removed]:
    return [
        Removed(max(r.start, start) - start, min(r.end, end) - start, r.entity)
        for r in ranges
        if r.start < end and r.end > start
    ]


def _pairs(before: object, after: object) -> Iterator[tuple[str, str]]:
    """The strings of a JSON value, keys and JSON in strings included, each with what became of it."""
    if isinstance(before, str):
        if is_json(before):
            yield from _pairs(msgspec.json.decode(before), msgspec.json.decode(str(after)))
        else:
            yield before, str(after)
    elif isinstance(before, list):
        for old, new in zip(cast("list[object]", before), cast("list[object]", after), strict=True):
            yield from _pairs(old, new)
    elif isinstance(before, dict):
        olds, news = cast("dict[str, object]", before), cast("dict[str, object]", after)
        for (old_key, old), (new_key, new) in zip(olds.items(), news.items(), strict=True):
            yield old_key, new_key
            yield from _pairs(old, new)
