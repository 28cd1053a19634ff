"""Is a body worth keeping? A shallow look: its frame is read, its spans, records and events are not.

What passes and still turns out to be wrong becomes a dead letter, item by item: nothing that was
answered with 200 is lost.
"""

from pipeline.decode import dead_letter
from pipeline.decode.base import DecodeError
from pipeline.decode.native import native_drafts
from pipeline.decode.otlp_message import json_groups, proto_groups
from pipeline.decode.sources import SourceConfig
from pipeline.receive.answer import Encoding, Refusal


def count_items(body: bytes, source: SourceConfig, encoding: Encoding) -> tuple[int, int]:
    """(items, those of them known to be dead letters) of a body. Raises Refusal (400)."""
    try:
        if source.format == "events":
            drafts = native_drafts(body, source.max_items)
            dead = [draft for draft in drafts if isinstance(draft, DecodeError)]
            if dead and len(dead) == len(drafts):
                raise dead[0]
            return len(drafts), len(dead)
        return _otlp_items(body, source, encoding), 0
    except DecodeError as error:
        where = "" if error.position is None else f" at byte {error.position}"
        raise Refusal(400, f"{error.reason}{where}") from None


def _otlp_items(body: bytes, source: SourceConfig, encoding: Encoding) -> int:
    if encoding == "json":
        groups = json_groups(body, logs=source.format == "otlp_logs")
        if not groups and body.strip() != b"{}":
            raise DecodeError(dead_letter.NO_ITEMS)
    else:
        groups = proto_groups(body, source.max_items)
        if not groups and body:
            raise DecodeError(dead_letter.NO_ITEMS)
    items = sum(len(group.items) for group in groups)
    if items > source.max_items:
        raise DecodeError(dead_letter.TOO_MANY_ITEMS)
    return items
