"""Where a value stands in a payload: its keys, and what they say about it. Looked up once for each key."""

from pipeline.redact.fields import is_parent_key, is_time_key, key_rule
from pipeline.redact.policy import Policies
from pipeline.redact.tree import Leaf, LeafKind, json_string

MAX_PLACES = 8_000
"""Keys come from outside: with more of them, all are forgotten and looked up again."""
MAX_KEY_CHARS = 200


class Place:
    """The values below one key: of an object, of all elements of an array."""

    __slots__ = (
        "as_parent",
        "below",
        "context",
        "examined",
        "is_time",
        "key",
        "key_leaf",
        "kind",
        "parent",
        "path",
        "policy",
        "reads_all",
        "rule",
        "token",
    )

    def __init__(self, fields: Policies | None, policy: int, parent: str, key: str, path: str) -> None:
        self.policy, self.parent, self.key, self.path = policy, parent, key, path
        self.rule = key_rule(key, parent) if key else None
        rule_key = key if self.rule else ""
        rule_parent = parent if self.rule and self.rule.parent else ""
        self.as_parent = key if is_parent_key(key) else ""
        """The key, where it says something about the keys below it."""
        leaf_policy = fields.at(policy, path) if fields else policy
        self.kind = LeafKind("text", rule_key, rule_parent, leaf_policy)
        """Of its strings, and of numbers that are looked at for its key."""
        self.examined = fields is not None and fields.has_rule(policy, path)
        """Whether configuration names this field: then even numbers and short strings are looked at."""
        self.reads_all = self.rule is not None or self.examined
        """Whether short strings and numbers are looked at as well."""
        self.is_time = is_time_key(key)
        self.context = (policy, rule_parent, rule_key, self.as_parent, self.is_time, path)
        """What the result of a value depends on beside its text."""
        self.token = json_string(key)
        self.key_leaf: Leaf | None = None
        """The key as a label, once it is resolved."""
        self.below: dict[str, Place] = {}


class Places:
    """All places met. `fields`: the policies, if they have rules for fields: else paths do not matter."""

    def __init__(self, fields: Policies | None) -> None:
        self._fields = fields
        self._known: dict[tuple[int, str, str, str], Place] = {}
        self._links = 0

    def root(self, policy: int) -> Place:
        """The place of a whole payload under a policy."""
        return self._at(policy, "", "", "")

    def below(self, place: Place, key: str) -> Place:
        """The place of a key's value in an object that stands at `place`."""
        known = place.below.get(key)
        if known is not None:
            return known
        path = (f"{place.path}.{key}" if place.path else key) if self._fields else ""
        found = self._at(place.policy, place.as_parent, key, path)
        if len(key) <= MAX_KEY_CHARS:
            self._links += 1
            place.below[key] = found
        return found

    def _at(self, policy: int, parent: str, key: str, path: str) -> Place:
        context = (policy, parent, key, path)
        place = self._known.get(context)
        if place is None:
            place = Place(self._fields, policy, parent, key, path)
            if max(len(key), len(parent)) <= MAX_KEY_CHARS and len(path) <= 4 * MAX_KEY_CHARS:
                if len(self._known) + self._links > MAX_PLACES:
                    self._forget()
                self._known[context] = place
        return place

    def _forget(self) -> None:
        for place in self._known.values():
            place.below.clear()  # they refer to each other
        self._known.clear()
        self._links = 0
