"""Views of the store itself: its live files and its checkpoints; and the catalog's own tables."""

from pipeline.audit.views.base import View


def file_views() -> list[View]:
    """Over the catalog's own tables."""
    return [
        View(
            "segments",
            "The live files of the store and what the log says of each.",
            "FROM live_segments",
            _SEGMENT_COLUMNS,
        ),
        View(
            "checkpoints",
            "Signed statements of the log's size and root: the newest 10,000.",
            "FROM newest_checkpoints",
            _CHECKPOINT_COLUMNS,
        ),
    ]


_SEGMENT_COLUMNS = {
    "name": "File name: <start>-<end>-<epoch>-<kind>-<content hash>.parquet.",
    "start": "First offset.",
    "end": "Offset after the last.",
    "rows": "Rows in the file.",
    "events": "Rows of them that are events.",
    "bytes": "Size of the file.",
    "min_event_time": "The earliest event's end, UTC.",
    "max_event_time": "The latest event's end, UTC.",
    "sha256": "SHA-256 (hex) of the file's bytes.",
    "prev": "Chain hash (hex) before the first row.",
    "head": "Chain hash (hex) of the last row.",
    "merkle_root": "Merkle root (hex) over the rows.",
    "path": "Where the file is.",
}
_CHECKPOINT_COLUMNS = {
    "size": "Log entries that the checkpoint covers.",
    "root": "Root (hex) of the Merkle tree over them.",
    "signed_at": "When its batch was made, UTC, by the sequencer's clock.",
    "origin": "The log's name.",
    "signers": "Who signed it, witnesses too: the keys' names and ids. The signatures are not verified here.",
    "file": "File name below checkpoints/: the whole note.",
}

TABLES: tuple[View, ...] = (
    View(
        "live_segments",
        "What the view segments shows.",
        """
        topic_id VARCHAR, "partition" INTEGER, name VARCHAR, "start" BIGINT, "end" BIGINT, "rows" BIGINT,
        events BIGINT, bytes BIGINT, min_event_time TIMESTAMP, max_event_time TIMESTAMP, sha256 VARCHAR,
        prev VARCHAR, head VARCHAR, merkle_root VARCHAR, path VARCHAR
        """,
        _SEGMENT_COLUMNS,
    ),
    View(
        "newest_checkpoints",
        "What the view checkpoints shows.",
        "size BIGINT, root VARCHAR, signed_at TIMESTAMP, origin VARCHAR, signers VARCHAR[], file VARCHAR",
        _CHECKPOINT_COLUMNS,
    ),
    View(
        "repeats",
        "The identities of the rows that events leaves out as repeats.",
        'topic_id VARCHAR, "partition" INTEGER, "offset" BIGINT, item INTEGER',
    ),
)
"""The tables that views stand on; their SQL is the list of their columns."""
