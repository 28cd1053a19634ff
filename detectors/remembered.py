"""What was reported, bounded in memory."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

MAX_REMEMBERED = 100_000

Item = TypeVar("Item", bound=Hashable)


class Remembered(Generic[Item]):
    """Items in the order in which they were first seen: the oldest are forgotten."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.items: OrderedDict[Item, None] = OrderedDict.fromkeys(items)

    def add(self, item: Item) -> bool:
        """Whether it is new."""
        if item in self.items:
            return False
        self.items[item] = None
        if len(self.items) > MAX_REMEMBERED:
            self.items.popitem(last=False)
        return True
