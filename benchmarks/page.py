"""Put measured figures into the documentation, between its figures marks.

`python -m benchmarks.page tagger` fills docs/tagger.md from the figures that the training wrote;
`python -m benchmarks.eval_pii | python -m benchmarks.page redaction-quality` fills that page with the report.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.report import ROOT

FIGURES = ROOT / "pipeline" / "redact" / "tagger" / "figures.json"
_MARKED = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)

Rows = Mapping[str, Mapping[str, float]]


def filled(page: str, figures: str) -> str:
    """The page with these figures between its marks; ValueError where it has none."""
    made, count = _MARKED.subn(lambda _: f"\n{figures.strip()}\n\n", page)
    if count != 1:
        raise ValueError("a page needs one pair of figures marks")
    return made


def tagger_figures(figures: Mapping[str, Mapping[str, Rows]]) -> str:
    """The tables of the model card, of the file that the training writes."""
    training, held_out, dev = figures["training"], figures["held_out"], figures["dev"]
    locales = [f"{name} {row['recall']:.2f}" for name, row in held_out["persons_by_locale"].items()]
    return "\n\n".join(
        (
            f"{training['tokens']:,} tokens of training, {training['word_types']:,} word types, "
            f"{training['vocabulary']:,} words with rows of their own,\n"
            f"{training['listed_words']:,} listed words; weights and lists {training['bytes'] / 1e6:.1f} MB.",
            "Values that no training pool holds, in the evaluation's templates, which training never reads:",
            _table("type", held_out["by_type"]),
            "Persons by form:",
            _table("form", held_out["persons_by_form"]),
            f"Recall of persons by locale: {', '.join(locales)}.",
            "The corpus' own dev samples, held-out values as well, in wording that is mostly held out:",
            _table("type", dev["by_type"]),
        )
    )


def _table(what: str, rows: Rows) -> str:
    lines = [f"| {what} | recall | precision | spans |", "|---|---|---|---|"]
    lines += [f"| {n} | {r['recall']:.3f} | {r['precision']:.3f} | {r['spans']:,} |" for n, r in rows.items()]
    return "\n".join(lines)


def main(name: str) -> None:
    """Fill one page."""
    path = Path(ROOT / "docs" / f"{name}.md")
    if name == "tagger":
        text = tagger_figures(json.loads(FIGURES.read_text()))
    else:
        text = sys.stdin.read().partition("\n")[2]
    path.write_text(filled(path.read_text(), text))


if __name__ == "__main__":
    main(sys.argv[1])
