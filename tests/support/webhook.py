"""A webhook that records what it gets and deduplicates by dedup key."""

from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from support.posts import WAIT_S, PostServer


class Webhook(PostServer):
    """Pages as they came. `status` is what it answers: set it to 503 to take the target down."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.delay_s = 0.0
        self.refuse_titles_with: str | None = None
        self.requests: list[dict[str, Any]] = []
        """Every accepted message, repeats included."""
        self.attempts = 0

    @property
    def url(self) -> str:
        """The apprise URL of this webhook."""
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def by_dedup_key(self) -> dict[str, dict[str, Any]]:
        """The incidents: the first message of each dedup key."""
        first: dict[str, dict[str, Any]] = {}
        for request in list(self.requests):
            first.setdefault(request["dedup_key"], request)
        return first

    @property
    def repeats(self) -> dict[str, int]:
        """How often each page came more than once."""
        counts = Counter(request["page_id"] for request in list(self.requests))
        return {page_id: count - 1 for page_id, count in counts.items() if count > 1}

    def wait_for(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Block until that many messages were accepted."""
        self._wait(
            lambda: len(self.requests) >= count,
            lambda: f"{len(self.requests)} of {count} messages",
            timeout_s,
        )

    def wait_for_attempts(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Block until that many messages were sent here, accepted or not."""
        self._wait(lambda: self.attempts >= count, lambda: f"{self.attempts} of {count} attempts", timeout_s)

    def _take(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> int:
        self.attempts += 1
        self._changed.notify_all()
        if self.delay_s:
            self._changed.wait(self.delay_s)
        if self.refuse_titles_with and self.refuse_titles_with in content["title"]:
            return 422
        if self.status == 200:
            self.requests.append(content)
        return self.status


def running_webhook() -> AbstractContextManager[Webhook]:
    """A webhook for the length of a test."""
    return Webhook().running()
