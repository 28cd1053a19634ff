"""What a batch of messages shares: its leaves, nodes and labels, each made once and remembered beyond it."""

from collections.abc import Hashable

from pipeline.redact.drafts import Labels
from pipeline.redact.memo import Memo
from pipeline.redact.payload import REMEMBERED_BYTES, NodeKey
from pipeline.redact.tree import Leaf, LeafKey, LeafKind, Node, weigh
from pipeline.redact.work import LeafWork

_SLOTS = 1 << 14


def _weigh(value: Leaf | Node | Labels, generation: int) -> int:
    return value.weigh(generation) if isinstance(value, Labels) else weigh(value, generation)


class Memory:
    """What is remembered from batch to batch, bounded in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.memo: Memo[Leaf | Node | Labels] = Memo(max_bytes, _weigh)
        self._met = [0] * _SLOTS

    def is_second(self, key: Hashable) -> bool:
        """Whether a key was met before, by its hash alone. Long values are worth remembering only if they
        come again: a history that grows never does."""
        number = hash(key)
        slot = number % _SLOTS
        if self._met[slot] == number:
            return True
        self._met[slot] = number
        return False


class Batch:
    """Everything is looked up here while a batch is taken apart; `finish` then works out what is new."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._get = memory.memo.get
        self._young = memory.memo.young
        self._leaves: dict[LeafKey, Leaf] = {}
        self._nodes: dict[NodeKey, Node] = {}
        self._labels: dict[NodeKey, Labels] = {}
        self._new_nodes: list[Node] = []
        self._kept_nodes: list[tuple[NodeKey, Node]] = []

    def leaf(self, kind: LeafKind, text: str) -> Leaf:
        """The leaf of a text; the same one for the same arguments."""
        key = (kind, text)
        entry = self._young.get(key)
        known = entry[0] if entry is not None else self._get(key) or self._leaves.get(key)
        if isinstance(known, Leaf):
            return known
        leaf = self._leaves[key] = Leaf(kind, text)
        return leaf

    def node(self, key: NodeKey) -> Node | None:
        """The node of a raw text that was met before."""
        entry = self._young.get(key)
        known = entry[0] if entry is not None else self._get(key) or self._nodes.get(key)
        return known if isinstance(known, Node) else None

    def add(self, key: NodeKey | None, node: Node) -> None:
        """A new node; those in it were added before it. Without a key it is not remembered."""
        self._new_nodes.append(node)
        if key is None:
            return
        self._nodes[key] = node
        # Long arrays may be histories, which grow and never come again: their elements do.
        if len(node.raw) <= REMEMBERED_BYTES or (node.raw[:1] != b"[" and self._memory.is_second(key)):
            self._kept_nodes.append((key, node))

    def labels(self, key: NodeKey) -> Labels | None:
        """The labels of an event that had the same ones."""
        known = self._get(key) or self._labels.get(key)
        return known if isinstance(known, Labels) else None

    def add_labels(self, key: NodeKey, labels: Labels) -> None:
        """New labels."""
        self._labels[key] = labels

    def finish(self, work: LeafWork) -> None:
        """Resolve all new leaves, then what they are part of, and remember it."""
        if self._leaves:
            work.resolve(list(self._leaves.values()))
        put = self._memory.memo.put
        for name, leaf in self._leaves.items():
            put(name, leaf, leaf.size)
        for node in self._new_nodes:
            node.finish()
        for key, node in self._kept_nodes:
            put(key, node, node.size)
        for key, labels in self._labels.items():
            labels.finish()
            put(key, labels, labels.size())
