"""The areas that are looked at, in the order that they are told in."""

from collections.abc import Mapping
from functools import partial

from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.doctor import audit, machine, people, redaction, topics
from pipeline.doctor.model import Area


def areas_of(config: Config, now_ms: NowMs) -> Mapping[str, Area]:
    """By name, each with the configuration that it looks at."""
    return {
        "kafka": partial(topics.kafka_topics, config),
        "store": partial(audit.audit_store, config, now_ms),
        "keys": partial(audit.key_files, config),
        "redaction": partial(redaction.redaction, config),
        "state database": partial(people.state_database, config),
        "control server": partial(people.control_server, config),
        "drill": partial(people.drills, config, now_ms),
        "targets": partial(people.page_targets, config),
        "disks": partial(machine.disks, config),
        "clock": machine.clock,
    }
