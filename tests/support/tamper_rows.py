"""Attacks on rows, and on what is said of erasures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
from support.audit import TOPIC_ID
from support.forger import Forger, Row
from support.tamper import rewrite_rows, segment_paths, set_value
from support.tamper_registry import plain, skilled
from support.trail import Trail

from pipeline.audit import chain
from pipeline.audit.store import CONTROL, FINDINGS
from schemas.log_entry import PositionRange

AT = 4
"""A row of the second live segment of the events: offset 34."""


@plain
def commitment_cp_edited(trail: Trail) -> None:
    rewrite_rows(segment_paths(trail.root)[2], set_value("cp", AT, b"0" * 32))


@plain
def commitment_c_edited(trail: Trail) -> None:
    rewrite_rows(segment_paths(trail.root)[0], set_value("c", 14, b"0" * 32))


@plain
def row_nulled_and_called_erased(trail: Trail) -> None:
    rewrite_rows(segment_paths(trail.root)[1], _null_row(AT))


@plain
def erasure_claimed_and_value_left(trail: Trail) -> None:
    """The payload of a row that an erase entry names is back, with a commitment that fits."""

    def put_back(columns: dict[str, list[Any]]) -> None:
        columns["payload"][AT], columns["salt_p"][AT] = "{}", b"1" * 16

    rewrite_rows(segment_paths(trail.root)[2], put_back)


@skilled
def meta_edited(forger: Forger) -> None:
    row = forger.rows(TOPIC_ID)[34]
    row["meta"] = row["meta"].replace('"agent_id":"invoice-agent"', '"agent_id":"innocent"')
    row["agent_id"] = "innocent"


@skilled
def payload_edited(forger: Forger) -> None:
    forger.rows(TOPIC_ID)[34]["payload"] = '{"input":null}'


@skilled
def salt_m_edited(forger: Forger) -> None:
    forger.rows(TOPIC_ID)[34]["salt_m"] = bytes(16)


@skilled
def salt_p_edited(forger: Forger) -> None:
    forger.rows(TOPIC_ID)[34]["salt_p"] = bytes(16)


@skilled
def commitment_of_an_erased_payload_edited(forger: Forger) -> None:
    forger.rows(TOPIC_ID)[44]["cp"] = bytes(32)


@skilled
def commitment_of_an_erased_row_edited(forger: Forger) -> None:
    forger.rows(TOPIC_ID)[14]["c"] = bytes(32)


@skilled
def trip_edited(forger: Forger) -> None:
    row = forger.rows(CONTROL)[0]
    row["meta"] = row["meta"].replace("invoice-agent", "another-agent")
    row["agent_id"] = "another-agent"


@skilled
def finding_deleted(forger: Forger) -> None:
    del forger.segment(FINDINGS, 0)[1]
    [entry] = forger.logs[FINDINGS, 0]
    forger.logs[FINDINGS, 0] = [msgspec.structs.replace(entry, ids=entry.ids[:1])]


@skilled
def row_deleted(forger: Forger) -> None:
    del forger.segment(TOPIC_ID, 1)[AT]


@skilled
def row_inserted(forger: Forger) -> None:
    forger.segment(TOPIC_ID, 1).insert(AT + 1, _as_item(forger.segment(TOPIC_ID, 1)[AT], 1))


@skilled
def row_duplicated(forger: Forger) -> None:
    rows = forger.segment(TOPIC_ID, 1)
    rows.insert(AT, copy.deepcopy(rows[AT]))


@skilled
def contents_of_rows_swapped(forger: Forger) -> None:
    rows = forger.segment(TOPIC_ID, 1)
    for name in ("meta", "payload", "salt_m", "salt_p"):
        rows[3][name], rows[6][name] = rows[6][name], rows[3][name]


@skilled
def row_moved_to_the_next_segment(forger: Forger) -> None:
    row = forger.segment(TOPIC_ID, 0).pop()
    row["offset"] = 30
    forger.segment(TOPIC_ID, 1).insert(0, row)


@skilled
def row_erased_with_a_forged_entry(forger: Forger) -> None:
    """No row of `_control` orders it."""
    _forge_erasure(forger, "f" * 32)


@skilled
def row_erased_with_a_forged_entry_and_intent(forger: Forger) -> None:
    """The order is forged too, as a row of `_control` like the others."""
    intent = next(row for row in forger.rows(CONTROL) if row["kind"] == "erasure")
    _forge_erasure(forger, msgspec.json.decode(intent["meta"])["erasure"])


@skilled
def erasure_taken_back(forger: Forger) -> None:
    """The erased rows are made up again, and the entry that erased them names others."""
    log = forger.logs[TOPIC_ID, 0]
    at = next(n for n, entry in enumerate(log) if entry.erased_payloads)
    log[at] = msgspec.structs.replace(log[at], erased_payloads=[PositionRange(40, 0, 48, 0)])
    row = forger.rows(TOPIC_ID)[49]
    row["payload"], row["salt_p"], row["cp"] = "", bytes(16), None


@skilled
def erasure_blamed_on_another(forger: Forger) -> None:
    row = next(row for row in forger.rows(CONTROL) if row["kind"] == "erasure")
    row["meta"], row["by"] = row["meta"].replace('"by":"Ana"', '"by":"Bob"'), "Bob"


@plain
def erasure_order_deleted(trail: Trail) -> None:
    """The file of the intent, and nothing else."""
    segment_paths(trail.root, CONTROL)[1].unlink()


def _null_row(at: int) -> Callable[[dict[str, list[Any]]], None]:
    def change(columns: dict[str, list[Any]]) -> None:
        cp = chain.payload_commitment(columns["salt_p"][at], columns["payload"][at].encode())
        c = chain.row_commitment(columns["salt_m"][at], columns["meta"][at].encode(), cp)
        for name, values in columns.items():
            if name not in ("offset", "item", "kind", "h"):
                values[at] = None
        columns["c"][at] = c

    return change


def _forge_erasure(forger: Forger, erasure: str) -> None:
    """Offset 45 lost its payload already; the entry is made to have taken the whole row."""
    row = forger.rows(TOPIC_ID)[45]
    c = chain.row_commitment(row["salt_m"], row["meta"].encode(), row["cp"])
    for name in row:
        if name not in ("offset", "item", "kind", "h"):
            row[name] = None
    row["c"] = c
    log = forger.logs[TOPIC_ID, 0]
    at = next(n for n, entry in enumerate(log) if entry.erased_payloads)
    log[at] = msgspec.structs.replace(log[at], erasure=erasure, erased_rows=[PositionRange(45, 0, 45, 0)])


def _as_item(row: Row, item: int) -> Row:
    """A copy of a row under another item, its record included."""
    made = copy.deepcopy(row)
    made["meta"] = made["meta"].replace(f'"item":{row["item"]}', f'"item":{item}')
    made["item"] = item
    return made
