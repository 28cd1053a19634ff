"""Write the corpus: `python -m training.corpus --out build/corpus --seed 0`."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import IO

from training.corpus.documents import licence, packages
from training.corpus.samples import Sample, chunk
from training.corpus.silver import silver
from training.corpus.split import Split

_CHUNK = 500
# Generated samples from this number on are the dev set's, so that the two never share one.
_DEV_FROM = 1 << 30
_DEV_SHARE = 40
_SPLITS: dict[str, Split] = {"train": "train", "dev": "held_out"}


def main() -> None:
    """Read the arguments, write train.jsonl and dev.jsonl, print counts."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/corpus"), help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same corpus")
    parser.add_argument("--samples", type=int, default=120_000, help="generated samples for training")
    parser.add_argument("--processes", type=int, default=1, help="the corpus does not depend on it")
    parser.add_argument("--no-silver", action="store_true", help="generated samples only")
    parser.add_argument(
        "--sources", action="store_true", help="print the packages that are read and their licences"
    )
    options = parser.parse_args()
    if options.sources:
        print("\n".join(f"{dist.name} {dist.version}: {licence(dist)}" for dist in packages()))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, options.seed, options.samples, options.processes, not options.no_silver)


def write(out: Path, seed: int, samples: int, processes: int, with_silver: bool = True) -> None:
    """Write the two files and `counts.json`; silver samples come last, one in 40 of them goes to dev."""
    counts: dict[str, Counter[str]] = {}
    real = list(silver(seed, out)) if with_silver else []
    parts = {
        "train": (0, samples, [one for at, one in enumerate(real) if at % _DEV_SHARE]),
        "dev": (_DEV_FROM, max(1, samples // _DEV_SHARE), real[::_DEV_SHARE]),
    }
    for name, (first, count, rest) in parts.items():
        part = out / f"{name}.jsonl.part"
        with part.open("w", encoding="utf-8") as file:
            counts[name] = _stream(
                file, chain(_generated(seed, first, count, processes, _SPLITS[name]), rest)
            )
        part.replace(out / f"{name}.jsonl")
    text = json.dumps({name: dict(sorted(counter.items())) for name, counter in counts.items()}, indent=2)
    (out / "counts.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _generated(seed: int, first: int, count: int, processes: int, split: Split) -> Iterable[Sample]:
    starts = range(first, first + count, _CHUNK)
    sizes = [min(_CHUNK, first + count - start) for start in starts]
    if processes == 1:
        for start, size in zip(starts, sizes, strict=True):
            yield from chunk(seed, start, size, split)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for made in pool.map(chunk, [seed] * len(sizes), starts, sizes, [split] * len(sizes)):
            yield from made


def _stream(file: IO[str], made: Iterable[Sample]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in made:
        line = {"text": one.text, "spans": one.spans, "ignore": one.ignore, "source": one.source}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        counts[f"source {one.source}"] += 1
        counts["samples"] += 1
        counts["characters"] += len(one.text)
        counts.update(f"label {label}" for _, _, label in one.spans)
    return counts


if __name__ == "__main__":
    main()
