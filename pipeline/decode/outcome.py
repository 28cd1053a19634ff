"""How a step ended, in five words that detectors count: one table for every sender's vocabulary."""

import re
from functools import lru_cache

from schemas.event import Outcome, Status

_HTTP: dict[int, Outcome] = {
    401: "denied",
    403: "denied",
    407: "denied",
    511: "denied",
    429: "throttled",
    408: "timeout",
    504: "timeout",
    522: "timeout",
    524: "timeout",
}

_PHRASES: tuple[tuple[Outcome, tuple[str, ...]], ...] = (
    # The first that matches decides; throttling comes first since quotas are often worded as denials.
    (
        "throttled",
        (
            "rate limit",
            "ratelimit",
            "rate limited",
            "ratelimited",
            "ratelimiterror",
            "ratelimitexceeded",
            "throttle",
            "throttled",
            "throttling",
            "too many requests",
            "toomanyrequests",
            "resource exhausted",
            "quota exceeded",
            "exceeded quota",
            "insufficient quota",
            "slow down",
            "limit exceeded",
        ),
    ),
    (
        "timeout",
        (
            "timeout",
            "timedout",
            "timed out",
            "time out",
            "etimedout",
            "esockettimedout",
            "timeouterror",
            "deadline exceeded",
            "deadlineexceeded",
            "request expired",
        ),
    ),
    (
        "denied",
        (
            "permission",
            "permissions",
            "permissiondenied",
            "denied",
            "accessdenied",
            "forbidden",
            "unauthorized",
            "unauthorised",
            "not authorized",
            "not authorised",
            "unauthenticated",
            "authentication",
            "authenticationerror",
            "authorization",
            "authorisation",
            "autherror",
            "auth error",
            "auth failed",
            "invalid grant",
            "invalid token",
            "expired token",
            "token expired",
            "invalid credentials",
            "invalid api key",
            "insufficient scope",
            "insufficient privilege",
            "insufficient privileges",
            "login required",
            "eacces",
            "eperm",
        ),
    ),
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MAX_CHARACTERS = 256


def derive_outcome(status: Status, error_type: str | None, http_status: int | None) -> Outcome:
    """How a step ended. What says most wins: the HTTP status, the error's type, then the status."""
    if http_status is not None and http_status >= 400:
        return _HTTP.get(http_status, "error")
    if error_type:
        return outcome_of_error(error_type[:_MAX_CHARACTERS])
    return "error" if status == "error" else "ok"


@lru_cache(maxsize=4096)
def outcome_of_error(error_type: str) -> Outcome:
    """The outcome that an error type names: an HTTP code, a gRPC code or an exception's class name."""
    if error_type.isascii() and error_type.isdigit() and len(error_type) == 3:
        return _HTTP.get(int(error_type), "error")
    words = " ".join(word.lower() for word in _WORD.findall(error_type))
    padded = f" {words} "
    for outcome, phrases in _PHRASES:
        if any(f" {phrase} " in padded for phrase in phrases):
            return outcome
    return "error"
