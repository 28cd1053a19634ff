"""`make fuzz-input`: mutated messages of every form through the whole pipeline.

    python -m support.fuzz_input [--count 1000000] [--seed N] [--processes 2] [--round 20000] [--names off]

Writes build/fuzz-input.json after each round. A failing input is made small and kept among the golden cases.
"""

import argparse
import hashlib
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import structlog
from support.fuzz_input.minimise import culprits
from support.fuzz_input.rounds import Message, Round, drawn, run_round
from support.fuzz_input.seeds import seeds

from pipeline.cli import leave
from pipeline.keys import Keys

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "tests" / "decode" / "fuzzed"


def main() -> int:
    """Run all rounds; 0 where no message did harm."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = seeds(options.seed, use_shared=not options.without_shared)
    total, failures, started_s = Round(), list[str](), time.monotonic()
    rounds = -(-options.count // options.round)
    for number in range(rounds):
        count = min(options.round, options.count - total.messages)
        messages = drawn(options.seed * 1_000_003 + number, count, found)
        with tempfile.TemporaryDirectory(prefix="auditfuse-fuzz-") as name:
            outcome = run_round(
                Path(name) / "run", messages, processes=options.processes, names=options.names
            )
            if outcome.failure is not None:
                failures.append(f"round {number}: {outcome.failure}")
                failures += [f"kept as {path}" for path in _keep(outcome.suspects, Keys(Path(name) / "keys"))]
        _add(total, outcome)
        seconds = time.monotonic() - started_s
        _write(_summary(options, total, failures, seconds))
        print(
            f"round {number + 1}/{rounds}: {total.messages:,} messages, {total.rows:,} rows, "
            f"{total.messages / seconds:,.0f}/s, largest process {outcome.rss_mb} MB "
            f"{outcome.failure or ''}",
            file=sys.stderr,
            flush=True,
        )
    summary = _summary(options, total, failures, time.monotonic() - started_s)
    print(json.dumps(summary, indent=2))
    return 0 if summary["holds"] else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--processes", type=int, default=2, help="of the pool")
    parser.add_argument("--round", type=int, default=20_000, help="messages a store")
    parser.add_argument("--names", default="tagger", help="off: without the model of names, twice as fast")
    parser.add_argument("--without-shared", action="store_true", help="the generator's messages alone")
    return parser.parse_args()


def _keep(suspects: list[Message], keys: Keys) -> list[str]:
    """Write each defect's smallest message; returns the files."""
    kept: list[str] = []
    for what, message in culprits(suspects, keys):
        CASES.mkdir(exist_ok=True)
        digest = hashlib.sha256(message.content).hexdigest()[:8]
        path = CASES / f"{message.form}.{what.replace(' ', '-')}.{digest}"
        path.write_bytes(message.content)
        kept.append(str(path.relative_to(ROOT)))
    return kept


def _add(total: Round, one: Round) -> None:
    for name in ("messages", "bodies", "refused", "stored", "rows", "dead_letters"):
        setattr(total, name, getattr(total, name) + getattr(one, name))
    total.rss_mb = max(total.rss_mb, one.rss_mb)
    total.forms = dict(Counter(total.forms) + Counter(one.forms))


def _summary(
    options: argparse.Namespace, total: Round, failures: list[str], seconds: float
) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "messages": total.messages,
        "by_form": total.forms,
        "http_bodies": total.bodies,
        "http_refused": total.refused,
        "stored": total.stored,
        "rows": total.rows,
        "dead_letters": total.dead_letters,
        "failures": failures,
        "rss_mb_max": total.rss_mb,
        "seconds": round(seconds),
        "names": options.names,
        "holds": not failures,
    }


def _write(summary: dict[str, Any]) -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "fuzz-input.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    leave(main())
