"""The parts of `make bench` that look at the whole: side by side, waiting, a long backlog, other programs."""

import math
import shutil
import statistics
import time
from itertools import islice

import msgspec

from benchmarks.looped import Looped
from benchmarks.report import goal, show
from benchmarks.rows import TOPIC_ID, generated_rows
from benchmarks.sealed_runs import Program, Sealed, settings, source, wait_rows
from benchmarks.side_by_side import Together, side_by_side
from benchmarks.trace_servers import SERVERS, protobuf, stored_by
from benchmarks.waits import behind, small_messages, waits
from benchmarks.whole import MOST_PER_S, Bench
from pipeline.audit.catalog import Catalog
from pipeline.audit.store import open_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms

SMALL_BACKLOG = 50_000
MOST_SIDE_ROUNDS = 3
SIDE_SHARE = 0.5
"""Of the seconds of an end-to-end run, so much is given to each run side by side."""


def processes(bench: Bench) -> None:
    """Cost per event at 1, 2 and 4 processes, and what a second core brings."""
    quick = bench.arguments.quick
    looped = Looped("native", messages=bench.sizes.of_file)
    messages = max(len(looped.templates), int(bench.sizes.seconds * SIDE_SHARE * MOST_PER_S["native"]))
    found: dict[int, list[Together]] = {}
    for number in range(min(MOST_SIDE_ROUNDS, bench.rounds)):
        for count in (1, 2) if quick else (1, 2, 4):
            folder = bench.folder / f"side-{number}-{count}"
            found.setdefault(count, []).append(
                side_by_side(folder, looped, messages, count, redact=not quick)
            )
    middle = {count: sorted(each, key=lambda one: one.per_s)[len(each) // 2] for count, each in found.items()}
    scales = [two.per_s / one.per_s for one, two in zip(found[1], found[2], strict=True)]
    scale = sorted(scales)[len(scales) // 2]
    bench.report.table(
        ["ingest processes, local topics", "cores", "events/s", "CPU µs an event", "times one"],
        [
            [str(count), str(one.cores), show(one.per_s), show(one.us), show(one.per_s / middle[1].per_s)]
            for count, one in middle.items()
        ],
    )
    bench.report.note(
        "Native events. Each process has a local topic of its own and one core of its own as far as there "
        "are cores; all seal into one store. From when all have begun to when the first is done."
    )
    bench.report.figures |= {
        "scale_2_cores": scale,
        "processes_us": {str(count): one.us for count, one in middle.items()},
        "processes_per_s": {str(count): one.per_s for count, one in middle.items()},
    }


def waiting(bench: Bench) -> None:
    """Produced → queryable and produced → page, at half the maximum rate."""
    quick = bench.arguments.quick
    bench.cluster.load("waits", [], partitions=4)
    per_s = 20.0 if quick else bench.native_per_s / 2
    looped = Looped("native", messages=bench.sizes.of_file)
    found = waits(
        bench.folder / "waits",
        bench.cluster.bootstrap,
        "waits",
        looped,
        per_s=per_s,
        seconds=bench.sizes.latency_s,
        pages=bench.sizes.pages,
        redact=not quick,
    )
    bench.cluster.delete("waits")
    shutil.rmtree(bench.folder / "waits", ignore_errors=True)
    bench.peak_rss_mb.append(found.peak_rss_mb)
    middle, most = found.percentiles(0.5), found.percentiles(0.99)
    rows = [
        [name, str(count), "" if p50 is None else show(p50), "" if p99 is None else show(p99)]
        for name, count, p50, p99 in zip(
            ("produced → queryable", "produced → page"),
            (len(found.queryable_ms), len(found.page_ms)),
            middle,
            most,
            strict=True,
        )
    ]
    bench.report.table([f"at {found.produced_per_s:,.0f} events/s", "noted", "p50, ms", "p99, ms"], rows)
    bench.report.note(
        "Half of what one core can do, by `auditfuse run` with every role, the default configuration. "
        "Queryable: a query of the catalog's view `events` shows the row; every twentieth message is noted. "
        "Page: refused actions of a new agent, to the webhook, wherever in the seal's second they come."
    )
    bench.report.figures |= {
        "queryable_p50_ms": middle[0],
        "queryable_p99_ms": most[0],
        "page_p50_ms": middle[1],
        "page_p99_ms": most[1],
        "latency_per_s": found.produced_per_s,
    }


def backlog(bench: Bench) -> None:
    """Memory while millions of messages wait."""
    seconds, quick = bench.sizes.backlog_s, bench.arguments.quick
    peaks: dict[int, tuple[float, list[float]]] = {}
    long = bench.sizes.backlog_messages
    for number, messages in enumerate((min(SMALL_BACKLOG, long // 2), long)):
        topic = f"backlog-{number}"
        bench.cluster.load(topic, islice(small_messages(), messages))
        kafka = {"bootstrap_servers": bench.cluster.bootstrap, "group_id": topic}
        off = {"redaction": {"enabled": False}, "worker": {"processes": 0}} if quick else {}
        folder, seen = bench.folder / topic, list[float]()
        with Program(folder, settings({"kafka": kafka, **off}) + source(topic, "events")) as program:
            wait_rows(program, Sealed(program.store, topic), 1)
            peaks[messages] = behind(program, seconds, lambda _, mb, seen=seen: seen.append(mb)), seen
        bench.cluster.delete(topic)
        shutil.rmtree(folder, ignore_errors=True)
    bench.peak_rss_mb += [peak for peak, _ in peaks.values()]
    bench.report.table(
        ["messages that wait at the start", "peak RSS, MB", "RSS after a quarter", "at the end"],
        [
            [f"{messages:,}", show(peak), show(seen[len(seen) // 4]), show(seen[-1])]
            for messages, (peak, seen) in peaks.items()
        ],
    )
    bench.report.note(
        f"`auditfuse run`, every role, the default configuration, all its processes, for {seconds:g} s "
        "of work from the first seal on. Small messages: most of them fit into the buffers."
    )
    bench.report.figures |= {
        "backlog_rss_mb": {f"{messages:,}": peak for messages, (peak, _) in peaks.items()},
        "rss_mb_max": math.ceil(max(bench.peak_rss_mb)),
    }


def catalog(bench: Bench) -> None:
    """How long the catalog takes by the number of live segments."""
    sizes = (4, 8) if bench.arguments.quick else (200, 800)
    rows = generated_rows(10 * sizes[-1])
    first: dict[int, float] = {}
    later: dict[int, float] = {}
    for count in sizes:
        folder = bench.folder / f"catalog-{count}"
        store = open_store(folder)
        writer = PartitionWriter.claim(store, TOPIC_ID, 0, writer_id=new_writer_id(), now_ms=system_now_ms)
        for start in range(0, 10 * count, 10):
            writer.seal(rows[start : start + 10], start + 10)
        first[count] = _catalog_ms(Catalog(store))
        took: list[float] = []
        for number in range(bench.rounds):
            end = 10 * sizes[-1] + number
            writer.seal([msgspec.structs.replace(rows[0], offset=end)], end + 1)  # or nothing is built
            took.append(_catalog_ms(Catalog(store)))
        later[count] = statistics.median(took)
        shutil.rmtree(folder, ignore_errors=True)
    few, many = sizes
    each_ms = max(0.0, later[many] - later[few]) / (many - few)
    bench.report.table(
        ["live segments", "the catalog's first build, ms", "after one seal more, ms"],
        [[f"{count:,}", show(first[count]), show(later[count])] for count in sizes],
    )
    bench.report.note(
        f"{each_ms:.2f} ms for each segment more, once it was built; one partition, tiny segments."
    )
    bench.report.figures |= {"catalog_ms_a_segment": each_ms}


def _catalog_ms(catalog: Catalog) -> float:
    began = time.perf_counter()
    catalog.refresh(at_once=True)
    return 1000 * (time.perf_counter() - began)


def rivals(bench: Bench) -> None:
    """Phoenix and MLflow: CPU time of their server a stored span, beside ours."""
    if not bench.rivals:
        bench.report.figures |= {"ratio_phoenix_cpu": None, "ratio_mlflow_cpu": None}
        bench.report.note("Phoenix and MLflow were not measured: `--rivals` installs them.")
        return
    looped = Looped("OTLP", messages=bench.sizes.of_file)
    messages = list(islice(looped.messages(), int(bench.sizes.rival_spans / looped.events_a_message)))
    sent, spans = [protobuf(message) for message in messages], looped.events_in(len(messages))
    per_cpu_s = bench.report.figures.get("events_per_s_core_otlp")
    ours_us = 1e6 / float(per_cpu_s) if isinstance(per_cpu_s, int | float) else 1e6 / bench.native_per_s
    rows = [["auditfuse, names redacted, sealed", show(ours_us), "1", ""]]
    for server, key in zip(SERVERS, ("ratio_phoenix_cpu", "ratio_mlflow_cpu"), strict=True):
        folder = bench.folder / key
        stored = stored_by(server, folder, sent, spans)
        shutil.rmtree(folder, ignore_errors=True)
        ratio = stored.us / ours_us
        rows.append(
            [stored.requirement, show(stored.us), show(ratio), f"{stored.spans:,} of {stored.sent:,}"]
        )
        bench.report.figures |= {key: ratio, key.replace("ratio", "us"): stored.us}
    bench.report.table(["the same spans, by OTLP/HTTP", "CPU µs a span", "times ours", "stored"], rows)
    bench.report.note("Their servers' CPU alone, one worker, SQLite, as installed; they redact nothing.")
    ratios = [bench.report.figures[key] for key in ("ratio_phoenix_cpu", "ratio_mlflow_cpu")]
    better = min(float(ratio) for ratio in ratios if isinstance(ratio, int | float))
    bench.report.table(["asked", "figure", "at least", ""], [goal("times the better of both", better, 10)])


PARTS = {
    "processes": processes,
    "waiting": waiting,
    "backlog": backlog,
    "catalog": catalog,
    "rivals": rivals,
}
