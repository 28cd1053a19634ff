"""Redaction: events/s on the real traces, memo cold at the start, beside stock Presidio and spaCy."""

import functools
import gc
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks import stock
from benchmarks.hostile import FAMILIES
from benchmarks.redactors import CHOICES, WARM_UP, config, fresh, tagger
from benchmarks.report import Arguments, Cost, Report, goal, median, parse_arguments, show, timed
from benchmarks.traces import FILES, Trace, read_trace, strings
from pipeline.redact.redactor import Redactor
from schemas.event import Event

SAMPLE_CHARS = 40_000
"""Of each file's events, drawn at random, so many characters of strings are given to stock."""
UNIQUE_CHARS = 100_000
"""Of the distinct strings of the files, so many characters are given to stock and to the name models."""
CHUNK_STRINGS = 64
EVENTS_PER_S = {"native": 5000, "OTLP": 5000, "OTLP, full history": 2500}
SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Of the hostile texts, in characters; growth is the last one's time per character by the second one's."""
MOST_CPU_S = 60
"""A text that would take longer, by its family's pace, is not measured."""
NO_CAPS = {
    "max_event_bytes": 1 << 30,
    "max_value_bytes": 1 << 30,
    "max_candidates": 1 << 30,
    "max_event_candidates": 1 << 30,
    "max_names_bytes": 1 << 30,
    "memo_bytes": 0,
}


