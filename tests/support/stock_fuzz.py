"""Differential fuzz against stock Presidio: `make fuzz SECONDS=600`, and a fixed share of it in the tests.

The reference is the stock AnalyzerEngine of the installed version with its own recognizers, its whole NLP
pipeline (without the parser and, where no names are asked for, without NER) and the same entities and
threshold. Only its rule for context words of up to three letters is ours (docs/redaction.md), and of an
address in a URL only the address proper counts.
"""

import argparse
import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from support.stock_texts import texts

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.engine import Engine
from pipeline.redact.spans import Span

NAMES = ("PERSON", "LOCATION", "NRP")
MORE = ("URL", "DATE_TIME", "UUID")
"""Stock types that are not asked for by default; the fuzz asks for them too."""
WHOLE_WORD_CHARS = 3
LONGEST_WITH_NAMES = 1200
"""Longer texts are cut before names are looked for, so that they may differ from stock's."""


class Miss(NamedTuple):
    """A part of what stock found that ours left in the clear."""

    seed: int
    entity: str
    value: str
    score: float
    text: str
    """The least text found that shows it."""


class Outcome(NamedTuple):
    """What a run has seen; counts are by type."""

    texts: int
    reference: Counter[str]
    missed: list[Miss]
    beyond: Counter[str]
    """Findings of ours that touch none of stock's."""


@functools.cache
def config(names: bool = False) -> RedactionConfig:
    """What both sides are asked for."""
    entities = (*RedactionConfig().entities, *(() if names else MORE))
    return RedactionConfig(names="spacy" if names else "off", entities=entities)


@functools.cache
def _ours(names: bool) -> Callable[[str], list[Span]]:
    engine = Engine(config(names))
    if not names:
        return engine.analyze
    from pipeline.redact.find.names import name_finder

    finder = name_finder(config(names))
    assert finder is not None
    return lambda text: engine.analyze(text) + finder.find([text]).get(text, [])


@functools.cache
def _stock(names: bool) -> Callable[[str], list[Any]]:
    """The stock AnalyzerEngine's findings."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    class Enhancer(LemmaContextAwareEnhancer):
        """Stock, but context words of up to three letters must be whole words."""

        @staticmethod
        def _find_supportive_word_in_context(
            context_list: list[str], recognizer_context_list: list[str], matching_mode: str = "substring"
        ) -> str:
            find = LemmaContextAwareEnhancer._find_supportive_word_in_context
            short = [w for w in recognizer_context_list if len(w) <= WHOLE_WORD_CHARS]
            longer = [w for w in recognizer_context_list if len(w) > WHOLE_WORD_CHARS]
            return find(context_list, longer, "substring") or find(context_list, short, "whole_word")

    model = {"lang_code": "en", "model_name": config().model}
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}).create_engine()
    nlp.nlp["en"].select_pipes(disable=["parser"] if names else ["parser", "ner"])
    analyzer = AnalyzerEngine(nlp_engine=nlp, context_aware_enhancer=Enhancer())
    asked = [e for e in config(names).entities if names or e not in NAMES]
    return lambda text: analyzer.analyze(text, "en", entities=asked, score_threshold=config(names).threshold)


def left_in_the_clear(text: str, names: bool = False) -> list[tuple[Any, str]]:
    """Stock's findings of which ours leave a letter or digit in the clear."""
    return _compare(text, _stock(names)(text), _ours(names)(text))


def _compare(text: str, stock: Iterable[Any], ours: Iterable[Span]) -> list[tuple[Any, str]]:
    covered = bytearray(len(text))
    for span in ours:
        covered[span.start : span.end] = b"\x01" * (span.end - span.start)
    left: list[tuple[Any, str]] = []
    for found in stock:
        start = _address_start(text, found) if found.entity_type == "EMAIL_ADDRESS" else found.start
        if any(not covered[i] and text[i].isalnum() for i in range(start, found.end)):
            left.append((found, text[start : found.end]))
    return left


def _address_start(text: str, found: Any) -> int:
    local = text[found.start : text.rindex("@", found.start, found.end)]
    cut = max(map(local.rfind, "/?=&")) + 1
    return found.start + (cut if cut < len(local) else 0)


def run(
    first_seed: int, *, entities: int = 0, seconds: float = 0, names: bool = False, step: int = 1
) -> Outcome:
    """Fuzz until so many reference entities or seconds are through; whichever is given and comes last."""
    started = time.monotonic()
    outcome = Outcome(0, Counter(), [], Counter())
    for seed, whole in texts(first_seed, step):
        text = whole[:LONGEST_WITH_NAMES] if names else whole
        stock, ours = _stock(names)(text), _ours(names)(text)
        outcome.reference.update(r.entity_type for r in stock)
        outcome.beyond.update(_beyond(stock, ours))
        for found, value in _compare(text, stock, ours):
            shown = shrunk(text, found.entity_type, names)
            outcome.missed.append(Miss(seed, found.entity_type, value, found.score, shown))
        outcome = outcome._replace(texts=outcome.texts + 1)
        if outcome.reference.total() >= entities and time.monotonic() - started >= seconds:
            break
    return outcome


def _beyond(stock: Sequence[Any], ours: Iterable[Span]) -> list[str]:
    spans = sorted((r.start, r.end) for r in stock)
    return [s.entity for s in set(ours) if not any(a < s.end and s.start < b for a, b in spans)]


def shrunk(text: str, entity: str, names: bool) -> str:
    """A shorter text in which a finding of this type is still missed: halves, then pieces are left out."""

    def misses(candidate: str) -> bool:
        return any(found.entity_type == entity for found, _ in left_in_the_clear(candidate, names))

    size = len(text) // 2
    while size >= 1:
        start = 0
        while start < len(text):
            candidate = text[:start] + text[start + size :]
            if misses(candidate):
                text = candidate
            else:
                start += size
        size //= 2 if len(text) < 400 or size > 8 else size + 1
    return text


def table(outcome: Outcome) -> str:
    """Counts by type, and every miss."""
    missed = Counter(m.entity for m in outcome.missed)
    lines = [f"{'type':24}{'stock finds':>12}{'left in the clear':>20}{'only ours':>12}"]
    for entity in sorted(outcome.reference | outcome.beyond):
        counts = outcome.reference[entity], missed[entity], outcome.beyond[entity]
        lines.append(f"{entity:24}{counts[0]:>12,}{counts[1]:>20,}{counts[2]:>12,}")
    total = outcome.reference.total()
    lines.append(f"{'all':24}{total:>12,}{len(outcome.missed):>20,}{outcome.beyond.total():>12,}")
    lines += [f"seed {m.seed}: {m.entity} {m.value!r} ({m.score:.2f}) in {m.text!r}" for m in outcome.missed]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Differential fuzz against stock Presidio.")
    parser.add_argument("--seconds", type=float, default=0, help="go on for so long")
    parser.add_argument("--count", type=int, default=0, help="go on until stock has found so many")
    parser.add_argument("--seed", type=int, default=1_000_000, help="the first text")
    parser.add_argument("--names", action="store_true", help="names by spaCy, on both sides")
    given = parser.parse_args()
    count = given.count or (0 if given.seconds else 100_000)
    outcome = run(given.seed, entities=count, seconds=given.seconds, names=given.names)
    print(f"{outcome.texts:,} texts from seed {given.seed}")
    print(table(outcome))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
