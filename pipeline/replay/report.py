"""What a replay says: the same findings or not, or what another configuration would change. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from pipeline.replay.compare import Change, Compared, alarms, compare, differences
from pipeline.replay.recorded import Recorded
from pipeline.replay.run import Replayed, Span
from pipeline.respond.config import RespondConfig
from schemas.finding import Finding, Verdict

DAY_MS = 86_400_000


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that the replay does not give as it was found live."""

    what: Literal["missing", "extra", "changed"]
    finding_id: str
    finding: Finding


class SameReport(msgspec.Struct, frozen=True, kw_only=True):
    """A replay with the configuration that was live."""

    from_ms: int
    to_ms: int
    signals: int
    findings: int
    """Found live in the span with this configuration."""
    other_configurations: int
    """Found live in the span with another one: not compared."""
    differing: list[Differing]

    @property
    def holds(self) -> bool:
        """Whether the findings are the same, byte for byte."""
        return not self.differing


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm that another configuration adds, drops or moves, or leaves as it is."""

    change: Change
    detector: str
    environment: str
    agent_id: str
    at_ms: int
    shift_ms: int
    verdict: Verdict | None
    summary: str


class DetectorPages(msgspec.Struct, frozen=True, kw_only=True):
    """One detector's pages in the span."""

    before: int
    after: int
    real_gone: int
    """Alarms that people called real and that would not come any more."""
    false_gone: int
    """Alarms that people called false, or expected, and that would not come any more."""


class ChangeReport(msgspec.Struct, frozen=True, kw_only=True):
    """A replay with another configuration, against the one that runs."""

    from_ms: int
    to_ms: int
    signals: int
    days: float
    detectors: dict[str, DetectorPages]
    changes: list[Changed]

    @property
    def holds(self) -> bool:
        """Whether nothing is lost that people called real."""
        return not any(one.real_gone for one in self.detectors.values())


def same_report(span: Span, replayed: Replayed, recorded: Recorded, config_hash: str) -> SameReport:
    """Compare a replay with what was found live under the same configuration."""
    live = [row.finding for row in recorded.findings.values() if span.holds(row.finding.window_start_ms)]
    mine = {one.finding_id: one for one in live if one.config_hash == config_hash}
    again = {one.finding.finding_id: one.finding for one in replayed.found if one.withdrawn is None}
    return SameReport(
        from_ms=span.from_ms,
        to_ms=span.to_ms,
        signals=replayed.signals,
        findings=len(mine),
        other_configurations=len(live) - len(mine),
        differing=[
            Differing(what=one.what, finding_id=one.finding.finding_id, finding=one.finding)
            for one in differences(mine, again)
        ],
    )


def change_report(
    span: Span, before: Replayed, after: Replayed, recorded: Recorded, respond: RespondConfig
) -> ChangeReport:
    """Compare two configurations by the pages that they would have sent."""
    verdicts: dict[str, Verdict] = {
        row.id: recorded.verdicts[row.incident_id]
        for row in recorded.findings.values()
        if row.incident_id in recorded.verdicts
    }
    was, will_be = alarms(_standing(before), respond), alarms(_standing(after), respond)
    pairs = compare(was, will_be, verdicts, int(respond.quiet_resolves_after_s * 1000))
    return ChangeReport(
        from_ms=span.from_ms,
        to_ms=span.to_ms,
        signals=before.signals,
        days=(span.to_ms - span.from_ms) / DAY_MS,
        detectors=_by_detector(
            pairs, Counter(one.detector for one in was), Counter(one.detector for one in will_be)
        ),
        changes=[_changed(pair) for pair in pairs],
    )


def _standing(replayed: Replayed) -> list[Finding]:
    """Withdrawn findings page as well: people were woken before the approval came."""
    found = {one.finding.finding_id: one.finding for one in replayed.found if one.withdrawn is None}
    return list(found.values())


def _by_detector(
    pairs: Sequence[Compared], before: Mapping[str, int], after: Mapping[str, int]
) -> dict[str, DetectorPages]:
    gone = [pair for pair in pairs if pair.change == "gone"]
    real = Counter(pair.alarm.detector for pair in gone if pair.verdict == "real")
    false = Counter(pair.alarm.detector for pair in gone if pair.verdict in ("false", "expected"))
    return {
        name: DetectorPages(
            before=before.get(name, 0), after=after.get(name, 0), real_gone=real[name], false_gone=false[name]
        )
        for name in sorted({*before, *after})
    }


def _changed(pair: Compared) -> Changed:
    alarm = pair.alarm
    return Changed(
        change=pair.change,
        detector=alarm.detector,
        environment=alarm.environment,
        agent_id=alarm.agent_id,
        at_ms=alarm.from_ms,
        shift_ms=pair.shift_ms,
        verdict=pair.verdict,
        summary=alarm.summary,
    )
