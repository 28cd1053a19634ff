#!/usr/bin/env python3
"""A receiver of auditfuse's actuator webhook: verifies, then runs a program of yours. Standard library only.

    AUDITFUSE_ACTUATOR_SECRET=… python3 actuator_receiver.py --port 8099 -- ./block-agent.sh

The program gets the order (JSON) on standard input and must set what the order's `in_force` says, whatever
was set before: orders may come twice. Exit status 0 answers 204, anything else 500, and auditfuse asks again.
Put TLS in front of it.
"""

import argparse
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY_BYTES = 1_000_000
MAX_AGE_S = 300
PROGRAM_TIMEOUT_S = 8


def is_genuine(secret: bytes, timestamp: str, signature: str, body: bytes, now_s: float) -> bool:
    """Whether the body was signed with the secret, and within the last five minutes."""
    if not timestamp.isascii() or not timestamp.isdigit() or abs(now_s - int(timestamp)) > MAX_AGE_S:
        return False
    expected = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(("v1=" + expected).encode(), signature.encode())


def receiver(secret: bytes, program: list[str]) -> type[BaseHTTPRequestHandler]:
    """The handler of one secret and one program."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                return self.answer(413)
            body = self.rfile.read(int(length))
            timestamp = self.headers.get("auditfuse-timestamp", "")
            signature = self.headers.get("auditfuse-signature", "")
            if not is_genuine(secret, timestamp, signature, body, time.time()):
                return self.answer(401)
            order = json.loads(body)
            print(f"{order['command']} {order['trip']} to {order['mode']}", file=sys.stderr)
            try:
                done = subprocess.run(program, input=body, timeout=PROGRAM_TIMEOUT_S, check=False)
            except (OSError, subprocess.TimeoutExpired):
                return self.answer(500)
            return self.answer(204 if done.returncode == 0 else 500)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: what matters is printed above."""

    return Receiver


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("program", nargs="+", help="what to run for each order")
    options = parser.parse_args()
    secret = os.environ.get("AUDITFUSE_ACTUATOR_SECRET", "").encode()
    if len(secret) < 16:
        print("AUDITFUSE_ACTUATOR_SECRET must hold at least 16 bytes", file=sys.stderr)
        return 2
    server = ThreadingHTTPServer((options.host, options.port), receiver(secret, options.program))
    print(f"listening on port {server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
