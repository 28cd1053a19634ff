"""The tamper matrix: every known attack, and which verdict turns with what an auditor has at hand.

`python -m support.tamper_matrix` (make tamper-matrix) runs all of it, prints the table and writes it to
build/ and docs/; the golden file that the tests compare with is written by `--golden`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from support.stage import small_bundles
from support.tamper import faults_by_sql, overwrite
from support.tamper_cases import CASES, Case
from support.trail import Trail, build_trail

from pipeline.audit.store import Store
from pipeline.audit.verify import VERDICTS, Fault, Wanted, verify_store
from pipeline.audit.verify.checkpoints import ANCHORED, SIGNED, check_checkpoints

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "audit" / "tamper" / "golden.json"
PAGE = ROOT / "docs" / "tamper-matrix.md"
LEVELS = ("verify", "key", "anchor")
"""`verify` alone, with --key, with --key and --anchor."""
BIT_FLIPS = 1000
FLIPPED = ("segments", "log", "checkpoints")
"""What bits are flipped in: all but caches (catalog, snapshots, staging), which nothing trusts."""


class Outcome(NamedTuple):
    """What was seen of an attack."""

    name: str
    kind: str
    turned: Mapping[str, Sequence[str]]
    """Level → the verdicts that fail there."""
    by_sql: bool | None
    """Whether docs/verify.sql finds it; None where it was not asked."""

    @property
    def seen(self) -> bool:
        """Whether any verdict turned for whoever has key and anchor."""
        return bool(self.turned["anchor"])


def run_matrix(folder: Path, *, bit_flips: int, every: int = 1) -> Iterator[Outcome]:
    """Every so-manieth case, then so many flipped bits, each on a copy of the same store."""
    with quick():
        trail = build_trail(folder / "trail")
        for case in CASES[::every]:
            yield run_case(case, trail, folder / "case", sql=False)
        yield from flip_bits(trail, folder / "case", bit_flips)


def run_case(case: Case, trail: Trail, folder: Path, *, sql: bool) -> Outcome:
    """Attack a copy of the store in `folder`, which is removed again."""
    try:
        attacked = trail.copied(folder)
        case.act(attacked)
        by_sql = is_found_by_sql(attacked.root) if sql else None
        return Outcome(case.name, case.kind, verdicts_turned(attacked), by_sql)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flip_bits(trail: Trail, folder: Path, count: int) -> Iterator[Outcome]:
    """Each at a random place: a kind of file first, so that few and small ones are hit as well."""
    seeded = random.Random(7)
    attacked = trail.copied(folder)
    files = {
        top: sorted(path for path in (attacked.root / top).rglob("*") if path.is_file()) for top in FLIPPED
    }
    for _ in range(count):
        path = seeded.choice(files[seeded.choice(FLIPPED)])
        content = path.read_bytes()
        at, bit = seeded.randrange(len(content)), seeded.randrange(8)
        overwrite(path, content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        name = f"bit {bit} of byte {at} of {path.relative_to(attacked.root)}"
        yield Outcome(name, "bit", verdicts_turned(attacked), None)
        overwrite(path, content)
    assert not any(verdicts_turned(attacked).values())
    shutil.rmtree(folder)


def verdicts_turned(trail: Trail) -> dict[str, list[str]]:
    """The verdicts that fail, by what the auditor has. One verification, and the checkpoints once a level:
    nothing else depends on keys and anchors."""
    store = Store(trail.root)
    report = verify_store(store, Wanted(keys=[trail.key], anchors=trail.anchors), workers=1)
    turned = {fault.verdict for fault in report.faults} - {SIGNED, ANCHORED}
    by_level = {
        "verify": check_checkpoints(store, (), ()).faults,
        "key": check_checkpoints(store, [trail.key], ()).faults,
        "anchor": [fault for fault in report.faults if fault.verdict in (SIGNED, ANCHORED)],
    }
    return {level: _ordered(turned, faults) for level, faults in by_level.items()}


def _ordered(turned: set[Any], faults: Sequence[Fault]) -> list[str]:
    found = turned | {fault.verdict for fault in faults}
    return [verdict for verdict in VERDICTS if verdict in found]


def is_found_by_sql(root: Path) -> bool:
    """Whether docs/verify.sql gives a fault, or cannot read the store: it says that this is a finding too."""
    try:
        return bool(faults_by_sql(root))
    except duckdb.Error:
        return True


def golden(outcome: Outcome) -> dict[str, Any]:
    """What the golden file holds of a case."""
    return {"kind": outcome.kind, **outcome.turned, "sql": outcome.by_sql}


def page(expected: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/tamper-matrix.md."""
    lines = [_INTRODUCTION.strip(), ""]
    for kind, title in _TITLES.items():
        lines += [
            f"## {title}",
            "",
            "| attack | verify | with --key | with --key and --anchor | verify.sql |",
        ]
        lines += ["|---|---|---|---|---|"]
        for name, one in expected.items():
            if one["kind"] == kind:
                cells = [", ".join(one[level]) or "–" for level in LEVELS]
                lines.append(f"| {name} | {' | '.join(cells)} | {'yes' if one['sql'] else '–'} |")
        lines.append("")
    return "\n".join(lines)


