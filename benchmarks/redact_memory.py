"""Memory of redaction: a day's distinct strings in one run, the resident set sampled as they pass."""

import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.redactors import fresh
from benchmarks.report import Report, parse_arguments, show, timed
from pipeline.redact.redactor import Redactor
from schemas.event import Event

STRINGS_PER_S = 50
HOURS = 24
BATCH_EVENTS = 250
STRINGS_PER_EVENT = 4
"""Distinct ones: two in an object, one as its key, one by itself."""
SAMPLES = 200
TENTHS = 10
WARM_UP_SHARE = 0.2
"""Of the run: until then the memo fills, and so do the allocator's arenas."""
_WORDS = (
    "ticket",
    "order",
    "refund",
    "delayed",
    "parcel",
    "invoice",
    "yesterday",
    "please",
    "check",
    "account",
)
_NAMES = ("Ana", "Marta", "Jonas", "Wei", "Aisha", "Pedro", "Ines", "Omar", "Lena", "Ravi")


class Measured(NamedTuple):
    """What a run showed."""

    strings: int
    first_mb: float
    """The resident set after the warm-up."""
    growth_mb: float
    """What a straight line through the samples after the warm-up rises by."""
    memo_bytes: int
    """The most that the memo accounted for."""
    tenths_mb: list[float]
    """The resident set after each tenth of the run."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/redact-memory.json."""
    arguments = parse_arguments(__doc__, argv, rounds=1, names=("tagger", "spacy", "off"))
    report = Report("redact-memory", arguments)
    strings = 40_000 if arguments.quick else STRINGS_PER_S * HOURS * 3600
    redactor = fresh(arguments.names, **({"memo_bytes": 4 << 20} if arguments.quick else {}))
    measured: list[Measured] = []
    cost = timed(lambda: measured.append(measure(redactor, strings, _tell)))
    (found,) = measured
    report.table(
        ["distinct strings", "strings per CPU-s", "MB after warm-up", "MB grown since", "memo MB at most"],
        [
            [
                f"{found.strings:,}",
                show(found.strings / cost.cpu_s),
                show(found.first_mb),
                f"{found.growth_mb:.2f}",
                show(found.memo_bytes / 1e6),
            ]
        ],
    )
    report.table(
        ["distinct strings so far", "resident set, MB"],
        [[f"{found.strings * (n + 1) // TENTHS:,}", show(mb, 4)] for n, mb in enumerate(found.tenths_mb)],
    )
    report.note(
        f"{STRINGS_PER_S} distinct strings a second for {HOURS} hours, without a pause. The growth is that "
        f"of a straight line through {SAMPLES} samples of the resident set, the first fifth left out."
    )
    report.figures |= {
        "strings": found.strings,
        "rss_mb": found.first_mb,
        "growth_mb": found.growth_mb,
        "memo_mb": found.memo_bytes / 1e6,
        "rss_mb_by_tenth": {str(n + 1): mb for n, mb in enumerate(found.tenths_mb)},
    }
    report.finish()


def measure(
    redactor: Redactor, strings: int, tell: Callable[[int, float, int], None] | None = None
) -> Measured:
    """So many distinct strings through a redactor; `tell(strings, resident MB, memo's bytes)` ten times."""
    batches = max(SAMPLES, strings // (BATCH_EVENTS * STRINGS_PER_EVENT))
    events = max(1, strings // (batches * STRINGS_PER_EVENT))
    every = max(1, batches // SAMPLES)
    rss_mb: list[float] = []
    tenths_mb: list[float] = []
    memo_bytes = 0
    for number, batch in enumerate(_batches(batches, events)):
        redactor.redact(batch)
        memo_bytes = max(memo_bytes, redactor.memo_bytes)
        if number % every == 0:
            rss_mb.append(_rss_mb())
        if (number + 1) * TENTHS // batches > len(tenths_mb):
            tenths_mb.append(_rss_mb())
            if tell:
                tell((number + 1) * events * STRINGS_PER_EVENT, tenths_mb[-1], redactor.memo_bytes)
    steady = rss_mb[int(len(rss_mb) * WARM_UP_SHARE) :]
    slope, _ = statistics.linear_regression(range(len(steady)), steady)
    growth_mb = slope * (len(steady) - 1)
    return Measured(batches * events * STRINGS_PER_EVENT, steady[0], growth_mb, memo_bytes, tenths_mb)


def _tell(strings: int, rss_mb: float, memo_bytes: int) -> None:
    """Progress: the whole run takes many minutes."""
    print(
        f"{strings:,} strings, {rss_mb:.0f} MB, memo {memo_bytes / 1e6:.0f} MB", file=sys.stderr, flush=True
    )


def _batches(batches: int, events: int) -> Iterator[list[list[Event]]]:
    draw = random.Random(0)
    number = 0
    for _ in range(batches):
        batch: list[list[Event]] = []
        for _ in range(events):
            number += 1
            batch.append([_event(draw, number)])
        yield batch


def _event(draw: random.Random, number: int) -> Event:
    words = " ".join(draw.choices(_WORDS, k=6))
    person = f"{draw.choice(_NAMES)} {draw.choice(_NAMES)}son"
    return Event(
        start_time_unix_nano=number,
        agent_id="bench",
        span_id=f"{number:016x}",
        input=f"{words} {number}",
        output={
            f"k{number}": f"{person} wrote from a{number}@example.org",
            "note": f"no {number} {words[:20]}",
        },
    )


def _rss_mb() -> float:
    """The resident set now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
