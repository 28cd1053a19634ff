"""Forty known secrets and personal values go in everywhere; afterwards none of them is anywhere.

The same run with the redactor switched off finds all of them, which proves that the search sees.
"""

import asyncio
import base64
import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import pytest
from support import scan
from support.broker import TestBroker
from support.canaries import CANARIES, Canary, encodings, malformed, plant
from support.canary_otlp import log_with, spans_with_all
from support.produce import create_topic, produce, unique
from support.running import Running, auditfuse, free_port, wait_until, write_config
from support.webhook import Webhook, running_webhook

pytestmark = [pytest.mark.kafka_apache, pytest.mark.timeout(300)]

ATTACKERS = ("email", "name", "github_token", "phone_intl")
"""Canaries that name an agent which is then refused again and again."""
FORMATS = ("events", "otlp_spans", "otlp_logs")
CORES = {
    "passport": "C41927365",
    "driver_license": "D4819273",
    "date_of_birth": "1987-03-14",
    "bank_account": "84920175523",
    "dsn_password": "kV9w2Lq7rT",
    "password": "Tr0ub4dor&3xKq",
}
"""The part that must not be left even without the words around it."""


class Left(NamedTuple):
    """Everything that one run has left behind, as (where, bytes)."""

    places: list[scan.Found]


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Left:
    return _leave(tmp_path_factory.mktemp("canaries"), kafka.bootstrap, enabled=True)


