"""Against stock Presidio with the same recognizers asked for: nothing it redacts is left in the clear.

The reference is the stock AnalyzerEngine, the whole spaCy pipeline, the same entities and threshold.
Context words match whole words there: as substrings they make every "policy" a licence, which we do
not follow (docs/redaction.md).
"""

import json
from pathlib import Path

import pytest
from support.redact import fresh

from pipeline.redact.pseudonym import TOKEN
from pipeline.redact.redactor import RedactionConfig

DATASET = Path("../shared/data/pii/synth_dataset_v2.json")
SAMPLE = 300

HARD = [
    "My SSN: 536228419 and my social security number is 536-22-8419.",
    "IBAN DE89 3704 0044 0532 0130 00, or GB29NWBK60161331926819 2 days from today",
    "ipv6 2001:db8:85a3::8a2e:370:7334 and ::ffff:203.0.113.87/24, mac 3c:52:82:4f:9a:1b",
    "phones: 0044 20 7946 0958, (030) 90182017, 415.555.0132x12, +972-3-555-1234, +55 11 91234-5678",
    "cards 378282246310005 / 6011 1111 1111 1117 / 4539-1488-0343-6467",
    "wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa; passport C41927365; driver license D4819273",
    "bank account 84920175523, individual taxpayer 912-73-4567, NHS 943 476 5919",
    "mail o'neil+tag@sub.example.co.uk, x_1@xn--bcher-kva.example.com, a@b.museum",
    "medical certificate DEA BB1388568",
]


def _stock():
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    model = {"lang_code": "en", "model_name": RedactionConfig().model}
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}).create_engine()
    enhancer = LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    return AnalyzerEngine(nlp_engine=nlp, context_aware_enhancer=enhancer)


def _texts() -> list[str]:
    rows = json.loads(DATASET.read_text())
    step = len(rows) // SAMPLE
    return [row["full_text"] for row in rows[::step]][:SAMPLE]


def _cleared(redacted: str, original: str) -> list[bool]:
    """For each character of the original whether it stands in the clear."""
    clear = [False] * len(original)
    at = 0
    for part in TOKEN.split(redacted):
        start = original.index(part, at)
        clear[start : start + len(part)] = [True] * len(part)
        at = start + len(part)
    return clear


@pytest.mark.shared
@pytest.mark.skipif(not DATASET.exists(), reason=f"{DATASET} is not here")
def test_no_stock_finding_is_left_in_the_clear() -> None:
    config = RedactionConfig()
    stock, ours = _stock(), fresh(names="spacy")
    found, left = 0, []
    for text in HARD + _texts():
        redacted = ours.redact_text(text).text
        clear = _cleared(redacted, text)
        for r in stock.analyze(text, "en", entities=list(config.entities), score_threshold=config.threshold):
            found += 1
            span = range(r.start, r.end)
            if any(clear[i] and text[i].isalnum() for i in span):
                left.append((r.entity_type, text[r.start : r.end], text, redacted))
    assert found > 300
    assert not left, f"{len(left)} of {found}: {left[:5]}"
