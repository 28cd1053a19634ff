"""Bearer tokens for SASL/OAUTHBEARER: from a file that a platform renews, or from an identity provider."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka.abc import AbstractTokenProvider

from pipeline.errors import ConfigError, TopicError

FETCH_TIMEOUT_S = 10.0
RENEW_AT_SHARE = 0.8
"""A token is asked for anew after this share of its life."""
SHORTEST_LIFE_S = 10.0


class Credentials(NamedTuple):
    """What the identity provider is asked with (OAuth 2.0 client credentials, RFC 6749 section 4.4)."""

    url: str
    client_id: str
    client_secret: str
    scope: str | None


class _Granted(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float = 300.0


class FileToken(AbstractTokenProvider):
    """The token of a file, read anew for each connection: a projected service-account token, say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] (untyped there)
        """Raises ConfigError where the file cannot be read."""
        try:
            return (await asyncio.to_thread(self._path.read_text)).strip()
        except OSError as error:
            raise ConfigError(f"kafka.sasl_token_file: {self._path}: {error.strerror}") from None


class FetchedToken(AbstractTokenProvider):
    """A token of an identity provider, kept for most of its life."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._kept = ""
        self._renew_at_s = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] (untyped there)
        """Raises TopicError where the provider gives none."""
        async with self._lock:
            if time.monotonic() >= self._renew_at_s:
                granted = await asyncio.to_thread(_fetch, self._credentials)
                self._kept = granted.access_token
                life_s = max(granted.expires_in * RENEW_AT_SHARE, SHORTEST_LIFE_S)
                self._renew_at_s = time.monotonic() + life_s
            return self._kept


def _fetch(credentials: Credentials) -> _Granted:
    import requests

    form = {"grant_type": "client_credentials"} | ({"scope": credentials.scope} if credentials.scope else {})
    try:
        answer = requests.post(
            credentials.url,
            data=form,
            auth=(credentials.client_id, credentials.client_secret),
            timeout=FETCH_TIMEOUT_S,
            allow_redirects=False,
        )
        if answer.status_code != 200:
            raise TopicError(
                f"kafka.sasl_token_url answered {answer.status_code}; check it, sasl_client_id and its secret"
            )
        return msgspec.json.decode(answer.content, type=_Granted)
    except requests.RequestException as error:
        raise TopicError(f"kafka.sasl_token_url does not answer ({type(error).__name__})") from None
    except msgspec.MsgspecError:
        raise TopicError(
            "kafka.sasl_token_url answered without an access_token; is it the token endpoint?"
        ) from None