@pytest.fixture(scope="module")
def in_the_clear(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Left:
    return _leave(tmp_path_factory.mktemp("clear"), kafka.bootstrap, enabled=False)


def test_no_canary_is_left_anywhere(redacted: Left) -> None:
    by_place: dict[str, set[str]] = {}
    for name, form, where in search(redacted):
        by_place.setdefault(where, set()).add(f"{name} ({form})")
    shown = "\n".join(f"{where}: {', '.join(sorted(names))}" for where, names in sorted(by_place.items()))
    assert not by_place, f"canaries are left:\n{shown}"


def test_an_agent_with_a_personal_name_is_stopped_under_its_own_name(redacted: Left) -> None:
    answers = {
        where.removeprefix("ofrep "): json.loads(body) for where, body in redacted.places if "ofrep" in where
    }
    modes = {name: answer["flags"][-1]["value"] for name, answer in answers.items()}
    assert {name for name, mode in modes.items() if mode == "off"} == set(ATTACKERS)


@pytest.mark.long
def test_the_same_search_finds_all_of_them_where_nothing_is_redacted(in_the_clear: Left) -> None:
    found = {(name, where) for name, _, where in search(in_the_clear)}
    assert {name for name, _ in found} == {canary.name for canary in CANARIES}


@pytest.mark.long
@pytest.mark.parametrize(
    "place",
    [
        *(":payload", ":meta", "_findings", "_control", "state.db", "webhook", "journal/", "/v1/killswitch"),
        *("sql from events", "incidents show", "killswitch status"),
    ],
)
def test_the_search_looks_there(in_the_clear: Left, place: str) -> None:
    assert any(place in where for _, _, where in search(in_the_clear)), sorted(
        {where for where, _ in in_the_clear.places}
    )


_searched: dict[int, list[tuple[str, str, str]]] = {}


def search(left: Left) -> list[tuple[str, str, str]]:
    """(canary, form, where) of all that is found."""
    if id(left) not in _searched:
        needles = [(canary.name, form, needle) for canary in CANARIES for form, needle in forms(canary)]
        contents = {content: where for where, content in reversed(left.places)}
        hits: list[tuple[str, str, str]] = []
        for content, where in contents.items():
            folded = content.lower()
            for name, form, needle in needles:
                if needle in (content if form.startswith("base64") else folded):
                    hits.append((name, form, where))
        _searched[id(left)] = hits
    return _searched[id(left)]


def forms(canary: Canary) -> Iterator[tuple[str, bytes]]:
    """Every form that is searched for; all but base64 in lower case."""
    for value in dict.fromkeys([canary.value, CORES.get(canary.name, canary.value)]):
        for form, needle in encodings(value).items():
            if form != "base64":
                yield form, needle.lower()
        yield "hex", value.encode().hex().encode()
        yield "url_all", "".join(f"%{byte:02x}" for byte in value.encode()).encode()
        for shift in range(3):
            for kind, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                whole = (len(value) + shift) // 3 * 3 - shift
                inner = encode(b"\0" * shift + value.encode()[:whole])[4 if shift else 0 :]
                yield f"{kind}+{shift}", inner


def _leave(folder: Path, bootstrap: str, *, enabled: bool) -> Left:
    topics = {form: unique(f"canary-{form}") for form in ("events", "otlp_logs")}
    published = unique("canary-dead-letters")
    for topic in (*topics.values(), published):
        asyncio.run(create_topic(bootstrap, topic, 1))
    before = asyncio.run(scan.kafka_topics(bootstrap))
    messages = {
        "events": [msgspec.json.encode(event) for canary in CANARIES for event in plant(canary.value)]
        + [message for canary in CANARIES for message in malformed(canary.value)],
        "otlp_logs": [log_with(canary.value) for canary in CANARIES]
        + [message for canary in CANARIES for message in malformed(canary.value)],
    }
    control, receiver = free_port(), free_port()
    with running_webhook() as webhook:
        _configure(folder, bootstrap, topics, published, webhook, control, receiver, enabled=enabled)
        with Running(folder, control) as running:
            for form, topic in topics.items():
                asyncio.run(produce(bootstrap, topic, messages[form], 1))
            running.wait_ready()
            answers = list(_post_all(receiver))
            refused = [_refused(canary, n) for canary in _attackers() for n in range(30)]
            asyncio.run(produce(bootstrap, topics["events"], refused, 1))
            ends = {topics[form]: len(messages[form]) for form in topics}
            ends[topics["events"]] += len(refused)
            ends |= {"http-otlp_spans": 1, "http-events": 1}
            wait_until(lambda: _ends(folder / "store") == ends, 200, f"all is sealed: {ends}")
            wait_until(lambda: _stopped(running) >= len(ATTACKERS), 120, "the attackers are stopped")
            webhook.wait_for(len(ATTACKERS), 60)
            answers += list(_operate(folder, running, control))
            served = {path: running.get(path)[1] for path in ("/metrics", "/readyz", "/v1/killswitch")}
            assert running.stop() == 0, running.log()
        pages = [("webhook", json.dumps(page, ensure_ascii=False).encode()) for page in webhook.requests]
    after = asyncio.run(scan.kafka_topics(bootstrap))
    written = [published, *(after - before)]
    places = [*scan.files(folder), *answers, *served.items(), *pages, *_commands(folder)]
    for topic in written:
        for number, (key, value) in enumerate(asyncio.run(scan.kafka_messages(bootstrap, topic))):
            places.append((f"kafka {topic} {number}", (key or b"") + b"\n" + (value or b"")))
    assert sum("kafka" in where for where, _ in places) >= 14 * len(CANARIES), "dead letters are published"
    return Left(places)


def _configure(
    folder: Path,
    bootstrap: str,
    topics: dict[str, str],
    published: str,
    webhook: Webhook,
    control: int,
    receiver: int,
    *,
    enabled: bool,
) -> None:
    trusted = {"agents": ["*"], "environments": ["*"], "approvals": "trusted"}
    sources = [{"name": f"kafka-{f}", "topic": t, "kind": "kafka", "format": f} for f, t in topics.items()]
    http = [f"http-{form}" for form in ("otlp_spans", "events")]
    sources += [{"name": n, "topic": n, "kind": "http", "format": n.removeprefix("http-")} for n in http]
    limits = {"per_fleet_hour": 100, "max_agents_share": 1.0}
    write_config(
        folder,
        data_dir=str(folder),
        kafka={"bootstrap_servers": bootstrap, "group_id": published},
        sources=[source | trusted for source in sources],
        topics={"path": str(folder / "topics"), "partitions": 1},
        dead_letters={"topic": published},
        redaction={"enabled": enabled},
        worker={"processes": 0},
        respond={"targets": [{"name": "hook", "url": webhook.url, "per_minute": 1000}]},
        http={"port": receiver, "default_sources": http},
        killswitch={
            "port": control,
            "auto_trip": {**limits, "detectors": {"auth_failure": {"mode": "enforce", "trip": "off"}}},
        },
    )


def _attackers() -> list[Canary]:
    return [canary for canary in CANARIES if canary.name in ATTACKERS]


def _refused(canary: Canary, number: int) -> bytes:
    step = {
        "start_time_unix_nano": time.time_ns(),
        "agent_id": canary.value,
        "environment": f"prod {canary.value}",
        "session_id": canary.value,
        "span_id": f"{number:08x}{len(canary.value):08x}",
        "principal": canary.value,
        "action": f"look up {canary.value}",
        "target": f"https://erp.example.com/?q={quote(canary.value)}",
        "status": "error",
        "status_message": f"{canary.value} may not do this",
        "http_status": 403,
    }
    return json.dumps(step).encode()


def _post_all(port: int) -> Iterator[scan.Found]:
    """Post good and bad bodies to the receiver, with canaries in the URL as well; its answers."""
    events = [msgspec.json.encode(plant(canary.value)[20]) for canary in CANARIES]
    broken = [b'{"agent_id": ' + json.dumps(canary.value).encode() for canary in CANARIES]
    lines = [line for line in [*events, *broken] if b"\n" not in line]
    base = f"http://127.0.0.1:{port}"
    yield _post(f"{base}/v1/traces", spans_with_all(), "application/json")
    yield _post(f"{base}/v1/events", b"\n".join(lines), "application/x-ndjson")
    for canary in CANARIES:
        query = quote(canary.value, safe="")
        yield _post(f"{base}/v1/events?note={query}", malformed(canary.value)[3], "application/x-ndjson")
        yield _post(f"{base}/v1/{query}", b"{}", "application/json")


def _post(url: str, body: bytes, kind: str, token: str = "") -> scan.Found:
    headers = {"content-type": kind, **({"authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, body, headers)
    where = f"answer of {url.split('/', 3)[3].split('?', maxsplit=1)[0][:20]}"
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return where, answer.read()
    except urllib.error.HTTPError as error:
        return where, error.read()


def _operate(folder: Path, running: Running, control: int) -> Iterator[scan.Found]:
    """What people write: reasons of trips, of resets and of acknowledgements; and what agents ask."""
    token = (folder / "journal" / "operator.token").read_text().strip()
    base = f"http://127.0.0.1:{control}"
    named = [canary for canary in CANARIES if canary.entity != "PERSON"]  # in reasons no names are found
    reasons = [" and ".join(canary.value for canary in named[n : n + 8]) for n in range(0, len(named), 8)]
    for reason in reasons:
        order = {"selector": {"agent": "x"}, "mode": "throttle", "by": "ana", "reason": reason}
        yield _post(f"{base}/v1/killswitch/trips", json.dumps(order).encode(), "application/json", token)
    trips = json.loads(running.get("/v1/killswitch")[1])["trips"]
    for reason, trip in zip(reasons, trips, strict=False):
        order = {"trips": [trip["id"]], "by": "ana", "reason": reason, "mode": "on"}
        yield _post(f"{base}/v1/killswitch/resets", json.dumps(order).encode(), "application/json", token)
    for canary in CANARIES:
        context = {"targetingKey": canary.value, "tool": canary.value, "approval": canary.value}
        body = json.dumps({"context": context}).encode()
        _, answer = _post(f"{base}/ofrep/v1/evaluate/flags", body, "application/json")
        yield f"ofrep {canary.name}", answer
    ack = ("incidents", "ack", _incident(folder), "--by", "ana", "--reason", reasons[0])
    done = auditfuse(*ack, cwd=folder)
    yield "incidents ack", done.stdout.encode() + done.stderr.encode()


def _commands(folder: Path) -> list[scan.Found]:
    """What the command line shows."""
    commands = [
        ("sql", "--format", "csv", "from events"),
        ("incidents", "list", "--all"),
        ("incidents", "show", _incident(folder)),
        ("dead-letters", "list", "--limit", "1000"),
        ("killswitch", "status"),
    ]

    def run(command: tuple[str, ...]) -> scan.Found:
        done = auditfuse(*command, cwd=folder)
        return " ".join(command).replace("--format csv ", ""), (done.stdout + done.stderr).encode()

    with ThreadPoolExecutor(2) as two:
        return list(two.map(run, commands))


def _incident(folder: Path) -> str:
    with sqlite3.connect(f"file:{folder / 'state.db'}?mode=ro", uri=True) as state:
        return state.execute("select incident_id from incidents").fetchone()[0]


def _stopped(running: Running) -> int:
    """How many trips with mode `off` are in force: pages of other detectors may be there before them."""
    return sum(trip["mode"] == "off" for trip in json.loads(running.get("/v1/killswitch")[1])["trips"])


def _ends(store: Path) -> dict[str, int]:
    """The sealed end of each input topic, by the topic's name."""
    ends: dict[str, int] = {}
    for entry in store.glob("log/*/*/*.json"):
        topic_id = entry.parts[-3]
        content = json.loads(entry.read_bytes())
        if not topic_id.startswith("_") and content["kind"] == "seal":
            name = topic_id.rpartition(".")[0]
            ends[name] = max(ends.get(name, 0), content["segment"]["end"])
    return ends
