"""How an object store is reached. Credentials come from the environment alone, never from a file of ours."""

import hashlib
import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_][A-Za-z0-9._=-]*)*)/?")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._/-]*)?")


class S3Config(BaseModel):
    """How `store.url` is reached. Credentials are those of the environment: `AWS_ACCESS_KEY_ID` with
    `AWS_SECRET_ACCESS_KEY`, a web identity, or the role of the container or machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = None
    """The service's URL where it is not AWS; by default `AWS_ENDPOINT_URL`, else AWS."""
    region: str | None = None
    """The bucket's region; by default `AWS_REGION`, else `us-east-1`."""
    allow_http: bool = False
    """Speak to an `http://` endpoint, without encryption. For one on this machine."""
    virtual_hosted: bool = False
    """The bucket's name is part of the endpoint's host name, not of the path."""
    timeout_s: float = Field(default=30.0, gt=0)
    """A request, with all of its bytes, takes at most this long: a segment of `compact_target_bytes` must
    pass in it. Longer, and a stop waits longer for a service that does not answer."""
    max_retries: int = Field(default=4, ge=0, le=20)
    """A failed request is sent again at most so often and for `timeout_s`, before its caller is told."""
    lock_days: int = Field(default=0, ge=0)
    """The days of the bucket's default retention (Object Lock), 0 where it has none. What is deleted or
    erased stays in the bucket that long, and erasure says so."""

    @field_validator("endpoint")
    @classmethod
    def _plain_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
            raise ValueError("must be http(s)://host[:port][/path], without a user or password")
        return endpoint


def is_url(where: object) -> bool:
    """Whether `--store` names an object store, not a directory."""
    return isinstance(where, str) and "://" in where


def split_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix is empty or without `/` at its ends.

    Raises ValueError without the URL, which may hold a credential.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(
            "must be s3://bucket/prefix: a bucket's name, and folders of letters, digits, '.', '_', '=', '-'"
        )
    return match[1], match[2].strip("/")


def cache_name(url: str, endpoint: str | None = None) -> str:
    """The folder of one object store among those of others: readable, and never that of another."""
    digest = hashlib.sha256(f"{endpoint or ''} {url}".encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9.-]+', '-', url.removeprefix('s3://'))[:48]}-{digest}"
