"""Checkpoints in tests: hosts with keys of their own, witnesses, an HTTP anchor."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.audit import START_MS, claim, event_rows, seal_batches

from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.checkpoint.key import signing_keys
from pipeline.audit.checkpoint.note import COSIGNATURE, PublicKey, Signature, SigningKey
from pipeline.audit.checkpoint.sequencer import Sequencer
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.audit.verify.checkpoints import check_checkpoints

START = START_MS + 3_600_000
"""Of the clock: an hour after the first row."""
NAME = "audit.example.com/agents"
KEY = SigningKey(NAME, bytes(range(32)))
OTHER_KEY = SigningKey(NAME, bytes(range(32, 64)))
WITNESS_SEED = bytes(range(64, 96))


def witness() -> PublicKey:
    """The public key of a witness."""
    public = Ed25519PrivateKey.from_private_bytes(WITNESS_SEED).public_key().public_bytes_raw()
    return PublicKey("witness.example.org/w1", COSIGNATURE, public)


def cosign(text: str, time_s: int) -> Signature:
    """What that witness puts under a note."""
    message = f"cosignature/v1\ntime {time_s}\n{text}".encode()
    raw = time_s.to_bytes(8, "big") + Ed25519PrivateKey.from_private_bytes(WITNESS_SEED).sign(message)
    return Signature(witness().name, witness().key_id, raw)


class Host:
    """A machine that makes checkpoints: its state directory, its keys, its clock."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        *keys: SigningKey,
        now_ms: Callable[[], int],
        interval_s: float = 60,
    ) -> None:
        self.folder = folder
        self._store = store
        self.keys_of: Callable[[str | None], Sequence[SigningKey]] = lambda origin: keys or (KEY,)
        """May be replaced: it is asked in the middle of a pass."""
        self._now_ms = now_ms
        self._interval_s = interval_s
        self.sequencer = self.restarted()

    def restarted(self) -> Sequencer:
        """What a new process of this host begins with."""
        self.sequencer = Sequencer(
            self._store,
            self._ask,
            self.folder,
            interval_s=self._interval_s,
            now_ms=self._now_ms,
        )
        return self.sequencer

    def _ask(self, origin: str | None) -> Sequence[SigningKey]:
        return self.keys_of(origin)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance_s(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


def grow(store: Store, segments: int = 1, partition: int = 0) -> None:
    """Seal more segments into a partition: a claim and an entry for each."""
    for _ in range(segments):
        writer = claim(store, partition=partition)
        seal_batches(writer, [event_rows(writer.end, 2, partition=partition)])


def notes(root: Path) -> list[Path]:
    """The files of the checkpoints."""
    return sorted((root / "checkpoints").glob("*.note"))


def batches(root: Path) -> int:
    """How many batch entries there are."""
    entries = (root / "log" / CHECKPOINT / "0").glob("*.json")
    return sum(b'"kind":"batch"' in entry.read_bytes() for entry in entries)


def default_keys(folder: Path) -> list[SigningKey]:
    """The keys of a host that was not set up."""
    return signing_keys(CheckpointConfig(), folder, None)


class NoteServer:
    """A real HTTP server on loopback that keeps what is posted. `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.notes: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._changed = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with server._changed:
                    server.headers.append(dict(self.headers.items()))
                    if server.status == 200:
                        server.notes.append(body)
                    server._changed.notify_all()
                self.send_response(server.status)
                if 300 <= server.status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                """What a redirected POST becomes: it is well, and keeps nothing."""
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/notes"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for(self, *, notes: int = 0, attempts: int = 0, timeout_s: float = 20) -> None:
        """Block until so many notes were kept, and attempts made."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: len(self.notes) >= notes and len(self.headers) >= attempts, timeout_s
            )
            assert done, f"{len(self.notes)} notes, {len(self.headers)} attempts"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def note_server() -> Generator[NoteServer]:
    """An HTTP anchor for the length of a test."""
    server = NoteServer()
    try:
        yield server
    finally:
        server.close()


def faults(store: Store, *keys: SigningKey) -> list[str]:
    """What the checkpoints of a store show, by these keys or the usual one."""
    outcome = check_checkpoints(store, [key.public for key in keys or (KEY,)], [])
    return [fault.how for fault in outcome.faults]
