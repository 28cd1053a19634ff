"""Signed notes (C2SP signed-note) with Ed25519 keys and timestamped witness cosignatures (C2SP
tlog-cosignature). Pure.

A note is text, an empty line, and signature lines. Parsing is strict: every note and key has exactly
one spelling, so that no bit of it can change unseen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.errors import AuditfuseError

MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 100
MAX_NAME_LENGTH = 255
ED25519 = 1
"""Algorithm byte of a log's own signatures."""
COSIGNATURE = 4
"""Algorithm byte of a witness that says when it saw the note."""
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8


class NoteError(AuditfuseError):
    """A note or key is not what the format asks for, or a known key did not sign what stands there."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `raw` is what follows the key id: its meaning is the key's algorithm's."""

    name: str
    key_id: bytes
    raw: bytes

    @classmethod
    def parse(cls, line: str) -> Signature:
        """The line without its newline. Raises NoteError."""
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space:
            raise NoteError("a signature line is not '— NAME SIGNATURE'")
        content = _from_base64(encoded, "a signature")
        if len(content) <= 4:
            raise NoteError("a signature is too short")
        return cls(check_name(name), content[:4], content[4:])

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_to_base64(self.key_id + self.raw)}"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """Text that ends with a newline, and its signatures in order. Unknown ones are kept."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, content: bytes) -> SignedNote:
        """Raises NoteError. Nothing is verified."""
        if len(content) > MAX_NOTE_BYTES:
            raise NoteError(f"a note of {len(content)} bytes is too long")
        try:
            message = content.decode()
        except UnicodeDecodeError:
            raise NoteError("a note is not UTF-8") from None
        if any(char < " " and char != "\n" for char in message):
            raise NoteError("a note holds a control character")
        text, blank, tail = message.rpartition("\n\n")
        if not blank or not text or not tail.endswith("\n"):
            raise NoteError("a note is not text, an empty line, and signature lines")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise NoteError(f"a note has {len(lines)} signatures, more than {MAX_SIGNATURES}")
        return cls(text + "\n", tuple(Signature.parse(line) for line in lines))

    def encode(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(f"{signature}\n" for signature in self.signatures)).encode()

    def signers(self, keys: Iterable[PublicKey]) -> list[PublicKey]:
        """Those of `keys` that signed this. Raises NoteError where a signature is said to be by one of
        them and is not."""
        known = {(key.name, key.key_id): key for key in keys}
        signed: dict[PublicKey, None] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is None:
                continue
            if not key.verifies(self.text, signature.raw):
                raise NoteError(f"the signature of {key.label} is not over this text")
            signed[key] = None
        return list(signed)

    def with_signatures(self, more: Iterable[Signature]) -> SignedNote:
        """The note with those signatures that it does not have yet at its end."""
        added = dict.fromkeys((*self.signatures, *more))
        if len(added) > MAX_SIGNATURES:
            raise NoteError(f"a note may have {MAX_SIGNATURES} signatures")
        return SignedNote(self.text, tuple(added))


@dataclass(frozen=True)
class PublicKey:
    """Who may have signed: `str()` gives the form that is handed to auditors, NAME+ID+KEY."""

    name: str
    algorithm: int
    public: bytes
    """The 32 bytes of RFC 8032."""

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raises NoteError."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise NoteError("a public key has the form NAME+ID+KEY, as auditfuse keys show prints it")
        content = _from_base64(parts[2], "a public key")
        if len(content) != 33 or content[0] not in (ED25519, COSIGNATURE):
            raise NoteError(f"the public key {parts[0]} is not an Ed25519 key")
        key = cls(check_name(parts[0]), content[0], content[1:])
        if key.key_id.hex() != parts[1]:
            raise NoteError(f"the public key {parts[0]} does not match its id: it was not copied whole")
        return key

    def __str__(self) -> str:
        return f"{self.label}+{_to_base64(bytes([self.algorithm]) + self.public)}"

    @cached_property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ newline ‖ algorithm ‖ key), first four bytes: tells keys apart, proves nothing."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(named).digest()[:4]

    @property
    def label(self) -> str:
        """NAME+ID: names the key to people."""
        return f"{self.name}+{self.key_id.hex()}"

    def signs_log(self, origin: str) -> bool:
        """Whether this key speaks for the log of that name; a witness's does not."""
        return self.algorithm == ED25519 and self.name == origin

    def verifies(self, text: str, raw: bytes) -> bool:
        """Whether `raw` is this key's signature of a note's text."""
        message = text.encode()
        if self.algorithm == COSIGNATURE:
            time_s = cosigned_at_s(raw)
            if time_s is None:
                return False
            message = _cosigned(text, time_s)
            raw = raw[_TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(raw, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A private key. Its text form is a secret and stands in no error."""

    name: str
    seed: bytes

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """From PRIVATE+KEY+NAME+ID+KEY. Raises NoteError."""
        parts = text.strip().removeprefix(_PRIVATE).split("+", 2)
        if not text.strip().startswith(_PRIVATE) or len(parts) != 3:
            raise NoteError("a private key has the form PRIVATE+KEY+NAME+ID+KEY")
        content = _from_base64(parts[2], "a private key")
        if len(content) != 33 or content[0] != ED25519:
            raise NoteError("the private key is not an Ed25519 key of a log")
        key = cls(check_name(parts[0]), content[1:])
        if not hmac.compare_digest(key.public.key_id.hex(), parts[1]):
            raise NoteError(f"the private key {parts[0]} does not match its id: it was not copied whole")
        return key

    def encode(self) -> str:
        """The text form that is kept in a key file."""
        key_id = self.public.key_id.hex()
        return f"{_PRIVATE}{self.name}+{key_id}+{_to_base64(bytes([ED25519]) + self.seed)}"

    @cached_property
    def public(self) -> PublicKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.name, ED25519, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """The signature of a note's text. The same text gives the same bytes."""
        raw = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return Signature(self.name, self.public.key_id, raw)


def sign_note(text: str, keys: Sequence[SigningKey]) -> SignedNote:
    """The note of `text`, signed by each key in order. Raises NoteError where it could not be read again."""
    note = SignedNote(text, tuple(key.sign(text) for key in keys))
    if SignedNote.parse(note.encode()) != note:
        raise NoteError("the text cannot be made a note: it has no line, or does not end with one")
    return note


def cosigned_at_s(raw: bytes) -> int | None:
    """When a witness says that it saw the note (Unix time); None where this is no cosignature."""
    if len(raw) != _TIME_BYTES + _SIGNATURE_BYTES:
        return None
    time_s = int.from_bytes(raw[:_TIME_BYTES], "big")
    return time_s if time_s < 2**63 else None


def check_name(name: str) -> str:
    """The name, if a key or log may be called so. Raises NoteError."""
    bad = not name or len(name) > MAX_NAME_LENGTH or not name.isprintable()
    if bad or "+" in name or any(char.isspace() for char in name):
        raise NoteError("a key's name is one word of printable characters without '+'")
    return name


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _from_base64(text: str, what: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = b""
    # Trailing bits that decoding ignores would be a second spelling of the same bytes.
    if not content or _to_base64(content) != text:
        raise NoteError(f"{what} is not base64")
    return content
