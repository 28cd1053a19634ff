"""Signed notes: the vectors of the format's authors, and no second spelling of anything."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoint import KEY, NAME, OTHER_KEY, cosign, witness

from pipeline.audit.checkpoint.note import (
    MAX_SIGNATURES,
    NoteError,
    PublicKey,
    SignedNote,
    SigningKey,
    cosigned_at_s,
    sign_note,
)
from pipeline.audit.checkpoint.statement import Checkpoint, Statement

# The example of golang.org/x/mod/sumdb/note and its tests.
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_SIGNATURE = "— PeterNeumann " + (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
GO_OTHER_PUBLIC = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
GO_OTHER_SIGNATURE = "— EnochRoot " + (
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# The examples of C2SP tlog-checkpoint and tlog-cosignature.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
STATEMENT = Statement.of(NAME, 13, bytes(range(100, 132)), 1_795_361_650_491)
NOTE = sign_note(STATEMENT.text, [KEY, OTHER_KEY])


def test_keys_and_signatures_are_those_of_go():
    key = SigningKey.parse(GO_PRIVATE)
    assert str(key.public) == GO_PUBLIC
    assert key.encode() == GO_PRIVATE
    assert sign_note(GO_TEXT, [key]).encode().decode() == GO_TEXT + "\n" + GO_SIGNATURE


def test_unknown_signatures_are_kept_and_known_ones_verified():
    peter, enoch = PublicKey.parse(GO_PUBLIC), PublicKey.parse(GO_OTHER_PUBLIC)
    content = (GO_TEXT + "\n" + GO_SIGNATURE + GO_OTHER_SIGNATURE).encode()
    note = SignedNote.parse(content)
    assert note.encode() == content
    assert note.signers([]) == []
    assert note.signers([enoch]) == [enoch]
    assert note.signers([enoch, peter]) == [peter, enoch]


def test_a_note_that_a_known_key_did_not_sign_is_refused_even_if_another_did():
    forged = (GO_TEXT.replace("your", "my", 1) + "\n" + GO_SIGNATURE).encode()
    with pytest.raises(NoteError, match="PeterNeumann\\+c74f20a3"):
        SignedNote.parse(forged).signers([PublicKey.parse(GO_PUBLIC)])
    mixed = NOTE.with_signatures([sign_note("x\n", [SigningKey("other", bytes(32))]).signatures[0]])
    with pytest.raises(NoteError, match="other"):
        mixed.signers([KEY.public, SigningKey("other", bytes(32)).public])


def test_the_published_checkpoint_with_a_cosignature_is_read():
    checkpoint = Checkpoint.parse(C2SP_NOTE.encode())
    assert checkpoint.note.encode().decode() == C2SP_NOTE
    assert (checkpoint.statement.origin, checkpoint.statement.size) == (
        "example.com/behind-the-sofa",
        20852163,
    )
    assert checkpoint.statement.at_ms is None
    assert cosigned_at_s(checkpoint.note.signatures[0].raw) is None
    assert cosigned_at_s(checkpoint.note.signatures[1].raw) == 1679315147


def test_a_witness_says_when_it_saw_a_note():
    cosigned = SignedNote.parse(NOTE.with_signatures([cosign(NOTE.text, 1_700_000_000)]).encode())
    assert cosigned.signers([witness(), KEY.public]) == [KEY.public, witness()]
    assert PublicKey.parse(str(witness())) == witness()
    assert cosigned_at_s(cosigned.signatures[-1].raw) == 1_700_000_000
    assert not witness().signs_log(NAME)


def test_a_cosignature_holds_for_its_own_time_alone():
    signature = cosign(NOTE.text, 1_700_000_000)
    later = (1_700_000_001).to_bytes(8, "big") + signature.raw[8:]
    assert witness().verifies(NOTE.text, signature.raw)
    assert not witness().verifies(NOTE.text, later)
    assert not witness().verifies(NOTE.text, signature.raw[8:])
    assert not KEY.public.verifies(NOTE.text, signature.raw)


@pytest.mark.parametrize(
    "content",
    [
        GO_TEXT,
        GO_TEXT + "\n",
        (GO_TEXT + "\n" + GO_SIGNATURE)[:-1],
        "\x01" + GO_TEXT + "\n" + GO_SIGNATURE,
        GO_TEXT.replace("\n", "\r\n") + "\n" + GO_SIGNATURE,
        GO_TEXT + "\n" + GO_SIGNATURE.replace("PeterNeumann", "Peter Neumann"),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("PeterNeumann", "Peter+Neumann"),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("PeterNeumann", "Peter\u2003Neumann"),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("PeterNeumann", ""),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("— ", "-- "),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("nAM=", "nAN="),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("nAM=", "nAM"),
        GO_TEXT + "\n" + GO_SIGNATURE.replace("x08go", "x08 go"),
        GO_TEXT + "\n" + "— PeterNeumann x08gow==\n",
        GO_TEXT + "\n" + GO_SIGNATURE + "an unexpected line\n",
        GO_TEXT + "\n" + GO_SIGNATURE * (MAX_SIGNATURES + 1),
        GO_TEXT * 5000 + "\n" + GO_SIGNATURE,
    ],
)
def test_what_is_no_note_is_refused(content: str):
    with pytest.raises(NoteError):
        SignedNote.parse(content.encode())


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(NoteError):
        SignedNote.parse(b"\xff" + (GO_TEXT + "\n" + GO_SIGNATURE).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n5\n",
        STATEMENT.text[:-1],
        STATEMENT.text + "\n",
        STATEMENT.text.replace("\n13\n", "\n013\n"),
        STATEMENT.text.replace("\n13\n", "\n+13\n"),
        STATEMENT.text.replace("\n13\n", "\n-13\n"),
        STATEMENT.text.replace("\n13\n", "\n1_3\n"),
        STATEMENT.text.replace("\n13\n", "\n١٣\n"),
        STATEMENT.text.replace("\n13\n", "\n9223372036854775808\n"),
        f"{NAME}\n13\nAAAA\n",
    ],
)
def test_what_is_no_statement_is_refused(text: str):
    with pytest.raises(NoteError):
        Statement.parse(text)


def test_a_statement_has_one_spelling():
    assert Statement.parse(STATEMENT.text) == STATEMENT
    assert STATEMENT.at_ms == 1_795_361_650_491
    assert STATEMENT.file_name == "00000000000000000013-6465666768696a6b.note"


@pytest.mark.parametrize(("text", "parse"), [(GO_PUBLIC, PublicKey.parse), (GO_PRIVATE, SigningKey.parse)])
def test_no_other_spelling_of_a_key_is_a_key(text: str, parse: type):
    parse(text)
    mangled = {text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)} - {text}
    mangled |= {text[:i] + chr(ord(char) + 1) + text[i + 1 :] for i, char in enumerate(text)}
    for one in mangled:
        with pytest.raises(NoteError) as refused:
            parse(one)
        assert "YEKFALVFGyNhPJ" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "tab\there", "line\nbreak", "x" * 256, "nul\0"])
def test_a_key_is_not_called_so(name: str):
    with pytest.raises(NoteError):
        sign_note("text\n", [SigningKey(name, bytes(32))])


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n"])
def test_what_could_not_be_read_again_is_not_signed(text: str):
    with pytest.raises(NoteError):
        sign_note(text, [KEY])


@settings(max_examples=300, deadline=None)
@given(bit=st.integers(0, len(NOTE.encode()) * 8 - 1))
def test_no_bit_of_a_note_changes_unseen(bit: int):
    content = bytearray(NOTE.encode())
    content[bit // 8] ^= 1 << bit % 8
    assert not _holds(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_no_edit_of_a_note_goes_unseen(inserted: bytes, start: int, length: int):
    content = NOTE.encode()
    edited = content[:start] + inserted + content[start + length :]
    assert edited == content or not _holds(edited)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_anything_is_read_or_refused(content: bytes):
    with contextlib.suppress(NoteError):
        assert SignedNote.parse(content).encode() == content


def _holds(content: bytes) -> bool:
    """Whether every signature is by a key that is known and verifies: what verification asks of a note."""
    try:
        checkpoint = Checkpoint.parse(content)
        signers = checkpoint.note.signers([KEY.public, OTHER_KEY.public])
        return len(signers) == 2 == len(checkpoint.note.signatures) and checkpoint.statement == STATEMENT
    except NoteError:
        return False
