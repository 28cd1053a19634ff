import pytest

from pipeline.decode.outcome import derive_outcome
from schemas.event import Outcome, Status

ERROR_TYPES: list[tuple[str, Outcome]] = [
    ("PermissionError", "denied"),
    ("builtins.PermissionError", "denied"),
    ("permission_denied", "denied"),
    ("PERMISSION_DENIED", "denied"),
    ("UNAUTHENTICATED", "denied"),
    ("Forbidden", "denied"),
    ("AccessDenied", "denied"),
    ("AccessDeniedException", "denied"),
    ("openai.AuthenticationError", "denied"),
    ("invalid_api_key", "denied"),
    ("NotAuthorizedException", "denied"),
    ("401", "denied"),
    ("403", "denied"),
    ("EACCES", "denied"),
    ("openai.RateLimitError", "throttled"),
    ("rate_limit_exceeded", "throttled"),
    ("ThrottlingException", "throttled"),
    ("RESOURCE_EXHAUSTED", "throttled"),
    ("TooManyRequests", "throttled"),
    ("429", "throttled"),
    ("TimeoutError", "timeout"),
    ("asyncio.exceptions.TimeoutError", "timeout"),
    ("DEADLINE_EXCEEDED", "timeout"),
    ("context deadline exceeded", "timeout"),
    ("ReadTimeout", "timeout"),
    ("request timed out", "timeout"),
    ("504", "timeout"),
    ("ValueError", "error"),
    ("500", "error"),
    ("_OTHER", "error"),
    ("tool_error", "error"),
    ("UndeniedError", "error"),
    ("AuthorError", "error"),
    ("日本", "error"),
]


@pytest.mark.parametrize(("error_type", "outcome"), ERROR_TYPES)
def test_the_error_type_tells_how_it_ended(error_type: str, outcome: Outcome):
    assert derive_outcome("error", error_type, None) == outcome
    assert derive_outcome("unset", error_type.upper() if "_" in error_type else error_type, None) == outcome


@pytest.mark.parametrize(
    ("status", "http_status", "outcome"),
    [
        ("ok", None, "ok"),
        ("unset", None, "ok"),
        ("error", None, "error"),
        ("ok", 200, "ok"),
        ("unset", 302, "ok"),
        ("error", 200, "error"),
        ("ok", 401, "denied"),
        ("unset", 403, "denied"),
        ("error", 407, "denied"),
        ("error", 429, "throttled"),
        ("error", 408, "timeout"),
        ("error", 504, "timeout"),
        ("ok", 500, "error"),
        ("unset", 404, "error"),
    ],
)
def test_status_and_http_status(status: Status, http_status: int | None, outcome: Outcome):
    assert derive_outcome(status, None, http_status) == outcome


def test_the_http_status_is_more_exact_than_the_error_type():
    assert derive_outcome("error", "HTTPError", 403) == "denied"
    assert derive_outcome("error", "PermissionError", 500) == "error"
