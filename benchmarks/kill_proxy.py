"""A TCP proxy on loopback that can turn into a black hole: connections stay open, and nothing passes."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class TcpProxy:
    """Passes everything on to `port` until it is partitioned."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._healed = threading.Event()
        self._healed.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def partition(self) -> None:
        """From now on nothing passes, in either direction."""
        self._healed.clear()

    def heal(self) -> None:
        """Everything passes again, what was held back first."""
        self._healed.set()

    def close(self) -> None:
        self._healed.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                self._healed.wait()
                to.sendall(content)
        self._healed.wait()
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running_proxy(port: int) -> Iterator[TcpProxy]:
    """A proxy for the length of a test."""
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
