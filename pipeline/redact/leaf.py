"""One string, redacted: findings of all its views, resolved, replaced by pseudonyms. Pure.

The same (class, string) gives the same result always, which is what lets results be remembered.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pipeline.redact.fields import FieldClass, key_rule
from pipeline.redact.ids import IdRules
from pipeline.redact.pseudonym import TOKEN, Pseudonyms, failure
from pipeline.redact.ranges import Ranges
from pipeline.redact.spans import Span
from pipeline.redact.types.secrets import SECRET_ENTITIES
from pipeline.redact.views import View

if TYPE_CHECKING:
    from pipeline.redact.find.engine import Engine  # loads Presidio

MAX_ROUNDS = 3
_ALWAYS = SECRET_ENTITIES | {"DATE_OF_BIRTH", "CRYPTO"}
"""Found even inside what looks like an id or a time."""


class Hit(NamedTuple):
    """A finding placed in the string: characters [start, end), and the value it stands for."""

    start: int
    end: int
    entity: str
    score: float
    value: str
    recognizer: str


class Redacted(NamedTuple):
    """A redacted string. `names`: the persons found in it, for the pass over its message."""

    text: str
    counts: Mapping[str, int]
    names: tuple[str, ...] = ()
    hits: tuple[Hit, ...] = ()
    failed: bool = False


FindNames = Callable[[str], Iterable[Span]]
"""The names in a view's text, read beforehand in one batch."""


class LeafRedactor:
    """The rules of one configuration and one key."""

    def __init__(self, engine: "Engine", ids: IdRules, pseudonyms: Pseudonyms) -> None:
        self._engine = engine
        self._ids = ids
        self._pseudonyms = pseudonyms

    def redact(self, text: str, key: str, all_views: list[View], names: FindNames) -> Redacted:
        """A string that is not an id: everything found in it is replaced. `key` is its payload key or ""."""
        hits = self._hits(text, key, all_views, names)
        if not hits:
            return Redacted(text, {})
        result = self._replace(text, hits)
        # Replacing shortens the way to a context word; go on until nothing more is found.
        for _ in range(MAX_ROUNDS):
            more = self._hits(result.text, "", [View(result.text)], lambda _: ())
            if not more:
                break
            again = self._replace(result.text, more)
            result = result._replace(text=again.text, counts=Counter(result.counts) + Counter(again.counts))
        return result

    def identifier(self, kind: FieldClass, value: str) -> Redacted:
        """An id field: passes by its shape, else becomes a pseudonym."""
        if TOKEN.fullmatch(value) or not value:
            return Redacted(value, {})
        if self._ids.passes(kind, value) and not self._holds_known_value(value):
            return Redacted(value, {})
        return self._whole("ID", value)

    def end_user(self, value: str, all_views: list[View], names: FindNames) -> Redacted:
        """Always a pseudonym: of the type that was recognized, else USER_ID."""
        if TOKEN.fullmatch(value) or not value:
            return Redacted(value, {})
        hits = self._hits(value, "", all_views, names)
        best = max(hits, key=lambda h: (h.end - h.start, h.score), default=None)
        if best and best.end - best.start == len(value) and not best.entity.startswith("!"):
            return self._whole(best.entity, best.value)
        return self._whole("USER_ID", value)

    def _holds_known_value(self, value: str) -> bool:
        if not self._ids.is_prefixed(value):
            return False  # hexadecimal of a fixed length passes unexamined
        strict = SECRET_ENTITIES | {"IBAN_CODE", "CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS"}
        bodies = [value, value.partition("_")[2]]
        return any(
            s.entity in strict and s.entity != "AWS_SECRET_KEY"
            for b in bodies
            for s in self._engine.analyze(b)
        )

    def _whole(self, entity: str, value: str) -> Redacted:
        hit = Hit(0, len(value), entity, 1.0, value, "field")
        people = (value,) if entity == "PERSON" else ()
        return Redacted(self._pseudonyms.token(entity, value), {entity: 1}, people, (hit,))

    def _hits(self, text: str, key: str, all_views: list[View], names: FindNames) -> list[Hit]:
        hits: list[Hit] = []
        for view in all_views:
            rule = key_rule(view.key or key) if view.key or key else None
            # A rule for the key speaks of the whole value only: of the string itself, or a query value.
            if rule and (view.key or view.origin is None) and rule.value.fullmatch(view.text):
                if not TOKEN.fullmatch(view.text):
                    place = view.place(0, len(view.text))
                    hits.append(Hit(*place, rule.entity, 1.0, view.text, "field"))
                continue
            hits += self._view_hits(view, names)
        return resolve(text, hits, self._ids.kept(text))

    def _view_hits(self, view: View, names: FindNames) -> list[Hit]:
        masked = mask_tokens(view.text)
        spans = [*self._engine.analyze(masked), *names(masked)]
        if view.whole is not None or view.origin is not None:
            spans = _outside(spans, self._ids.kept(view.text))
        return [
            Hit(*view.place(s.start, s.end), s.entity, s.score, view.text[s.start : s.end], s.recognizer)
            for s in spans
        ]

    def _replace(self, text: str, hits: list[Hit]) -> Redacted:
        pieces: list[str] = []
        last = 0
        for hit in hits:
            pieces.append(text[last : hit.start])
            if hit.entity.startswith("!"):
                pieces.append(failure(hit.entity[1:], hit.end - hit.start))
            else:
                pieces.append(self._pseudonyms.token(hit.entity, hit.value))
            last = hit.end
        pieces.append(text[last:])
        return Redacted(
            "".join(pieces),
            Counter(h.entity if h.entity[0] != "!" else "REDACTION_FAILED" for h in hits),
            tuple(h.value for h in hits if h.entity == "PERSON"),
            tuple(hits),
            any(h.entity[0] == "!" for h in hits),
        )