_TITLES = {
    "plain": "Attacks that change one thing",
    "skilled": "The same by one who recomputes everything but the signature",
    "keyholder": "Attacks by one who has the key, or copies that it signed",
}
_INTRODUCTION = """
# The tamper matrix

Generated by `make tamper-matrix`; the tests run every case and compare. Each row is an attack on a small
store with one of everything: compacted and erased segments, bundles, checkpoints. The cells say which
verdicts of `auditfuse verify` fail, with what the auditor has at hand: nothing but the store; the public key;
the key and one checkpoint that was kept outside the store (an anchor). The last column says whether
`docs/verify.sql` finds it with DuckDB alone; `–` stands for nothing found.

Who recomputes everything signs with a key of their own under the log's name: without the public key nothing
is amiss. Who has the real key, or puts an older copy back, is seen with an anchor alone. What was appended
after the newest anchor is open: `anchored up to` says from when. Besides these cases, bits are flipped at
random places of segments, log entries, bundles and checkpoints (1,000 in `make tamper-matrix`): every one is
seen with the key. Catalog, snapshots and staging are left out: verification never reads these caches.
"""


def _no_sync(_: int) -> None:
    return


@contextlib.contextmanager
def quick() -> Generator[None]:
    """Bundles of a few entries, and no waiting for the disk."""
    patch = small_bundles()
    patch.setattr(os, "fsync", _no_sync)
    try:
        yield
    finally:
        patch.undo()


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything, print the table, write it; 1 where an attack went unseen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--golden", action="store_true", help="also write the golden file of the tests")
    parser.add_argument("--bit-flips", type=int, default=BIT_FLIPS)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="auditfuse-tamper-") as name, quick():
        folder = Path(name)
        trail = build_trail(folder / "trail")
        outcomes = [run_case(case, trail, folder / "case", sql=True) for case in CASES]
        flips = list(flip_bits(trail, folder / "case", arguments.bit_flips))
    expected = {one.name: golden(one) for one in outcomes}
    unseen = [one.name for one in outcomes if not one.seen]
    unseen += [one.name for one in flips if not one.turned["key"]]
    print(page(expected))
    print(f"{len(outcomes)} attacks and {len(flips)} flipped bits; unseen: {', '.join(unseen) or 'none'}")
    (ROOT / "build").mkdir(exist_ok=True)
    figures = {"cases": len(outcomes), "bit_flips": len(flips), "unseen": unseen, "attacks": expected}
    (ROOT / "build" / "tamper-matrix.json").write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.golden:
        GOLDEN.write_text(json.dumps(expected, indent=1) + "\n")
    PAGE.write_text(page(expected))
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