class Streamed(NamedTuple):
    """A file through the redactor, and a sample of it through stock, in turn."""

    events: int
    megabytes: float
    costs: list[Cost]
    """Of redacting the whole file, by round."""
    ratios: list[float]
    """Stock's CPU seconds per character of strings by ours, repeats included in both, by round."""
    failed: int

    @property
    def cost(self) -> Cost:
        """Of the median round."""
        return median(self.costs)

    @property
    def ratio(self) -> float:
        """Of the median round."""
        return statistics.median(self.ratios)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-redact.json."""
    arguments = parse_arguments(__doc__, argv, rounds=3, names=CHOICES)
    report = Report("bench-redact", arguments)
    quick = arguments.quick
    names = list(FILES)[:1] if quick else list(FILES)
    traces = {name: read_trace(name, 40 if quick else None) for name in names}
    gc.freeze()  # else every collection during a run walks through all files
    goals = _streams(report, traces, arguments)
    distinct = sorted(
        {text for trace in traces.values() for event in trace.events for text in strings(event)}
    )
    drawn = random.Random(0).sample(distinct, len(distinct))
    goals += _unique(report, drawn, arguments)
    goals += _name_models(report, [text for text in drawn if " " in text], arguments)
    goals += _hostile(report, arguments)
    report.table(["target", "figure", "asked", ""], goals)
    report.note(
        f"One process, names by {config(arguments.names).names}. Each file once through a redactor that "
        "remembers nothing of it; reading and decoding are not counted. *times stock*: CPU seconds per "
        "character of payload strings, stock's (AnalyzerEngine, the same entities, spaCy's small model) on "
        f"{show(SAMPLE_CHARS)} characters of each file's events drawn at random, by ours on the whole file. "
        "Stock only finds; we also take JSON apart, redact metadata and put everything back."
    )
    report.finish()


def _streams(report: Report, traces: dict[str, Trace], arguments: Arguments) -> list[list[str]]:
    streams = {name: _stream(trace, arguments) for name, trace in traces.items()}
    name, first = next(iter(traces.items()))
    nameless = median([_cost(first, "off")[0] for _ in range(arguments.rounds)])
    report.table(
        ["file", "events", "events/s", "events per CPU-s", "MB/s", "times stock"],
        [
            *(_row(name, stream) for name, stream in streams.items()),
            [f"{name}, without names", *_rates(len(first.events), first.raw_bytes / 1e6, nameless), ""],
        ],
    )
    rates = {name: stream.events / stream.cost.cpu_s for name, stream in streams.items()}
    ratios = {name: stream.ratio for name, stream in streams.items()}
    report.figures |= {
        "names": config(arguments.names).names,
        "events_per_s": min(rates.values()),
        "events_per_s_by_file": rates,
        "events_per_s_without_names": len(first.events) / nameless.cpu_s,
        "ratio_stock_stream": min(ratios.values()),
        "ratio_stock_stream_by_file": ratios,
        "failed_events": sum(stream.failed for stream in streams.values()),
    }
    return [
        *(goal(f"events per CPU-s, {name}", rate, EVENTS_PER_S[name]) for name, rate in rates.items()),
        goal("times stock, as they stream", min(ratios.values()), 300),
    ]


def _stream(trace: Trace, arguments: Arguments) -> Streamed:
    events = trace.events
    drawn = random.Random(0).sample(events, len(events))
    sample = _some((t for event in drawn for t in strings(event)), 400 if arguments.quick else SAMPLE_CHARS)
    chars = sum(len(text) for event in events for text in strings(event))
    rounds = [
        (_cost(trace, arguments.names), _stock_per_char(sample[i :: arguments.rounds]))
        for i in range(arguments.rounds)
    ]
    return Streamed(
        events=len(events),
        megabytes=trace.raw_bytes / 1e6,
        costs=[cost for (cost, _), _ in rounds],
        ratios=[stock_per_char / (cost.cpu_s / chars) for (cost, _), stock_per_char in rounds],
        failed=max(failed for (_, failed), _ in rounds),
    )


def _cost(trace: Trace, names: str) -> tuple[Cost, int]:
    """Of the whole file through a redactor that knows nothing of it, and how many events failed."""
    redactor = fresh(names)
    failed: list[bool] = []
    return timed(lambda: failed.extend(_redact(redactor, trace))), sum(failed)


def _redact(redactor: Redactor, trace: Trace) -> list[bool]:
    """Whether redaction failed, by event."""
    return [e.failed for chunk in trace.chunks for message in redactor.redact(chunk) for e in message]


def _some(texts: Any, chars: int) -> list[str]:
    """The first texts, until they have so many characters."""
    chosen: list[str] = []
    held = 0
    for text in texts:
        if held >= chars:
            break
        chosen.append(text)
        held += len(text)
    return chosen


def _stock_per_char(texts: Sequence[str]) -> float:
    """CPU seconds of stock."""
    entities = stock.our_entities()
    stock.engine()
    return _per_char(timed(lambda: [stock.analyze(text, entities) for text in texts]), texts)


def _per_char(cost: Cost, texts: Sequence[str]) -> float:
    return cost.cpu_s / sum(map(len, texts))


def _unique(report: Report, texts: list[str], arguments: Arguments) -> list[list[str]]:
    """Distinct strings: all of them through ours, with nothing remembered, a random part through stock."""
    sample = _some(texts, 400 if arguments.quick else UNIQUE_CHARS)
    messages = [[Event(start_time_unix_nano=1, agent_id="bench", input=text)] for text in texts]
    chunks = [messages[i : i + CHUNK_STRINGS] for i in range(0, len(messages), CHUNK_STRINGS)]
    ours: list[float] = []
    theirs: list[float] = []
    for i in range(arguments.rounds):
        redactor = fresh(arguments.names)
        ours.append(_per_char(timed(lambda r=redactor: [r.redact(chunk) for chunk in chunks]), texts))
        theirs.append(_stock_per_char(sample[i :: arguments.rounds]))
    ratio = _ratio(theirs, ours)
    report.table(
        [f"{len(texts):,} distinct strings", "kB per CPU-s", "times stock"],
        [
            ["auditfuse, memo empty", _kilobytes_per_s(ours), show(ratio)],
            ["stock AnalyzerEngine", _kilobytes_per_s(theirs), ""],
        ],
    )
    report.figures["ratio_stock_unique"] = ratio
    return [goal("times stock, distinct strings", ratio, 60)]


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median over the rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def _kilobytes_per_s(per_char: Sequence[float]) -> str:
    return show(1 / 1000 / statistics.median(per_char))


def _name_models(report: Report, texts: list[str], arguments: Arguments) -> list[list[str]]:
    """The tagger and spaCy's ner-only pipe on the same strings, which neither has seen."""
    half = len(texts) // 2
    seen = _some(texts[:half], 400 if arguments.quick else UNIQUE_CHARS)
    unseen = _some(texts[half:], 400 if arguments.quick else UNIQUE_CHARS)
    nlp = _ner_only()
    cold: list[float] = []
    warm: list[float] = []
    theirs: list[float] = []
    for i in range(arguments.rounds):
        finder = tagger()
        cold.append(_per_char(timed(functools.partial(finder.find, seen)), seen))
        warm.append(_per_char(timed(functools.partial(finder.find, unseen)), unseen))
        part = unseen[i :: arguments.rounds]
        theirs.append(_per_char(timed(lambda part=part: list(nlp.pipe(part))), part))
    ratio, ratio_cold = _ratio(theirs, warm), _ratio(theirs, cold)
    report.table(
        ["name models, strings not seen before", "kB per CPU-s", "times spaCy"],
        [
            ["tagger", _kilobytes_per_s(warm), show(ratio)],
            ["tagger, no word seen before either", _kilobytes_per_s(cold), show(ratio_cold)],
            ["spaCy's small model, ner only", _kilobytes_per_s(theirs), ""],
        ],
    )
    report.figures |= {"ratio_tagger_spacy": ratio, "ratio_tagger_spacy_cold": ratio_cold}
    return [goal("tagger, times spaCy's ner-only pipe", ratio, 40)]


