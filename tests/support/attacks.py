"""Known attacks on the store's files: what each does, which verdicts it turns, which rows are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from support.audit import sealed_store
from support.tamper import entry_paths, overwrite, reorder, rewrite_rows, segment_paths, set_value

ROWS = "rows intact"
COLUMNS = "columns match the records"
SEGMENTS = "segments linked"
LOG = "log linked"
OFFSETS = "offsets complete"
ERASURES = "erasures accounted for"


class Attack(NamedTuple):
    """What is done to a store of three segments of ten rows (offsets 0–9, 10–19, 20–29)."""

    name: str
    do: Callable[[Path], None]
    verdicts: set[str]
    """Every verdict that turns."""
    rows: set[int]
    """Offsets of the rows that are named."""
    by_sql: bool = True
    """Whether docs/verify.sql finds it too."""


def rows_of(number: int, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change the rows of segment `number`."""
    return lambda root: rewrite_rows(segment_paths(root)[number], change)


def edit_entry(number: int, before: bytes, after: bytes) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        path = entry_paths(root)[number]
        content = path.read_bytes()
        assert before in content
        overwrite(path, content.replace(before, after, 1))

    return do


def truncate(root: Path) -> None:
    path = segment_paths(root)[1]
    overwrite(path, path.read_bytes()[:-200])


def swap_segments(root: Path) -> None:
    first, second = segment_paths(root)[:2]
    contents = first.read_bytes(), second.read_bytes()
    overwrite(first, contents[1])
    overwrite(second, contents[0])


def replace_segment(root: Path) -> None:
    """Another store's segment of the same place: valid in itself."""
    other = root.parent / "other"
    sealed_store(other)
    overwrite(segment_paths(root)[1], segment_paths(other)[1].read_bytes())


def move_row(root: Path) -> None:
    """The last row of the first segment goes to the front of the second."""
    moved: dict[str, Any] = {}

    def take(columns: dict[str, list[Any]]) -> None:
        moved.update({name: values.pop() for name, values in columns.items()})

    def put(columns: dict[str, list[Any]]) -> None:
        for name, values in columns.items():
            values.insert(0, moved[name])

    first, second = segment_paths(root)[:2]
    rewrite_rows(first, take)
    rewrite_rows(second, put)


def insert_forged(columns: dict[str, list[Any]]) -> None:
    """A new row between offsets 4 and 5 of the file: a copy under item 1, its link left as it was."""
    for values in columns.values():
        values.insert(5, values[4])
    columns["item"][5] = 1


def swap_content(columns: dict[str, list[Any]]) -> None:
    """Two rows exchange everything but their place."""
    for name, values in columns.items():
        if name not in ("offset", "item", "h"):
            values[3], values[6] = values[6], values[3]


def renumber(root: Path) -> None:
    """Two entries exchange their numbers."""
    second, third = entry_paths(root)[2:4]
    contents = second.read_bytes(), third.read_bytes()
    overwrite(second, contents[1])
    overwrite(third, contents[0])


def erase_without_entry(columns: dict[str, list[Any]]) -> None:
    from hashlib import sha256

    columns["cp"][4] = sha256(columns["salt_p"][4] + columns["payload"][4].encode()).digest()
    columns["payload"][4] = columns["salt_p"][4] = None


def shift_salt(columns: dict[str, list[Any]]) -> None:
    """The first byte of meta goes into the salt: the bytes that are hashed stay the same."""
    columns["salt_m"][4] += columns["meta"][4][:1].encode()
    columns["meta"][4] = columns["meta"][4][1:]


ATTACKS = [
    Attack(
        "edited meta", rows_of(1, set_value("meta", 4, lambda m: m.replace("write", "read "))), {ROWS}, {14}
    ),
    Attack("edited payload", rows_of(1, set_value("payload", 4, '{"input":1}')), {ROWS}, {14}),
    Attack("edited typed column", rows_of(1, set_value("agent_id", 4, "someone-else")), {COLUMNS}, {14}),
    Attack("nulled typed column", rows_of(1, set_value("target", 4, None)), {COLUMNS}, {14}),
    Attack("edited list column", rows_of(1, set_value("scopes", 4, ["admin"])), {COLUMNS}, {14}),
    Attack("edited map column", rows_of(1, set_value("redactions", 4, [("X", 1)])), {COLUMNS}, {14}),
    Attack("edited dead-letter column", rows_of(1, set_value("reason", 9, "fine")), {COLUMNS}, {19}),
    Attack("edited kind", rows_of(1, set_value("kind", 4, "dead_letter")), {COLUMNS}, {14}),
    Attack("edited salt_m", rows_of(1, set_value("salt_m", 4, b"0" * 16)), {ROWS}, {14}),
    Attack("edited salt_p", rows_of(1, set_value("salt_p", 4, b"0" * 16)), {ROWS}, {14}),
    Attack("salt that swallows meta", rows_of(1, shift_salt), {ROWS}, {14}),
    Attack("edited hash", rows_of(1, set_value("h", 4, b"0" * 32)), {ROWS}, {14}),
    Attack("edited hash of the last row", rows_of(1, set_value("h", 9, b"0" * 32)), {ROWS}, {19}),
    Attack("edited offset", rows_of(1, set_value("offset", 9, 29)), {ROWS}, {29}),
    Attack("edited item", rows_of(1, set_value("item", 4, 7)), {ROWS}, {14}),
    Attack("nulled payload", rows_of(1, set_value("payload", 4, None)), {ROWS}, {14}),
    Attack("payload erased without an entry", rows_of(1, erase_without_entry), {ERASURES}, {14}),
    Attack("deleted row", rows_of(1, reorder([0, 1, 2, 3, 5, 6, 7, 8, 9])), {ROWS}, {15}),
    Attack("deleted last row", rows_of(1, reorder([*range(9)])), {ROWS}, {18}),
    Attack("deleted first row", rows_of(1, reorder([*range(1, 10)])), {ROWS}, {11}),
    Attack("inserted row", rows_of(1, insert_forged), {ROWS}, {14}),
    Attack("duplicated row", rows_of(1, reorder([0, 1, 2, 3, 4, 4, *range(5, 10)])), {ROWS}, {14}),
    Attack("swapped rows", rows_of(1, reorder([0, 1, 2, 6, 4, 5, 3, 7, 8, 9])), {ROWS}, {13, 14, 15}),
    Attack("swapped content", rows_of(1, swap_content), {ROWS}, {13, 16}),
    Attack("moved row", move_row, {ROWS}, {8, 9}),
    Attack("dropped segment", lambda root: segment_paths(root)[1].unlink(), {SEGMENTS}, set()),
    Attack("truncated segment", truncate, {SEGMENTS}, set()),
    Attack("swapped segments", swap_segments, {SEGMENTS, ROWS, OFFSETS}, {*range(20)}),
    Attack("replaced segment", replace_segment, {SEGMENTS, ROWS}, {10}),
    Attack("edited entry", edit_entry(1, b'"rows":10', b'"rows":11'), {LOG, SEGMENTS, ROWS}, {9}),
    Attack("edited time of an entry", edit_entry(1, b'"at_ms":1', b'"at_ms":2'), {LOG}, set()),
    Attack("entry that is not JSON", edit_entry(1, b"{", b"["), {LOG, SEGMENTS}, set()),
    Attack("dropped entry", lambda root: entry_paths(root)[2].unlink(), {LOG, SEGMENTS, OFFSETS}, set()),
    Attack("renumbered entries", renumber, {LOG}, set()),
    Attack("dropped claim", lambda root: entry_paths(root)[0].unlink(), {LOG}, set()),
]
