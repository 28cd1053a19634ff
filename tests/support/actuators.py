"""A webhook on loopback that an actuator posts to: it records what comes and answers as it is told."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "a secret of more than sixteen bytes"


class Hook:
    """`answers`: status and body of the next answers, one each; then `last` for ever."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.last: tuple[int, dict[str, str], bytes] = (204, {}, b"")
        self.hold = threading.Event()
        """Cleared: every request hangs until it is set."""
        self.hold.set()
        self.url = ""

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        self.requests.append((method, path, headers, body))
        if method == "POST":
            self.orders.append(json.loads(body))
        self.hold.wait(30)
        return self.answers.pop(0) if self.answers else self.last


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    one = Hook()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, content = one.handle(self.command, self.path, headers, body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_GET = _any  # noqa: N815 (the library's names)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    one.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.hold.set()
        server.shutdown()
        server.server_close()


def webhook_options(one: Hook, **more: object) -> dict[str, object]:
    """The configuration of an actuator that posts to a hook, in a hurry."""
    return {
        "name": "gateway",
        "kind": "webhook",
        "url": one.url,
        "secret_env": "HOOK_SECRET",
        "backoff_first_s": 0.02,
        "backoff_max_s": 0.05,
        "poll_s": 0.05,
        "timeout_s": 2,
    } | more