def mask_tokens(text: str) -> str:
    """The text with the inside of our own tokens masked, every offset kept."""
    if "<" not in text:
        return text
    return TOKEN.sub(lambda m: "<" + "X" * (len(m[0]) - 2) + ">", text)


def resolve(text: str, hits: list[Hit], kept: list[tuple[int, int]]) -> list[Hit]:
    """Hits that do not overlap, by position: the surest keeps its range, what others add is redacted too.

    Whatever is `kept` is taken out of every hit, save of secrets (a token of ours is taken out of those too).
    """
    if not hits:
        return []
    tokens = [m.span() for m in TOKEN.finditer(text)] if "<" in text else []
    untouchable, untouched = Ranges(tokens), Ranges(kept + tokens)
    taken, chosen = Ranges([]), list[Hit]()
    addresses: set[int] = set()
    for hit in sorted(hits, key=_rank):
        if hit.entity == "EMAIL_ADDRESS":
            if hit.end in addresses:
                continue  # the URL before an address that is redacted already is no part of it
            addresses.add(hit.end)
        outside = (untouchable if hit.entity in _ALWAYS else untouched).outside(hit.start, hit.end)
        for low, high in [part for span in outside for part in taken.outside(*span)]:
            start, end = _trimmed(text, low, high) if (low, high) != hit[:2] else (low, high)
            if start < end:
                chosen.append(hit._replace(start=start, end=end, value=_value(text, hit, start, end)))
                taken.add(start, end)
    return sorted(chosen)


def _value(text: str, hit: Hit, start: int, end: int) -> str:
    """What a hit stands for: its decoded value where it kept its whole range."""
    return hit.value if (start, end) == hit[:2] else text[start:end]


def _rank(hit: Hit) -> tuple[bool, bool, float, int, int, str]:
    """Secrets first, then patterns, then names; then by score, length (addresses: the shorter) and place."""
    by_model = hit.recognizer == "SpacyRecognizer"
    length = hit.end - hit.start
    if hit.entity == "EMAIL_ADDRESS":
        length = -length
    return (hit.entity not in SECRET_ENTITIES, by_model, -hit.score, -length, hit.start, hit.entity)


def _outside(spans: list[Span], kept: list[tuple[int, int]]) -> list[Span]:
    return [s for s in spans if s.entity in _ALWAYS or not any(a <= s.start and s.end <= b for a, b in kept)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without signs and white space at its ends; empty where there is nothing else."""
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not text[end - 1].isalnum():
        end -= 1
    return start, end
