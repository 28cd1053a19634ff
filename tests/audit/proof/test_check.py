"""No part of a proof can be changed unseen, and the independent script says the same of every change."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.audit import TOPIC_ID, claim, event_row, seal_batches, sealed_store
from support.proof import KEY, OTHER_KEY, VERIFY_PROOF, agreed, checkpoint_now

from pipeline.audit.chain import payload_commitment, row_commitment
from pipeline.audit.checkpoint.note import PublicKey, SignedNote, sign_note
from pipeline.audit.proof.check import ProofError, check_proof
from pipeline.audit.proof.prove import prove
from pipeline.audit.store import Store

Document = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"


def encode(document: Document) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def withhold(row: Document) -> None:
    """Show the row without its payload."""
    row["cp"] = payload_commitment(bytes.fromhex(row.pop("salt_p")), row.pop("payload").encode()).hex()


def conceal(row: Document) -> None:
    """Show the row's commitment alone."""
    withhold(row)
    meta, salt_m, cp = (
        row.pop("meta").encode(),
        bytes.fromhex(row.pop("salt_m")),
        bytes.fromhex(row.pop("cp")),
    )
    row["c"] = row_commitment(salt_m, meta, cp).hex()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Rows of two segments of one trace, shown in all three forms."""
    store = sealed_store(tmp_path_factory.mktemp("store"), segments=5, rows=7)
    checkpoint_now(store)
    document = json.loads(b"".join(prove(store, f"{2:032x}")))
    assert [len(segment["rows"]) for segment in document["segments"]] == [3, 6]
    withhold(document["segments"][0]["rows"][1])
    conceal(document["segments"][1]["rows"][0])
    del document["segments"][1]["rows"][2:]
    return document


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proof") / "proof.json"


def test_all_three_forms_hold(document: Document, scratch: Path):
    assert agreed(encode(document), scratch)
    shown = [row.shown for row in check_proof(encode(document), [KEY.public]).rows]
    assert shown == ["row", "row without payload", "row", "commitment", "row"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in the document, the document itself first."""
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


