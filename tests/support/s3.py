"""An S3 server on loopback (moto), and what a service does to its callers on a bad day.

The fixture `s3` gives it; `s3.url()` is a new place in a bucket, `s3.config` how it is reached.
"""

import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from pipeline.audit.objects.s3 import S3Objects
from pipeline.audit.objects.s3_config import S3Config
from pipeline.audit.store import Store, StoreConfig, open_store

ACCESS_KEY, SECRET_KEY = "EXAMPLEACCESSKEY", "example/secret+key"
BUCKET, LOCKED_BUCKET = "trail", "locked-trail"
Failure = Literal["refused", "cut before", "cut after", "error after", "slow down", "hangs", "forbidden"]
FAILURES: tuple[Failure, ...] = ("refused", "cut before", "cut after", "error after", "slow down", "hangs")
"""What may pass: an error before anything was done; the connection cut before, and after it was done; an
error though it was done; the service asks for patience; no answer in time, though it was done."""
_UNDONE = {"refused": "500 Error", "slow down": "503 Slow Down", "forbidden": "403 Forbidden"}
HANG_S = 1.0
TIMEOUT_S = 0.6
"""What hangs does so for longer than such a client waits."""
Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


class FakeS3:
    """moto behind a layer that counts requests, makes writes atomic, and fails as it is told."""

    def __init__(self) -> None:
        self._moto: Application = DomainDispatcherApplication(create_backend_app)
        self._writing = threading.Lock()
        self._fails: Callable[[str, str], Failure | None] = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request, in order."""
        self.most_at_once = 0
        self._under_way = 0
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._places = itertools.count()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.config = S3Config(
            endpoint=self.endpoint, region="us-east-1", allow_http=True, timeout_s=20, max_retries=1
        )

    def start(self) -> None:
        self._thread.start()
        with self.client() as client:
            client.create_bucket(Bucket=BUCKET)
            client.create_bucket(Bucket=LOCKED_BUCKET, ObjectLockEnabledForBucket=True)
            retention = {"Mode": "COMPLIANCE", "Days": 30}
            client.put_object_lock_configuration(
                Bucket=LOCKED_BUCKET,
                ObjectLockConfiguration={
                    "ObjectLockEnabled": "Enabled",
                    "Rule": {"DefaultRetention": retention},
                },
            )

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, name: str = "place", bucket: str = BUCKET) -> str:
        """A place where nothing is yet."""
        return f"s3://{bucket}/{name}-{next(self._places)}/store"

    def objects(self, url: str | None = None, **changes: Any) -> S3Objects:
        return S3Objects(url or self.url(), self.config.model_copy(update=changes))

    def store(self, cache: Path, url: str | None = None, **changes: Any) -> Store:
        """A store with a cache in that directory; `changes` are those of the `[store.s3]` section."""
        s3 = self.config.model_copy(update=changes)
        return open_store(StoreConfig(url=url or self.url(), cache=cache, s3=s3))

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The service as AWS's own library sees it: for what an outsider does."""
        import boto3  # pyright: ignore[reportMissingTypeStubs]

        client: Any = boto3.client(  # pyright: ignore[reportUnknownVariableType]
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        yield client
        client.close()

    def put_many(self, url: str, keys: Sequence[str]) -> None:
        """Objects that are simply there, without a request each."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(bucket, f"{prefix}/{key}", b"{}")

    @contextmanager
    def failing(self, fails: Callable[[str, str], Failure | None]) -> Iterator[None]:
        """Ask `fails(method, path)` of every request, for the time of the context."""
        self._fails = fails
        try:
            yield
        finally:
            self._fails = lambda method, path: None

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            return self._answer_or_fail(environ, start_response, self._fails(method, path))
        finally:
            self._under_way -= 1

    def _answer_or_fail(
        self, environ: dict[str, Any], start_response: Callable[..., Any], failure: Failure | None
    ) -> Any:
        if failure in _UNDONE:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _error(start_response, _UNDONE[failure])
        if failure == "cut before":
            return _cut(environ)
        body = self._done(environ, start_response if failure is None else _no_response)
        if failure == "cut after":
            return _cut(environ)
        if failure == "hangs":
            threading.Event().wait(HANG_S)
            return _cut(environ)
        return body if failure is None else _error(start_response, "500 Error")

    def _done(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            # AWS takes the checksum itself for a bucket with Object Lock; moto asks for this one.
            environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return list(self._moto(environ, start_response))
        with self._writing:  # moto looks and writes in two steps
            return list(self._moto(environ, start_response))


def _no_response(*_: Any) -> Callable[[bytes], None]:
    return lambda _: None


def _error(start_response: Callable[..., Any], status: str) -> list[bytes]:
    start_response(status, [("Content-Type", "application/xml")])
    return [b"<Error><Code>InternalError</Code><Message>" + SECRET_KEY.encode() + b"</Message></Error>"]


def _cut(environ: dict[str, Any]) -> list[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


@contextmanager
def running() -> Iterator[FakeS3]:
    """A server, and the environment that gives its credentials. One a process: moto keeps one world."""
    fake = FakeS3()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        fake.start()
        yield fake
        fake.stop()
