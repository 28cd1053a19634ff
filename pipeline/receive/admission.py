"""Who may send what: a bearer token, or the loopback interface where no token is configured."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence

from starlette.requests import Request

from pipeline.decode.sources import Format, SourceConfig
from pipeline.errors import ConfigError
from pipeline.receive.answer import Refusal
from pipeline.receive.config import ReceiverConfig

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Admission:
    """Decides which source a request speaks through."""

    def __init__(self, config: ReceiverConfig, sources: Sequence[SourceConfig]) -> None:
        by_name = {source.name: source for source in sources}
        self._tokens = [
            (bytes.fromhex(token.sha256), _by_format(token.sources, by_name, f"http.tokens {token.name!r}"))
            for token in config.tokens
        ]
        self._default = _by_format(config.default_sources, by_name, "http.default_sources")
        if self._tokens and self._default:
            raise ConfigError("http.default_sources is for receivers without tokens; remove one of the two")
        if not self._tokens and not _is_loopback(config.host):
            raise ConfigError(f"http.host {config.host} can be reached by others: configure http.tokens")

    def source_of(self, request: Request, wanted: Format) -> SourceConfig:
        """The source that this request feeds. Raises Refusal (401 or 403)."""
        granted = self._by_token(request) if self._tokens else self._by_address(request)
        source = granted.get(wanted)
        if source is None:
            raise Refusal(403, f"no source of format {wanted} is configured for this sender")
        return source

    def _by_token(self, request: Request) -> Mapping[Format, SourceConfig]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        presented = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        granted: Mapping[Format, SourceConfig] | None = None
        for known, sources in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, presented):
                granted = sources
        if granted is None or scheme.lower() != "bearer":
            raise Refusal(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        return granted

    def _by_address(self, request: Request) -> Mapping[Format, SourceConfig]:
        host = request.client.host if request.client else ""
        forwarded = any(name in request.headers for name in _FORWARDED)
        # The Host header is checked against pages in a browser whose name was rebound to loopback.
        if not _is_loopback(host) or forwarded or not _is_loopback(_host_name(request)):
            raise Refusal(
                401,
                "without a token only processes on the same machine may send",
                {"WWW-Authenticate": "Bearer"},
            )
        return self._default


def _by_format(
    names: Sequence[str], sources: Mapping[str, SourceConfig], where: str
) -> dict[Format, SourceConfig]:
    granted: dict[Format, SourceConfig] = {}
    for name in names:
        if name not in sources:
            raise ConfigError(f"{where} names the source {name!r}, which is not configured")
        source = sources[name]
        if source.format in granted:
            raise ConfigError(f"{where} names two sources of format {source.format}; keep one")
        granted[source.format] = source
    return granted


def _host_name(request: Request) -> str:
    return request.url.hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