def changed(document: Document, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Document:
    """A copy of the document with one value changed."""
    whole = {"": copy.deepcopy(document)}
    owner: Any = whole
    *above, last = ("", *path)
    for key in above:
        owner = owner[key]
    owner[last] = change(owner[last])
    return whole[""]


def replacements(value: Any) -> Iterator[Any]:
    """Other values of every type that could stand in a value's place."""
    yield from (None, True, 0.5, {}, [], "", [value], {"value": value})
    if isinstance(value, int):
        yield from (value + 1, value - 1, -1, 2**31, 2**63, 2**64, 10**40, float(value), str(value))
    if isinstance(value, str):
        yield from (
            value + " ",
            value + "0",
            value[:-1],
            value[1:],
            value.upper(),
            [*value],
            "0" * len(value),
        )
        yield from (value + "\x00", value + "é", value + "\ud800")
    if isinstance(value, list) and value:
        yield from (value[:-1], value[1:], value[::-1], [*value, value[-1]], dict.fromkeys(map(str, value)))
    if isinstance(value, dict):
        for key in value:
            yield {name: one for name, one in value.items() if name != key}
        yield value | {"unknown": 1}
        yield value | {"c": "0" * 64}
        yield value | {"cp": "0" * 64}
        yield list(value.items())


def test_every_value_that_is_replaced_is_refused(document: Document, scratch: Path):
    tried = 0
    for path in places(document):
        for value in replacements(_at(document, path)):
            other = changed(document, path, lambda _, value=value: value)
            if other == document and type(value) is type(_at(document, path)):
                continue
            text = json.dumps(other).encode()
            if path[-1:] in (("segments",), ("rows",)) and isinstance(value, list) and agreed(text, scratch):
                continue  # fewer rows, or rows in another order, are a proof too
            assert not agreed(text, scratch), (path, value)
            tried += 1
    assert tried > 1000


def _at(document: Document, path: tuple[Any, ...]) -> Any:
    value: Any = document
    for key in path:
        value = value[key]
    return value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bit_of_any_text_that_is_flipped_is_refused(
    document: Document, scratch: Path, data: st.DataObject
):
    texts = [path for path in places(document) if isinstance(_at(document, path), str)]
    path = data.draw(st.sampled_from(texts))
    text = _at(document, path)
    at = data.draw(st.integers(0, len(text) - 1))
    flipped = chr(ord(text[at]) ^ 1 << data.draw(st.integers(0, 7)))
    other = changed(document, path, lambda text: text[:at] + flipped + text[at + 1 :])
    assert not agreed(encode(other), scratch), (path, at, flipped)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_byte_of_the_file_that_is_changed_is_refused_or_means_nothing(
    document: Document, scratch: Path, data: st.DataObject
):
    content = encode(document)
    at = data.draw(st.integers(0, len(content) - 1))
    changed_byte = data.draw(st.sampled_from(b' \n\t"\\{}[],:0-+.eE1x\x00\xff'))
    other = content[:at] + bytes([changed_byte]) + content[at + data.draw(st.integers(0, 1)) :]
    if agreed(other, scratch):
        assert json.loads(other) == document


def swap_rows(document: Document) -> None:
    """Two rows take each other's content."""
    first, second = document["segments"][0]["rows"][0], document["segments"][1]["rows"][1]
    for name in ("meta", "salt_m", "payload", "salt_p"):
        first[name], second[name] = second[name], first[name]


def move_row(document: Document) -> None:
    """A row of one segment is said to be of another."""
    document["segments"][1]["rows"].append(document["segments"][0]["rows"].pop(0))


def swap_entries(document: Document) -> None:
    first, second = document["segments"]
    for name in ("entry", "index", "path"):
        first[name], second[name] = second[name], first[name]


def edit_meta(document: Document) -> None:
    row = document["segments"][0]["rows"][0]
    row["meta"] = row["meta"].replace('"outcome":"ok"', '"outcome":"error"')


def edit_payload(document: Document) -> None:
    row = document["segments"][0]["rows"][0]
    row["payload"] = row["payload"].replace("paid", "void")


def move_offset(document: Document) -> None:
    document["segments"][0]["rows"][0]["offset"] += 1


def edit_entry_root(document: Document) -> None:
    """The entry is made to publish a root of the forger's own."""
    segment = document["segments"][0]
    entry = json.loads(segment["entry"])
    segment["entry"] = segment["entry"].replace(entry["segment"]["merkle_root"], "0" * 64)


def node_as_leaf(document: Document) -> None:
    """An inner node of the tree is shown as if it were a row: what the prefixes of RFC 6962 prevent."""
    row = document["segments"][0]["rows"][0]
    del row["path"][0]
    row["index"] //= 2


def signed_by_another(document: Document) -> None:
    text = SignedNote.parse(document["checkpoint"].encode()).text
    document["checkpoint"] = sign_note(text, [OTHER_KEY]).encode().decode()


def signature_of_another_checkpoint(document: Document) -> None:
    note = SignedNote.parse(document["checkpoint"].encode())
    origin, size, *rest = note.text.split("\n")
    other = "\n".join((origin, str(int(size) + 1), *rest))
    document["checkpoint"] = SignedNote(other, note.signatures).encode().decode()


def unsigned(document: Document) -> None:
    document["checkpoint"] = document["checkpoint"].partition("\n\n")[0] + "\n\n"


def other_origin(document: Document) -> None:
    """A note of another log, signed with this log's key under its own name."""
    text = SignedNote.parse(document["checkpoint"].encode()).text.replace("trail.example", "other.example")
    document["checkpoint"] = sign_note(text, [KEY]).encode().decode()


ATTACKS = [
    swap_rows,
    move_row,
    swap_entries,
    edit_meta,
    edit_payload,
    move_offset,
    edit_entry_root,
    node_as_leaf,
    signed_by_another,
    signature_of_another_checkpoint,
    unsigned,
    other_origin,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_refused(document: Document, scratch: Path, attack: Callable[[Document], None]):
    other = copy.deepcopy(document)
    attack(other)
    assert other != document
    assert not agreed(encode(other), scratch)


def test_a_field_that_stands_twice_is_refused(document: Document, scratch: Path):
    """A person would read one value while the other is proved."""
    row = document["segments"][0]["rows"][0]
    content = encode(document)
    twice = content.replace(b'"payload": ', b'"payload": "all was well", "payload": ', 1)
    assert twice != content and json.loads(twice) == document and row["payload"]
    assert not agreed(twice, scratch)


def test_a_row_that_is_another_of_the_log_is_told_from_one_that_is_not(document: Document):
    """What holds beside a fault is still listed, and the fault says which row it is."""
    other = copy.deepcopy(document)
    edit_meta(other)
    report = check_proof(encode(other), [KEY.public])
    assert len(report.rows) == 4 and len(report.faults) == 1
    row = document["segments"][0]["rows"][0]
    assert report.faults[0].startswith(f"{TOPIC_ID}/0 offset {row['offset']} item 0: ")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, '{"format":1}', "\ufeff{}"])
