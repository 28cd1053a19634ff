"""One string, redacted: findings of all its views, resolved, replaced by pseudonyms. Pure.

The same (class, string) gives the same result always, which is what lets results be remembered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.redact.config import RedactionConfig
from pipeline.redact.fields import FieldClass, key_rule
from pipeline.redact.ids import IdRules
from pipeline.redact.policy import DENY_LIST, Policies, Policy
from pipeline.redact.pseudonym import TOKEN, Pseudonyms, failure
from pipeline.redact.ranges import Ranges
from pipeline.redact.spans import Span
from pipeline.redact.types.secrets import SECRET_ENTITIES
from pipeline.redact.views import View

if TYPE_CHECKING:
    from pipeline.redact.find.engine import Engine  # loads Presidio

MAX_ROUNDS = 3
_ALWAYS = SECRET_ENTITIES | {"DATE_OF_BIRTH", "CRYPTO", "DEVICE_ID"}
"""Found even inside what looks like an id or a time."""
_IN_IDS = SECRET_ENTITIES - {"AWS_SECRET_KEY"} | {"IBAN_CODE", "CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS"}
"""What makes a prefixed id no id."""


class Hit(NamedTuple):
    """A finding placed in the string: characters [start, end), and the value it stands for."""

    start: int
    end: int
    entity: str
    score: float
    value: str
    recognizer: str
    is_name: bool = False
    """Whether the name finder found it: patterns go first."""


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

    def __init__(
        self, engine: "Engine", ids: IdRules, pseudonyms: Pseudonyms, policies: Policies | None = None
    ) -> None:
        self._engine = engine
        self._ids = ids
        self._pseudonyms = pseudonyms
        self._policies = policies or Policies(RedactionConfig(), pseudonyms)

    def redact(
        self,
        text: str,
        key: str,
        all_views: list[View],
        names: FindNames,
        policy: int = 0,
        parent: str = "",
    ) -> Redacted:
        """A string that is not an id: everything found in it is replaced. `key` is its payload key or "",
        `parent` the key above; `policy` is the number of the policy of its event, in its field."""
        rules = self._policies[policy]
        hits = self._hits(text, (key, parent), all_views, names, rules)
        if rules.field is not None and rules.field.takes_whole:
            return self._whole_field(text, hits, rules, rules.field.type)
        if not hits:
            return Redacted(text, {})
        result = _replaced(text, hits, rules)
        # Replacing shortens the way to a context word; go on until nothing more is found. Within a token
        # nothing is.
        for _ in range(0 if TOKEN.fullmatch(result.text) else MAX_ROUNDS):
            more = self._hits(result.text, ("", ""), [View(result.text)], lambda _: (), rules)
            again = _replaced(result.text, more, rules)
            if again.text == result.text:
                break
            counts = {
                e: result.counts.get(e, 0) + again.counts.get(e, 0) for e in {**result.counts, **again.counts}
            }
            result = result._replace(text=again.text, counts=counts)
        return result

    def identifier(self, kind: FieldClass, value: str) -> Redacted:
        """An id field: passes by its shape, else becomes a pseudonym, whatever the operators."""
        if TOKEN.fullmatch(value) or not value:
            return Redacted(value, {})
        if self._ids.passes(kind, value) and not self._holds_known_value(value):
            return Redacted(value, {})
        return _whole(value, "ID", value, self._pseudonyms.token("ID", value))

    def end_user(self, value: str, all_views: list[View], names: FindNames, policy: int = 0) -> Redacted:
        """Always a pseudonym, whatever the operators: of the type that was recognized, else USER_ID."""
        if TOKEN.fullmatch(value) or not value:
            return Redacted(value, {})
        rules = self._policies[policy].finding_all()
        entity, best = _type_of(value, self._hits(value, ("", ""), all_views, names, rules)) or (
            "USER_ID",
            value,
        )
        return _whole(value, entity, best, rules.apply(entity, best))

    def _holds_known_value(self, value: str) -> bool:
        if not self._ids.is_prefixed(value):
            return False  # hexadecimal of a fixed length passes unexamined
        bodies = (value, value.partition("_")[2])
        return any(self._engine.analyze(body, _IN_IDS) for body in bodies)

    def _whole_field(self, text: str, hits: list[Hit], policy: Policy, kind: str) -> Redacted:
        """A field whose rule speaks of all of it, whatever was found; `kind` where its type is unknown."""
        if not text.strip() or TOKEN.fullmatch(text) or self._policies.marks(text) == [(0, len(text))]:
            return Redacted(text, {})
        entity, value = _type_of(text, hits) or (kind, text)
        replaced = policy.apply(entity, value)
        return Redacted(text, {}) if replaced == text else _whole(text, entity, value, replaced)

    def _hits(
        self, text: str, keys: tuple[str, str], all_views: list[View], names: FindNames, policy: Policy
    ) -> list[Hit]:
        hits: list[Hit] = []
        for view in all_views:
            hits += _by_key(view, keys, policy) or self._found(view, names, policy)
        if not hits:
            return []
        return resolve(text, hits, self._ids.kept(text), self._policies.marks(text))

    def _found(self, view: View, names: FindNames, policy: Policy) -> list[Hit]:
        masked = mask_tokens(view.text)
        patterns, named = self._engine.analyze(masked), [*names(masked)]
        if not patterns and not named:
            return [_placed(view, span) for span in policy.denials(masked)]
        if view.whole is not None or view.origin is not None:
            kept = self._ids.kept(view.text)
            patterns, named = _outside(patterns, kept), _outside(named, kept)
        return [
            *(_placed(view, span) for span in policy.unspared(masked, patterns)),
            *(_placed(view, span, is_name=True) for span in policy.unspared(masked, named)),
            *(_placed(view, span) for span in policy.denials(masked)),
        ]


def _by_key(view: View, keys: tuple[str, str], policy: Policy) -> list[Hit]:
    """What the rule for the key says: of the whole value only, of the string itself, or of a query value."""
    key, parent = (view.key, "") if view.key else keys
    rule = key_rule(key, parent) if key else None
    if rule is None or not (view.key or view.origin is None) or not rule.value.fullmatch(view.text):
        return []
    if TOKEN.fullmatch(view.text):
        return []
    span = Span(0, len(view.text), rule.entity, 1.0, "field")
    return [_placed(view, span) for span in policy.unspared(view.text, [span])]


def _placed(view: View, span: Span, *, is_name: bool = False) -> Hit:
    value = view.text[span.start : span.end]
    place = view.place(span.start, span.end)
    return Hit(*place, span.entity, span.score, value, span.recognizer, is_name)


def _whole(text: str, entity: str, value: str, replaced: str) -> Redacted:
    """A string that was replaced as a whole."""
    hit = Hit(0, len(text), entity, 1.0, value, "field")
    return Redacted(replaced, {entity: 1}, (value,) if entity == "PERSON" else (), (hit,))


def _type_of(text: str, hits: list[Hit]) -> tuple[str, str] | None:
    """Type and value of a string that was recognized as a whole."""
    whole = [h for h in hits if h.end - h.start == len(text) and not h.entity.startswith("!")]
    best = max(whole, key=lambda h: h.score, default=None)
    return (best.entity, best.value) if best else None


def _replaced(text: str, hits: list[Hit], policy: Policy) -> Redacted:
    """The text with the hits replaced; what stays as it was (a mask that is masked again) is not counted."""
    pieces: list[str] = []
    changed: list[Hit] = []
    last = 0
    for hit in hits:
        old = text[hit.start : hit.end]
        is_failure = hit.entity.startswith("!")
        new = failure(hit.entity[1:], len(old)) if is_failure else policy.apply(hit.entity, hit.value)
        pieces += [text[last : hit.start], new]
        last = hit.end
        if new != old:
            changed.append(hit)
    pieces.append(text[last:])
    counts: dict[str, int] = {}
    for hit in changed:
        entity = "REDACTION_FAILED" if hit.entity[0] == "!" else hit.entity
        counts[entity] = counts.get(entity, 0) + 1
    return Redacted(
        "".join(pieces),
        counts,
        tuple(h.value for h in changed if h.entity == "PERSON"),
        tuple(changed),
        any(h.entity[0] == "!" for h in changed),
    )


def mask_tokens(text: str) -> str:
    """The text with the inside of our own tokens masked, every offset kept."""
    if "<" not in text:
        return text
    return TOKEN.sub(lambda m: "<" + "X" * (len(m[0]) - 2) + ">", text)


def resolve(
    text: str, hits: list[Hit], kept: list[tuple[int, int]], marks: Sequence[tuple[int, int]] = ()
) -> list[Hit]:
    """Hits that do not overlap, by position: the surest keeps its range, what others add is redacted too.

    Whatever is `kept` is taken out of every hit, save of secrets and what is denied; tokens of ours and
    `marks`, which operators wrote, are taken out of those too.
    """
    if not hits:
        return []
    tokens = [*([m.span() for m in TOKEN.finditer(text)] if "<" in text else []), *marks]
    untouchable, untouched = Ranges(tokens), Ranges(kept + tokens)
    taken, chosen = Ranges([]), list[Hit]()
    addresses: set[int] = set()
    for hit in sorted(hits, key=_rank):
        if hit.entity == "EMAIL_ADDRESS":
            if hit.end in addresses:
                continue  # the URL before an address that is redacted already is no part of it
            addresses.add(hit.end)
        always = hit.entity in _ALWAYS or hit.recognizer == DENY_LIST
        outside = (untouchable if always else untouched).outside(hit.start, hit.end)
        for low, high in [part for span in outside for part in taken.outside(*span)]:
            start, end = _trimmed(text, low, high) if (low, high) != hit[:2] else (low, high)
            if start < end:
                whole = (start, end) == hit[:2]  # it stands for its decoded value
                chosen.append(hit if whole else hit._replace(start=start, end=end, value=text[start:end]))
                taken.add(start, end)
    return sorted(chosen)


def _rank(hit: Hit) -> tuple[bool, bool, float, int, int, str]:
    """Secrets and denied first, then patterns, then names; then by score, length (addresses: the shorter)
    and place."""
    first = hit.entity in SECRET_ENTITIES or hit.recognizer == DENY_LIST
    length = hit.end - hit.start
    if hit.entity == "EMAIL_ADDRESS":
        length = -length
    return (not first, hit.is_name, -hit.score, -length, hit.start, hit.entity)


def _outside(spans: Iterable[Span], kept: list[tuple[int, int]]) -> list[Span]:
    return [s for s in spans if s.entity in _ALWAYS or not any(a <= s.start and s.end <= b for a, b in kept)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without signs and white space at its ends; empty where there is nothing else."""
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not text[end - 1].isalnum():
        end -= 1
    return start, end
