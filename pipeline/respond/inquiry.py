# ruff: noqa: S608 (texts of ours, and of the sealed finding, quoted; the connection reads this catalog alone)
"""Asks the audit store about an incident: causes, the plot's counts, the record.

Queries of our own over the catalog, each within one time limit for all of them. Blocking; never on the
paging path.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pipeline.audit.query import connect_newest, query_error
from pipeline.audit.store import Store
from pipeline.errors import AuditfuseError
from pipeline.respond import causes as ranking
from pipeline.respond import series as plotting
from pipeline.respond.causes import Shared, Value, quoted
from pipeline.respond.insight import Entry, Insight
from pipeline.respond.series import Series
from schemas.finding import Finding, FindingRow

if TYPE_CHECKING:
    import duckdb

LOOK_BACK_MS = 24 * 3_600_000
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
EVENT_MS = "(start_time_unix_nano + duration_ns) // 1000000"
FAILED = "outcome in ('error', 'timeout', 'denied', 'throttled')"
MAX_ENTRIES = 200
_STORED = re.compile(
    r"select \* from events where (?P<condition>.+)"
    r" and (?:broker_time_ms|\(start_time_unix_nano \+ duration_ns\) // 1000000) >= \d+"
    r" and (?:broker_time_ms|\(start_time_unix_nano \+ duration_ns\) // 1000000) < \d+"
    r" order by [a-z_, \"]+",
    re.DOTALL,
)


class InsightError(AuditfuseError):
    """The store could not be asked, or not in time."""


def look(store: Store, lead: FindingRow, latest_ms: int, limit_s: float) -> Insight:
    """Ask the store about a finding. `latest_ms`: the newest time that the plot may show.

    Raises InsightError where that fails or takes longer than `limit_s`.
    """
    with _connected(store, limit_s) as connection:
        return _Inquiry(connection, lead, time.monotonic() + limit_s).insight(latest_ms)


def hit_condition(sql: str) -> str | None:
    """The condition of a query that was stored with a finding, without its window; None: not one of ours."""
    match = _STORED.fullmatch(sql)
    return match.group("condition") if match else None


@contextlib.contextmanager
def _connected(store: Store, limit_s: float) -> Generator[duckdb.DuckDBPyConnection]:
    """A read-only connection whose queries end when the time is up."""
    import duckdb

    try:
        with connect_newest(store) as connection:
            timer = threading.Timer(limit_s, connection.interrupt)
            timer.daemon = True
            timer.start()
            try:
                yield connection
            finally:
                timer.cancel()
    except duckdb.InterruptException:
        raise InsightError(f"the store was asked and did not answer within {limit_s:g} s") from None
    except duckdb.Error as error:
        raise InsightError(str(query_error(error))) from None
    except InsightError:
        raise
    except (AuditfuseError, OSError) as error:
        raise InsightError(f"the store cannot be asked ({type(error).__name__})") from None


class _Inquiry:
    """The queries about one finding."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lead: FindingRow, until_s: float) -> None:
        self._connection = connection
        self._until_s = until_s
        finding = self._finding = lead.finding
        self._incident_id = lead.incident_id
        self._time = "broker_time_ms" if finding.time_base == "append" else EVENT_MS
        self._whose = _whose(finding)
        condition = hit_condition(str(lead.evidence.get("sql", "")))
        self._hit = condition or f"{self._whose} and outcome <> 'ok'"

    def insight(self, latest_ms: int) -> Insight:
        finding = self._finding
        window = f"{self._time} >= {finding.window_start_ms} and {self._time} < {finding.window_end_ms}"
        onset_ms, hits = self._one(
            f"select min({self._time}), count(*) from events where ({self._hit}) and {window}"
        )
        if not hits:
            return Insight(causes=[], series=None, record=self._record())
        series = self._series(latest_ms, onset_ms)
        values, rows_before = self._values(onset_ms)
        return Insight(
            causes=ranking.rank(
                values,
                self._shared(onset_ms),
                onset_ms=onset_ms,
                hits=hits,
                rows_before=rows_before,
                whose=self._whose,
                others=f"environment = {quoted(finding.environment)}",
            ),
            series=series,
            record=self._record(),
        )

    def _record(self) -> list[Entry]:
        """Changes of the incident, and what was ordered about it or its agent from an hour before on."""
        finding = self._finding
        rows = self._all(
            "select epoch_ms(happened_at), entry, what, state, changed_by, details, id "
            f"from incident_history({quoted(self._incident_id)}) where entry <> 'finding' "
            "union select epoch_ms(ordered_at), 'command', command, mode, ordered_by, reason, id "
            "from killswitch where id in (select id from agent_timeline("
            f"{quoted(finding.agent_id)}, since := epoch_ms({finding.window_start_ms - HOUR_MS})) "
            f"where entry = 'command') order by 1, 7 limit {MAX_ENTRIES}"
        )
        return [_entry(*row) for row in rows]

    def _series(self, latest_ms: int, onset_ms: int) -> Series:
        start_ms, end_ms = plotting.span(self._finding, latest_ms)
        rows = self._all(
            f"select ({self._time}) // 60000, count(*), count(*) filter ({self._hit}) from events "
            f"where ({self._whose}) and {self._time} >= {start_ms} and {self._time} < {end_ms} "
            f"and {_begun_after(start_ms - HOUR_MS)} group by 1"
        )
        counts = {int(minute): (int(every), int(hits)) for minute, every, hits in rows}
        return plotting.fill(counts, start_ms, end_ms, onset_ms)

    def _values(self, onset_ms: int) -> tuple[list[Value], dict[str, list[int]]]:
        """Values that the hits carry, with when they were first seen; and each column's first rows."""
        columns = ", ".join(ranking.COLUMNS)
        begin_ms, end_ms = onset_ms - LOOK_BACK_MS, self._finding.window_end_ms
        mine = (
            f"mine as (select {self._time} as at_ms, ({self._hit}) and {self._time} >= {onset_ms} as hit, "
            f"{columns} from events where ({self._whose}) and {_begun_after(begin_ms)} "
            f"and {self._time} < {end_ms}), "
            f"long as (unpivot mine on {columns} into name name value value)"
        )
        values = self._all(
            f"with {mine} select name, value, min(at_ms), count(*), count(*) filter (hit) from long "
            f"group by all having count(*) filter (hit) > 0 order by 5 desc, 2 limit 1000"
        )
        first = self._all(
            f"with {mine} select name, min(at_ms, {ranking.KNOWN_ROWS}) from long group by name"
        )
        return [Value(*row) for row in values], {name: sorted(times) for name, times in first}

    def _shared(self, onset_ms: int) -> list[Shared]:
        """How the dependencies at which most hits failed fare for other agents."""
        from_ms, end_ms = onset_ms - 5 * MINUTE_MS, self._finding.window_end_ms
        environment = quoted(self._finding.environment)
        found: list[Shared] = []
        for column in ranking.SHARED_COLUMNS:
            top = self._all(
                f"select {column}, count(*) from events where ({self._hit}) and {FAILED} "
                f"and {column} is not null and {self._time} >= {onset_ms} and {self._time} < {end_ms} "
                "group by 1 order by 2 desc, 1 limit 1"
            )
            if not top:
                continue
            value, hits = top[0]
            mine = f"environment = {environment} and {column} = {quoted(value)}"
            there = f"{mine} and not ({self._whose}) and bound"
            per_agent = (
                f"select agent_id, count(*) as calls, count(*) filter ({FAILED}) as failed, "
                f"min({self._time}) filter ({FAILED}) as first_ms from events where {there} "
                f"and {self._time} >= {from_ms} and {self._time} < {end_ms} "
                f"and {_begun_after(from_ms - HOUR_MS)} group by 1"
            )
            fails = f"failed >= {ranking.FAILED_CALLS} and failed >= calls * {ranking.FAILS_FOR}"
            calling, failing, calls, failed, first_ms = self._one(
                f"select count(*), count(*) filter ({fails}), coalesce(sum(calls), 0), "
                f"coalesce(sum(failed), 0), min(first_ms) filter ({fails}) from ({per_agent})"
            )
            if not failing:
                continue
            (earlier,) = self._one(
                f"select coalesce(avg(({FAILED})::int), 0) from events where {there} "
                f"and {self._time} >= {from_ms - HOUR_MS} and {self._time} < {from_ms} "
                f"and {_begun_after(from_ms - 2 * HOUR_MS)}"
            )
            found.append(
                Shared(column, value, hits, calling, failing, calls, failed, first_ms, float(earlier))
            )
        return found

    def _one(self, sql: str) -> tuple[Any, ...]:
        return self._all(sql)[0]

    def _all(self, sql: str) -> list[Any]:
        if time.monotonic() >= self._until_s:  # an interrupt between two queries interrupts nothing
            raise InsightError("the store was asked and did not answer in time")
        # Texts of ours and of the sealed finding; the connection can only read, and only this catalog.
        return self._connection.execute(sql).fetchall()


def _entry(
    at_ms: Any, entry: str, what: str, state: str | None, by: str, details: str | None, one_id: str
) -> Entry:
    to = f" to {state}" if entry == "command" and state else ""
    return Entry(at_ms=int(at_ms), what=f"{what}{to}", by=by, details=details or "", id=one_id)


def _begun_after(at_ms: int) -> str:
    """A bound on a stored column, so that old segments are not read. An hour is longer than any step."""
    return f"start_time_unix_nano >= {at_ms * 1_000_000}"


def _whose(finding: Finding) -> str:
    """The rows of the finding's agent, as detection counts them."""
    if finding.agent_id.startswith("source:"):
        return f"not bound and source = {quoted(finding.agent_id.removeprefix('source:'))}"
    whose = f"environment = {quoted(finding.environment)}"
    return whose if finding.agent_id == "*" else f"{whose} and agent_id = {quoted(finding.agent_id)}"