def test_what_is_no_proof_is_said_to_be_none(text: str):
    with pytest.raises(ProofError, match="not a proof of auditfuse"):
        check_proof(text.encode(), [KEY.public])


def test_what_a_forger_writes_does_not_reach_a_terminal():
    with pytest.raises(ProofError) as told:
        check_proof(b'{"format":"x","checkpoint":"y","segments":[],"\\u001b[2J":1}', [KEY.public])
    assert str(told.value) == "this is not a proof of auditfuse"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9])
def test_proofs_of_trees_of_every_shape(tmp_path: Path, scratch: Path, rows: int):
    store = Store(tmp_path)
    seal_batches(claim(store), [[event_row(offset) for offset in range(rows)]])
    checkpoint_now(store)
    for offset in range(rows):
        content = b"".join(prove(store, f"{TOPIC_ID}/0/{offset}"))
        assert agreed(content, scratch)
        for no_list in ({}, "", None):
            other = json.loads(content)
            other["segments"][0]["rows"][0]["path"] = no_list
            assert not agreed(encode(other), scratch)


GOLDEN_KEY = PublicKey.parse((GOLDEN / "trail.pub").read_text())


@pytest.mark.parametrize("name", ["row", "row without payload", "commitment"])
def test_a_proof_that_was_made_long_ago_holds(name: str, scratch: Path):
    """The format is kept: these files were written once."""
    content = (GOLDEN / f"{name.replace(' ', '-')}.json").read_bytes()
    assert agreed(content, scratch, GOLDEN_KEY)
    assert {row.shown for row in check_proof(content, [GOLDEN_KEY]).rows} == {name}


def test_the_script_needs_nothing_of_auditfuse(document: Document, tmp_path: Path):
    """Run as an auditor does, by an interpreter that takes nothing from its folder and environment."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(encode(document))
    other = copy.deepcopy(document)
    edit_payload(other)
    bad.write_bytes(encode(other))
    holds, fails, wrong_key = (
        subprocess.run(
            [sys.executable, "-I", VERIFY_PROOF, path, str(key)], capture_output=True, text=True, check=False
        )
        for path, key in ((good, KEY.public), (bad, KEY.public), (good, OTHER_KEY.public))
    )
    assert (holds.returncode, len(holds.stdout.splitlines())) == (0, 5)
    assert fails.returncode == 1 and "NOT proved" in fails.stderr
    assert wrong_key.returncode == 1 and "not signed by this key" in wrong_key.stderr


def test_the_script_is_as_short_as_it_says():
    source = VERIFY_PROOF.read_text()
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("#", '"""'))]
    assert len(lines) <= 40
    imported = {word for line in lines if line.startswith(("import", "from")) for word in line.split()[1:]}
    assert "pipeline" not in source and "cryptography.hazmat.primitives.asymmetric.ed25519" in imported