def _ner_only() -> Any:
    import spacy

    unused = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
    nlp: Any = spacy.load(config().model, exclude=unused)
    list(nlp.pipe([WARM_UP]))
    return nlp


def _hostile(report: Report, arguments: Arguments) -> list[list[str]]:
    """Milliseconds a kB of each family at each size, caps lifted."""
    sizes = SIZES[:2] if arguments.quick else SIZES
    # spaCy's own time is linear, and minutes a megabyte: left out.
    names = "off" if config(arguments.names).names == "spacy" else arguments.names
    redactor = fresh(names, **NO_CAPS)
    families = dict(list(FAMILIES.items())[: 3 if arguments.quick else None])
    costs = {family: _costs(redactor, text, sizes) for family, text in families.items()}
    base = min(1, len(sizes) - 2)
    growth = {family: found[-1] / found[base] for family, found in costs.items()}
    whole = all(len(found) == len(sizes) for found in costs.values())
    report.table(
        [
            f"hostile text, names {config(names).names}: ms a kB at",
            *(f"{s // 1000:,} kB" for s in sizes),
            "growth",
        ],
        [
            [
                family,
                *(f"{x * 1e6:.3g}" for x in found),
                *[""] * (len(sizes) - len(found)),
                f"{growth[family]:.2f}",
            ]
            for family, found in costs.items()
        ],
    )
    report.figures |= {"worst_time_per_byte_growth": max(growth.values()), "time_per_byte_growth": growth}
    reached = "1 MB" if whole else "the last size measured"
    return [goal(f"worst growth of time per byte, 10 kB to {reached}", max(growth.values()), 3, most=True)]


def _costs(redactor: Redactor, text: Callable[[int], str], sizes: Sequence[int]) -> list[float]:
    """CPU seconds per character, by size; shorter where the next size would take too long."""
    costs: list[float] = []
    for size in sizes:
        if len(costs) > 1 and costs[-1] * size > MOST_CPU_S:
            break
        # A text of its own each time: nothing is remembered of a text that was seen before.
        made = [text(size + i) for i in range(5 if size <= SIZES[1] else 1)]
        spent = [timed(functools.partial(redactor.redact_text, one)).cpu_s for one in made]
        costs.append(statistics.median(spent) / size)
    return costs


def _row(name: str, stream: Streamed) -> list[str]:
    return [name, *_rates(stream.events, stream.megabytes, stream.cost), show(stream.ratio)]


def _rates(events: int, megabytes: float, cost: Cost) -> list[str]:
    return [
        f"{events:,}",
        show(events / cost.wall_s),
        show(events / cost.cpu_s),
        show(megabytes / cost.wall_s),
    ]


if __name__ == "__main__":
    sys.exit(main())
