"""The webhook: a signed POST of the order, and a signed GET of its status where it was only accepted.

2xx is an acknowledgement. 202 is a promise: with a `status_url` (in its JSON, on the same host) it is asked
until that says `enforced`; without one nobody knows. Redirects are not followed.
"""

import http.client
import ssl
import time
from typing import Literal
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from pipeline.errors import AuditfuseError
from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.actuators.order import Attempt, Order, signature
from pipeline.killswitch.health import fault_of

MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_S = 300.0
TIMESTAMP_HEADER = "auditfuse-timestamp"
SIGNATURE_HEADER = "auditfuse-signature"
ID_HEADER = "auditfuse-id"


class _Promise(msgspec.Struct):
    status_url: str | None = None


class _Progress(msgspec.Struct):
    state: Literal["enforced", "pending", "failed"]


class _Answer(msgspec.Struct):
    status: int
    body: bytes
    retry_after: str | None


def send(config: ActuatorConfig, order: Order) -> Attempt:
    """Post an order once. Never raises for what the other side does."""
    body = msgspec.json.encode(order)
    headers = {"content-type": "application/json", ID_HEADER: order.id}
    answer = _exchange(config, "POST", config.url or "", body, headers)
    if isinstance(answer, Attempt):
        return answer
    if answer.status == 202:
        return _promised(config, answer.body)
    if 200 <= answer.status < 300:
        return Attempt(outcome="done")
    return _failed(answer)


def ask(config: ActuatorConfig, order_id: str, status_url: str) -> Attempt:
    """Ask once how an order goes that was accepted. The signature is over an empty body."""
    answer = _exchange(config, "GET", status_url, b"", {ID_HEADER: order_id})
    if isinstance(answer, Attempt):
        return answer
    if answer.status != 200:
        return _failed(answer)
    try:
        state = msgspec.json.decode(answer.body, type=_Progress).state
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Attempt(outcome="failed", detail='its status is not {"state": enforced | pending | failed}')
    if state == "enforced":
        return Attempt(outcome="done")
    if state == "failed":
        return Attempt(outcome="failed", detail="it says that it failed")
    return Attempt(outcome="accepted", detail="it is still at it", status_url=status_url)


def _promised(config: ActuatorConfig, body: bytes) -> Attempt:
    try:
        given = msgspec.json.decode(body, type=_Promise).status_url
    except (msgspec.MsgspecError, UnicodeDecodeError):
        given = None
    if given is None:
        return Attempt(outcome="accepted", detail="accepted, and it does not say where to ask")
    url = urljoin(config.url or "", given)
    if _origin(urlsplit(url)) != _origin(urlsplit(config.url or "")):
        # Ours signs what it asks: no other host gets that.
        return Attempt(outcome="accepted", detail="accepted, and its status address is on another host")
    return Attempt(outcome="accepted", detail="accepted", status_url=url)


def _failed(answer: _Answer) -> Attempt:
    text = (answer.retry_after or "").strip()
    retry_after_s = min(float(text), MAX_RETRY_AFTER_S) if text.isdigit() else None
    return Attempt(outcome="failed", detail=f"it answered {answer.status}", retry_after_s=retry_after_s)


def _exchange(
    config: ActuatorConfig, method: str, url: str, body: bytes, headers: dict[str, str]
) -> _Answer | Attempt:
    """One signed request. An Attempt where there is no answer."""
    parts = urlsplit(url)
    ends_s = time.monotonic() + config.timeout_s
    timestamp_s = time.time_ns() // 1_000_000_000
    connection = _connection(parts, config.timeout_s)
    try:
        signed = {
            TIMESTAMP_HEADER: str(timestamp_s),
            SIGNATURE_HEADER: signature(config.secret(), timestamp_s, body),
        }
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body or None, headers | signed)
        response = connection.getresponse()
        return _Answer(response.status, _read(response, ends_s), response.getheader("retry-after"))
    except (OSError, http.client.HTTPException) as error:
        return Attempt(outcome="failed", detail=fault_of(error))
    except AuditfuseError:
        return Attempt(outcome="failed", detail="its secret cannot be read")
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)


def _read(response: http.client.HTTPResponse, ends_s: float) -> bytes:
    """The answer's beginning: all that matters, and a slow one must not hold up other orders."""
    body = b""
    while len(body) < MAX_ANSWER_BYTES and time.monotonic() < ends_s:
        part = response.read1(MAX_ANSWER_BYTES)
        if not part:
            break
        body += part
    return body


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port
