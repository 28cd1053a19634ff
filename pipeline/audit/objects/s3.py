"""Objects in a bucket of an S3-compatible service: creation by `If-None-Match: *`, so that one wins.

Nothing is overwritten. In a bucket that keeps versions a deletion only hides; `kept` says so.
"""

import errno
import os
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from pipeline.audit.objects.base import Kept
from pipeline.audit.objects.httpfs import httpfs_setup
from pipeline.audit.objects.ranged import open_ranged
from pipeline.audit.objects.s3_config import S3Config, split_url
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import S3Config as ObstoreConfig

CONNECT_TIMEOUT_S = 5
CONFLICT_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""The waits while another creation of the same key is under way."""
_MS_PER_DAY = 86_400_000
_CODE, _STATUS = re.compile(r"<Code>([A-Za-z]{1,64})</Code>"), re.compile(r"status code: (\d{3})")


class S3Objects:
    """The objects below `s3://bucket/prefix`. Errors are OSErrors, and repeat nothing but a code."""

    reads_at_once = 32

    def __init__(self, url: str, config: S3Config) -> None:
        """`url` is one that `split_url` takes. Nothing is sent yet."""
        self.name = url.rstrip("/")
        self._config = config
        self._bucket = _connect(url, config)

    def __reduce__(self) -> tuple[type["S3Objects"], tuple[str, S3Config]]:
        # Another process reads the credentials from its own environment.
        return S3Objects, (self.name, self._config)

    def exists(self) -> bool:
        return bool(self.names(""))

    def create(self, key: str, content: bytes) -> bool:
        for pause_s in (*CONFLICT_PAUSES_S, None):
            try:
                with self._told(key):
                    # One request: not every service ends a multipart upload under a condition.
                    obstore.put(self._bucket, key, content, mode="create", use_multipart=False)
                return True
            except FileExistsError:
                pass
            try:
                return self._holds(key, content)
            except FileNotFoundError:
                # Another creation was under way and came to nothing, or it was deleted since: once more.
                if pause_s is not None:
                    time.sleep(pause_s)
        raise OSError(errno.EAGAIN, "another creation of the same object is under way", self.location(key))

    def read(self, key: str) -> bytes:
        with self._told(key):
            return obstore.get(self._bucket, key).bytes().to_bytes()

    def open(self, key: str) -> BinaryIO:
        with self._told(key):
            meta = obstore.head(self._bucket, key)
        etag = meta["e_tag"]

        def fetch(start: int, end: int) -> bytes:
            # All ranges of one and the same version: what is overwritten meanwhile is told, not mixed.
            options: GetOptions = {"range": (start, end)}
            if etag is not None:
                options["if_match"] = etag
            with self._told(key):
                return obstore.get(self._bucket, key, options=options).bytes().to_bytes()

        return open_ranged(meta["size"], fetch)

    def names(self, prefix: str) -> list[str]:
        with self._told(prefix):
            found = obstore.list_with_delimiter(self._bucket, prefix or None)
        keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return sorted({key.rstrip("/").rpartition("/")[2] for key in keys})

    def delete(self, key: str) -> None:
        with self._told(key):
            obstore.delete(self._bucket, key)

    def kept(self, key: str) -> Kept | None:
        with self._told(key):
            meta = obstore.head(self._bucket, key)
        written_ms = int(meta["last_modified"].timestamp() * 1000)
        if self._config.lock_days:
            return Kept("object lock", written_ms + self._config.lock_days * _MS_PER_DAY)
        if meta["version"] not in (None, "null"):
            return Kept("old versions in the bucket", None)
        return None

    def location(self, key: str) -> str:
        return f"{self.name}/{key}".rstrip("/")

    def duckdb_setup(self) -> list[str] | None:
        return httpfs_setup(self.name, self._config)

    def clean_staging(self, written_before_ms: int) -> None:
        """Nothing: an interrupted request leaves nothing behind."""

    def _holds(self, key: str, content: bytes) -> bool:
        with self._told(key):
            found = obstore.get(self._bucket, key)
            return found.meta["size"] == len(content) and found.bytes().to_bytes() == content

    @contextmanager
    def _told(self, key: str) -> Generator[None]:
        """obstore's errors as OSErrors. Their texts hold what the service answered: only its code is told."""
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise _as_os_error(error, self.location(key)) from None


def _connect(url: str, config: S3Config) -> S3Store:
    bucket, prefix = split_url(url)
    options: ObstoreConfig = {
        # Finds a damaged transfer; a bucket with a default retention takes nothing without it.
        "checksum_algorithm": "SHA256",
        "virtual_hosted_style_request": config.virtual_hosted,
    }
    if config.endpoint is not None:
        options["endpoint"] = config.endpoint
    if config.region is not None:
        options["region"] = config.region
    client: ClientConfig = {
        # AWS_ALLOW_HTTP says so too, for whoever has no configuration file.
        "allow_http": config.allow_http or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "timeout": timedelta(seconds=config.timeout_s),
    }
    retries: RetryConfig = {
        "max_retries": config.max_retries,
        "retry_timeout": timedelta(seconds=config.timeout_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
    }
    try:
        return S3Store(
            bucket, prefix=prefix or None, config=options, client_options=client, retry_config=retries
        )
    except (BaseError, ValueError):
        raise ConfigError(
            f"the store at {url} cannot be opened with these settings; set both AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (or neither, for a role), and check [store.s3]"
        ) from None


def _as_os_error(error: Exception, where: str) -> OSError:
    code = _code(error)
    if code == "NoSuchBucket":
        return OSError(errno.EIO, "the bucket does not exist", where)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such object", where)
    if isinstance(error, AlreadyExistsError):
        return FileExistsError(errno.EEXIST, "it exists", where)
    if isinstance(error, PreconditionError):
        return OSError(errno.EIO, "it was overwritten while it was read", where)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        reason = f"the object store refuses it ({code}); check the credentials and what they may do"
        return PermissionError(errno.EACCES, reason, where)
    return OSError(errno.EIO, f"the object store could not do it ({code})", where)


def _code(error: Exception) -> str:
    """The service's own code of the error, its HTTP status or `timed out`: nothing private."""
    text = str(error)
    found = _CODE.search(text) or _STATUS.search(text)
    return found[1] if found else "timed out" if "timed" in text.lower() else "no answer"
