"""Two sets of findings compared: byte for byte, or as the pages that they would have been. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from pipeline.respond import incidents
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import PAGED, Episode
from schemas.finding import Finding, Verdict

Change = Literal["same", "new", "gone", "earlier", "later"]


class Difference(NamedTuple):
    """Where a replay does not give what was found live."""

    finding: Finding
    what: Literal["missing", "extra", "changed"]
    """missing: found live alone; extra: by the replay alone; changed: other bytes under one identity."""


def differences(live: Mapping[str, Finding], again: Mapping[str, Finding]) -> list[Difference]:
    """By finding id. Empty: the replay gives the same findings, byte for byte."""
    found: list[Difference] = []
    for finding_id in sorted(live.keys() | again.keys()):
        one, other = live.get(finding_id), again.get(finding_id)
        if one is None:
            found.append(Difference(again[finding_id], "extra"))
        elif other is None:
            found.append(Difference(one, "missing"))
        elif msgspec.json.encode(one) != msgspec.json.encode(other):
            found.append(Difference(one, "changed"))
    return found


class Alarm(NamedTuple):
    """One stretch of trouble: what an incident's opening or reopening would have paged."""

    incident_key: str
    detector: str
    environment: str
    agent_id: str
    from_ms: int
    to_ms: int
    findings: int
    summary: str
    finding_ids: tuple[str, ...]


def alarms(findings: Iterable[Finding], respond: RespondConfig) -> list[Alarm]:
    """The alarms that these findings raise, by the rules that group findings live, in order of time.

    The time of each finding is the end of its window. What was found in shadow raises none.
    """
    made: list[Alarm] = []
    episodes: dict[str, Episode] = {}
    open_: dict[str, int] = {}
    standing = [finding for finding in findings if not finding.shadow]
    for finding in sorted(standing, key=lambda one: (one.window_end_ms, one.finding_id)):
        key, now_ms = finding.incident_key, finding.window_end_ms
        current = _recovered(episodes.get(key), now_ms, respond)
        change = incidents.fold(current, finding, now_ms, respond)
        episodes[key] = change.episode
        if change.kind in PAGED and change.kind != "raised":
            open_[key] = len(made)
            made.append(_first(finding))
        else:
            made[open_[key]] = _with(made[open_[key]], finding)
    return made


def _recovered(current: Episode | None, now_ms: int, respond: RespondConfig) -> Episode | None:
    """The episode as of now: resolved where it was quiet for long enough."""
    if current is None:
        return None
    quiet_ms = incidents.hold_down_ms(current, respond.quiet_resolves_after_s)
    if current.last_window_end_ms >= now_ms - quiet_ms:
        return current
    ended_ms = current.last_window_end_ms + quiet_ms
    change = incidents.resolve(current, incidents.BY_RECOVERY, "", ended_ms)
    return change.episode if change else current


class Compared(NamedTuple):
    """One alarm before and after a change of the configuration."""

    change: Change
    alarm: Alarm
    """As it would be now, or as it was where it is gone."""
    shift_ms: int
    """How much later it comes; 0 where it is new or gone."""
    verdict: Verdict | None
    """What people said of the incident that it was, where they did."""


def compare(
    before: Sequence[Alarm], after: Sequence[Alarm], verdicts: Mapping[str, Verdict], gap_ms: int
) -> list[Compared]:
    """Match alarms of one incident key that overlap, or lie no further apart than `gap_ms`.

    `verdicts`: by finding id.
    """
    left = list(after)
    pairs: list[Compared] = []
    for one in before:
        other = next((alarm for alarm in left if _touch(one, alarm, gap_ms)), None)
        if other is not None:
            left.remove(other)
        shift_ms = other.from_ms - one.from_ms if other else 0
        pairs.append(Compared(_change(other, shift_ms), other or one, shift_ms, _verdict(one, verdicts)))
    pairs += [Compared("new", alarm, 0, None) for alarm in left]
    return sorted(pairs, key=lambda pair: (pair.alarm.from_ms, pair.alarm.incident_key))


def _first(finding: Finding) -> Alarm:
    return Alarm(
        incident_key=finding.incident_key,
        detector=finding.detector,
        environment=finding.environment,
        agent_id=finding.agent_id,
        from_ms=finding.window_end_ms,
        to_ms=finding.window_end_ms,
        findings=1,
        summary=finding.summary,
        finding_ids=(finding.finding_id,),
    )


def _with(alarm: Alarm, finding: Finding) -> Alarm:
    return alarm._replace(
        to_ms=max(alarm.to_ms, finding.window_end_ms),
        findings=alarm.findings + 1,
        finding_ids=(*alarm.finding_ids, finding.finding_id),
    )


def _touch(one: Alarm, other: Alarm, gap_ms: int) -> bool:
    near = one.from_ms <= other.to_ms + gap_ms and other.from_ms <= one.to_ms + gap_ms
    return one.incident_key == other.incident_key and near


def _change(after: Alarm | None, shift_ms: int) -> Change:
    if after is None:
        return "gone"
    if shift_ms == 0:
        return "same"
    return "earlier" if shift_ms < 0 else "later"


def _verdict(alarm: Alarm, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    return next((verdicts[one] for one in alarm.finding_ids if one in verdicts), None)
