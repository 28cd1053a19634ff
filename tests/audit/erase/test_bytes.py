"""After an erasure with everything local, the person is in no byte that auditfuse wrote."""

import json
import re
from pathlib import Path

from support.running import auditfuse, write_config
from support.scan import files, local_topic

from pipeline.audit.erase.values import needles
from pipeline.audit.store import open_store
from pipeline.audit.verify import verify_store
from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig

EMAIL, NAME = "jane.roe@example.org", "Jane Roe"
BOT = f"bot for {EMAIL}"
GENERATE = ["generate", "--agents", "2", "--rate", "30", "--minutes", "2", "--seed", "1"]
BURST = ["--fault", "write_burst:agent-001@60+60x20"]


def ingest_person(folder: Path) -> None:
    """Events of an agent that is named after a person, who is a user of another one and written about. Names
    are not looked for here, so the name stands in the payload as it is."""
    write_config(folder, redaction={"names": "off"}, worker={"processes": 0})
    auditfuse(*GENERATE, *BURST, "events.ndjson", cwd=folder)
    lines = (folder / "events.ndjson").read_text().replace("agent-001", BOT).splitlines()
    for number in range(0, len(lines), 7):
        event = json.loads(lines[number])
        event["end_user"] = EMAIL
        event["input"] = {"letter": f"Dear {NAME}, we wrote to <{EMAIL}>", "again": json.dumps({"to": NAME})}
        lines[number] = json.dumps(event)
    (folder / "events.ndjson").write_text("\n".join(lines))
    auditfuse("ingest", "events.ndjson", cwd=folder)
    (folder / "events.ndjson").unlink()


def texts(folder: Path) -> list[bytes]:
    """All forms of the person, lower-cased."""
    looked_for = needles(
        [EMAIL, NAME], RedactionConfig(names="off"), Keys(folder / "auditfuse-data" / "keys")
    )
    return [text.lower().encode() for text in looked_for.all]


def where_found(folder: Path) -> set[str]:
    """The places below the data directory that hold any form."""
    keys = folder / "auditfuse-data" / "keys"
    pattern = re.compile(b"|".join(map(re.escape, texts(folder))))
    found = files(folder / "auditfuse-data", leave_out=(keys,))
    return {where for where, content in found if pattern.search(content.lower())}


def test_nothing_of_the_person_is_left(tmp_path: Path) -> None:
    ingest_person(tmp_path)
    before = where_found(tmp_path)
    assert any(where.endswith(".parquet:payload") for where in before)
    assert any(where.endswith(".parquet:agent_id") for where in before)
    assert any("state.db:incidents" in where for where in before), "the burst is an incident of that agent"
    values = tmp_path / "person.txt"
    values.write_text(f"{EMAIL}\n{NAME}\n")
    values.chmod(0o600)
    assert sealed_messages(tmp_path) > 0
    by = ["--by", EMAIL, "--reason", f"GDPR request of {EMAIL}", "--execute"]
    order = ["erase", "--value-file", "person.txt", "--json", *by]
    ran = auditfuse(*order, cwd=tmp_path, check=False)
    done = json.loads(ran.stdout)
    assert done["rows"] > 0
    assert done["out_of_reach"] == ["1 pages that were sent to console: for as long as it keeps messages"]
    assert ran.returncode == 1
    assert where_found(tmp_path) == set()
    assert sealed_messages(tmp_path) == 0
    assert not list(tmp_path.rglob("detect-*"))
    report = verify_store(open_store(tmp_path / "auditfuse-data" / "store"))
    assert report.holds, report.faults


def sealed_messages(folder: Path) -> int:
    """Messages that the local topics still hold."""
    data = folder / "auditfuse-data"
    return sum(1 for _ in local_topic(data / "topics", "files-events", data / "keys"))
