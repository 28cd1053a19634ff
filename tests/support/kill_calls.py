"""Every call by which `auditfuse run` makes something durable or tells it, and where it is killed."""

from support.crash import Kill

FIRST_RUN = [
    ("mkdir", "journal"),
    ("mkdir", "key"),
    ("open", "key"),
    ("write", "key"),
    ("fsync", "key"),
    ("link", "key"),
    ("unlink", "key"),
    ("mkdir", "directory of topics"),
    ("mkdir", "topic being made"),
    ("open", "topic being made"),
    ("write", "topic being made"),
    ("fsync", "topic being made"),
    ("rename", "directory of topics"),
    ("fsync", "directory of topics"),
    ("mkdir", "directory of the store"),
    ("fsync", "directory of the store"),
    ("mkdir", "directory of entries"),
    ("mkdir", "directory of segments"),
    ("mkdir", "state of the sequencer"),
    ("link", "state of the sequencer"),
    ("mkdir", "directory of checkpoints"),
    ("replace", "key"),
    ("mkdir", "catalog"),
    (
        "commit",
        "appends+consumed+deliveries+findings+incidents+links+numbers+pages+published+schema_version+silences+targets",
    ),
]
"""What only a new folder sees, roughly in its order."""
AT_STOP = [("mkdir", "snapshot"), *((call, "snapshot") for call in ("open", "write", "fsync", "replace"))]
LINKED = [
    "writer claim entry",
    "seal entry",
    "idle entry",
    "append entry of _control",
    "append entry of _findings",
    "maintenance claim entry",
    "compact entry",
    "batch entry",
    "checkpoint",
    "segment of kind seal",
    "segment of kind compact",
    "segment of _control",
    "segment of _findings",
    "journal",
]
COMMITTED = [
    "consumed",
    "appends+consumed+findings+incidents+pages",
    "appends",
    "deliveries+pages+targets",
    "deliveries+findings+incidents+links+pages+silences",
    "incidents",
    "published",
    "consumer group",
]
ALWAYS = [
    *((call, place) for call in ("open", "write", "fsync") for place in ("staged entry", "staged segment")),
    *((call, place) for call in ("open", "write", "fsync") for place in ("journal", "topic file being made")),
    *((call, "staged checkpoint") for call in ("open", "write", "fsync", "unlink")),
    *((call, "state of the sequencer") for call in ("open", "write", "fsync", "replace")),
    ("fsync", "directory of checkpoints"),
    ("unlink", "staged entry"),
    ("unlink", "staged segment"),
    ("unlink", "segment that is not live"),
    ("unlink", "journal"),
    ("replace", "journal"),
    ("open", "producer lock"),
    ("replace", "topic file"),
    ("write", "topic file"),
    ("fsync", "topic file"),
    ("unlink", "topic file"),
    ("fsync", "directory of entries"),
    ("fsync", "directory of segments"),
    ("open", "catalog lock"),
    ("open", "lock of who responds"),
    ("open", "catalog"),
    ("write", "catalog"),
    ("fsync", "catalog"),
    ("replace", "catalog"),
    ("send", "page"),
    ("append", "Kafka topic"),
    *(("link", place) for place in LINKED),
    *(("commit", place) for place in COMMITTED),
]
"""What every run comes to. The list is complete: any other call fails the test."""
SOMETIMES = [
    ("unlink", "catalog"),
    ("unlink", "state of the sequencer"),
    ("builtin open", "directory of the store"),
]
"""What a run comes to only after certain kills; the last: a merge is built in a file without a name."""
SEVERAL = [
    ("link", "writer claim entry"),
    ("link", "seal entry"),
    ("link", "segment of kind seal"),
    ("fsync", "directory of entries"),
    ("write", "staged entry"),
    ("fsync", "topic file"),
    ("commit", "consumed"),
]
"""Of these a later occurrence too; they come several times within a run."""
TORN = [("write", place) for place in ("staged entry", "staged segment", "topic file", "journal")]
BEFORE = [
    *(("link", place) for place in LINKED),
    *(("commit", place) for place in COMMITTED),
    ("send", "page"),
    ("replace", "topic file"),
]
PROTOCOL = {"write", "link", "fsync", "replace", "append", "commit", "send"}
"""What is killed at. The other calls are known and seen, and leave nothing durable by themselves."""
KILLS = [
    *(Kill(*one, 1, "after") for one in ALWAYS if one[0] in PROTOCOL),
    *(Kill(*one, 1, "before") for one in BEFORE),
    *(Kill(*one, 3, "after") for one in SEVERAL),
    *(Kill(*one, 1, "torn") for one in TORN),
]
