"""Train the tagger: `python -m training.tagger`. Reads build/corpus, writes weights, lists and figures."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.tagger.export import exported
from training.tagger.figures import measure, measure_held_out
from training.tagger.samples import read_samples, token_set, with_other_cases
from training.tagger.training_loop import Schedule, train
from training.tagger.words import Pool, gazetteer_of, vocabulary_of

FREQUENT_NAMES, FREQUENT_LOCALES = 800, 4
"""A first name is frequent if it is among so many of the United States, or known in so many locales."""
OUT = Path("pipeline/redact/tagger")


def main(argv: Sequence[str] | None = None, pool: Pool | None = None) -> None:
    """Train, export, measure."""
    arguments = _parse(argv)
    tokens = token_set(with_other_cases(read_samples(arguments.corpus / "train.jsonl"), arguments.seed))
    vocabulary = vocabulary_of(tokens)
    gazetteer = gazetteer_of(pool or _corpus_pool(), tokens)
    print(f"{len(tokens.ids):,} tokens, {len(tokens.types):,} types, {len(gazetteer):,} listed words")
    parameters = train(tokens, vocabulary, gazetteer, Schedule(arguments.epochs), arguments.seed)
    exported(parameters, vocabulary).save(arguments.out / "weights.npz")
    gazetteer.save(arguments.out / "gazetteer.npz")
    figures = {
        "training": {
            "seed": arguments.seed,
            "epochs": arguments.epochs,
            "tokens": len(tokens.ids),
            "word_types": len(tokens.types),
            "vocabulary": len(vocabulary),
            "listed_words": len(gazetteer),
            "bytes": sum((arguments.out / name).stat().st_size for name in ("weights.npz", "gazetteer.npz")),
        },
        "dev": measure(arguments.out, list(read_samples(arguments.corpus / "dev.jsonl"))),
        "held_out": measure_held_out(arguments.out),
    }
    text = json.dumps(figures, indent=2)
    (arguments.out / "figures.json").write_text(text + "\n")
    print(text)


def _corpus_pool() -> Pool:
    """What the corpus was made of, without the values held out; and the first names that many bear."""
    from training.corpus.faker_values import frequent
    from training.corpus.pools import locales, pool

    def known(kind: str) -> Sequence[str]:
        if kind != "frequent_first_name":
            return pool(kind)
        bearers = Counter(name for locale in locales() for name in set(pool("first_name", locale)))
        names = [*frequent("en_US", "first_names", FREQUENT_NAMES), *pool("nickname")]
        common = (name for name, times in bearers.items() if times >= FREQUENT_LOCALES)
        return sorted({*names, *common} & {*pool("first_name"), *pool("nickname")})

    return known


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.tagger", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("build/corpus"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=3)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
