"""Redaction: events/s on the real traces, memo cold at the start, beside stock Presidio."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks import stock
from benchmarks.report import Cost, Report, median, parse_arguments, scratch, show, timed
from benchmarks.traces import FILES, Trace, read_trace, strings
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.redactor import Redactor
from schemas.event import Event

SAMPLE_CHARS = 40_000
"""Of each file's events, drawn at random, so many characters of strings are given to stock."""
CHUNK_STRINGS = 64
WARM_UP = "Jane Roe, 30 Hill Street, jane@example.org, +1 415 555 0132"


class Streamed(NamedTuple):
    """A file through the redactor, and a sample of it through stock."""

    events: int
    megabytes: float
    cost: Cost
    """Of redacting the whole file."""
    chars: int
    """Characters of strings in the whole file."""
    sample: list[str]
    stock: Cost
    """Of stock on the sample."""
    failed: int

    @property
    def ratio(self) -> float:
        """Stock's CPU seconds per character of strings by ours, repeats included in both."""
        sample_chars = sum(map(len, self.sample))
        return (self.stock.cpu_s / sample_chars) / (self.cost.cpu_s / self.chars)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-redact.json."""
    arguments = parse_arguments(__doc__, argv, rounds=1)
    report = Report("bench-redact", arguments)
    names = list(FILES)[:1] if arguments.quick else list(FILES)
    traces = {name: read_trace(name, 40 if arguments.quick else None) for name in names}
    sample_chars = 400 if arguments.quick else SAMPLE_CHARS
    streams = {name: _stream(trace, arguments.rounds, sample_chars) for name, trace in traces.items()}
    unique = sorted({text for stream in streams.values() for text in stream.sample})
    ours, theirs = _on_unique(unique)
    first = traces[names[0]]
    nameless = _cost(first, arguments.rounds, names="off")[0]
    report.table(
        ["file", "events", "events/s", "events per CPU-s", "MB/s", "times stock"],
        [
            *(_row(name, stream) for name, stream in streams.items()),
            [f"{names[0]}, without names", *_rates(len(first.events), first.raw_bytes / 1e6, nameless), ""],
        ],
    )
    unique_ratio = theirs.cpu_s / ours.cpu_s
    chars = sum(map(len, unique))
    report.table(
        ["distinct strings only", "strings per CPU-s", "kB per CPU-s"],
        [
            ["auditfuse, memo empty", show(len(unique) / ours.cpu_s), show(chars / 1000 / ours.cpu_s)],
            ["stock AnalyzerEngine", show(len(unique) / theirs.cpu_s), show(chars / 1000 / theirs.cpu_s)],
            ["times stock", show(unique_ratio), ""],
        ],
    )
    _explain(report, len(unique))
    rates = {name: stream.events / stream.cost.cpu_s for name, stream in streams.items()}
    report.figures |= {
        "events_per_s": min(rates.values()),
        "events_per_s_by_file": rates,
        "events_per_s_without_names": len(first.events) / nameless.cpu_s,
        "ratio_stock_stream": min(stream.ratio for stream in streams.values()),
        "ratio_stock_stream_by_file": {name: stream.ratio for name, stream in streams.items()},
        "ratio_stock_unique": unique_ratio,
        "failed_events": sum(stream.failed for stream in streams.values()),
    }
    report.finish()


def _stream(trace: Trace, rounds: int, sample_chars: int) -> Streamed:
    cost, failed = _cost(trace, rounds)
    events = trace.events
    sample = _sample(events, sample_chars)
    stock.engine()
    return Streamed(
        events=len(events),
        megabytes=trace.raw_bytes / 1e6,
        cost=cost,
        chars=sum(len(text) for event in events for text in strings(event)),
        sample=sample,
        stock=timed(lambda: [_stock(text) for text in sample]),
        failed=failed,
    )


def _cost(trace: Trace, rounds: int, names: Literal["spacy", "off"] = "spacy") -> tuple[Cost, int]:
    """Of the whole file through a redactor that knows nothing of it, and how many events failed."""
    costs: list[Cost] = []
    failed: list[bool] = []
    for _ in range(rounds):
        redactor = fresh(names)
        costs.append(timed(lambda r=redactor: failed.extend(_redact(r, trace))))
    return median(costs), sum(failed) // rounds


def fresh(names: Literal["spacy", "off"] = "spacy") -> Redactor:
    """A redactor with its models loaded and nothing remembered of any file."""
    redactor = Redactor(RedactionConfig(names=names), Keys(Path(scratch().name)))
    redactor.redact([[Event(start_time_unix_nano=1, agent_id="warm up", input=WARM_UP)]])
    return redactor


def _redact(redactor: Redactor, trace: Trace) -> list[bool]:
    """Whether redaction failed, by event."""
    return [e.failed for chunk in trace.chunks for message in redactor.redact(chunk) for e in message]


def _sample(events: list[Event], chars: int) -> list[str]:
    """The strings of events drawn at random, as often as they occur in them."""
    drawn = random.Random(0).sample(events, len(events))
    sample: list[str] = []
    held = 0
    for event in drawn:
        if held >= chars:
            break
        texts = list(strings(event))
        sample += texts
        held += sum(map(len, texts))
    return sample


def _stock(text: str) -> None:
    stock.analyze(text, RedactionConfig().entities)


def _on_unique(texts: list[str]) -> tuple[Cost, Cost]:
    """The same distinct strings through both, ours with nothing remembered."""
    redactor = fresh()
    messages = [[Event(start_time_unix_nano=1, agent_id="bench", input=text)] for text in texts]
    chunks = [messages[i : i + CHUNK_STRINGS] for i in range(0, len(messages), CHUNK_STRINGS)]
    ours = timed(lambda: [redactor.redact(chunk) for chunk in chunks])
    return ours, timed(lambda: [_stock(text) for text in texts])


def _row(name: str, stream: Streamed) -> list[str]:
    return [name, *_rates(stream.events, stream.megabytes, stream.cost), show(stream.ratio)]


def _rates(events: int, megabytes: float, cost: Cost) -> list[str]:
    return [
        f"{events:,}",
        show(events / cost.wall_s),
        show(events / cost.cpu_s),
        show(megabytes / cost.wall_s),
    ]


def _explain(report: Report, unique: int) -> None:
    report.note(
        "One process, names by spaCy's small model. Each file once through a redactor that remembers "
        "nothing of it; reading and decoding are not counted. *times stock*: CPU seconds per character of "
        f"payload strings, stock's (AnalyzerEngine, the same entities and model) on {show(SAMPLE_CHARS)} "
        f"characters of each file's events drawn at random, by ours on the whole file. The {unique:,} "
        "distinct strings are those of the samples. Stock only finds; we also take JSON apart, redact "
        "metadata and put everything back."
    )


if __name__ == "__main__":
    sys.exit(main())
