"""The review loop: approvals, known versions, and a policy that covers what the agent does."""

from collections.abc import Iterator
from typing import Any, cast

from detectors.globs import compile_globs
from detectors.policy_rule import Matching
from pipeline.readiness.model import Gate, Question, Subject, gate, listed

QUESTION: Question = "review loop"


def review(subject: Subject) -> Iterator[Gate]:
    """Approvals, versions, coverage."""
    yield _approvals(subject)
    yield _versions(subject)
    yield _covered(subject)


def _approvals(subject: Subject) -> Gate:
    rules = subject.config.detect.policy.approvals
    name = "actions have the approvals that they need"
    if not Matching(rules).of(subject.environment, subject.agent):
        return gate(
            QUESTION, name, False, "the policy requires none of it", "say what needs one: [[approvals]]"
        )
    standing, withdrawn = cast(
        "tuple[int, int]",
        subject.one(
            "SELECT count(*) FILTER (withdrawn IS NULL), count(withdrawn) FROM findings "
            "WHERE agent_id = $agent AND environment = $environment AND detector = 'unapproved_action' "
            "AND window_end >= make_timestamp($since_us)"
        ),
    )
    return gate(
        QUESTION,
        name,
        standing == 0,
        f"{standing} unapproved actions found ({withdrawn} more were approved late)",
        "see docs/runbooks/unapproved_action.md",
    )


def _versions(subject: Subject) -> Gate:
    rules = subject.config.detect.policy.versions
    concerned = Matching(rules).of(subject.environment, subject.agent)
    known = compile_globs([version for position in concerned for version in rules[position].known])
    counts = cast(
        "list[tuple[str | None, int]]",
        subject.rows("SELECT agent_version, count(*) FROM seen GROUP BY 1 ORDER BY max(end_time) DESC"),
    )
    unknown = [
        str(version or "no version") for version, _ in counts if not version or not known.match(version)
    ]
    return gate(
        QUESTION,
        "the version that runs is approved",
        bool(concerned) and not unknown,
        f"seen: {listed([str(version) for version, _ in counts])}; not in the policy: {listed(unknown)}",
        "list approved versions in the policy: [[versions]], and send agent_version",
    )


def _covered(subject: Subject) -> Gate:
    """Each tool that writes or acts outside is named by a rule on approvals or rates, or by a kind."""
    policy = subject.config.detect.policy
    rules: list[Any] = [
        rule
        for table in (policy.approvals, policy.rate_limits)
        for rule in (table[position] for position in Matching(table).of(subject.environment, subject.agent))
    ]
    actions = cast(
        "list[tuple[str, str]]",
        subject.rows(
            "SELECT DISTINCT action, action_kind FROM seen "
            "WHERE action_kind IN ('write', 'external') AND action IS NOT NULL ORDER BY 1"
        ),
    )
    bare = [action for action, kind in actions if not any(_names(rule, action, kind) for rule in rules)]
    return gate(
        QUESTION,
        "the policy covers its actions",
        not bare,
        f"{len(actions)} tools write or act outside; no approval or rate limit names {listed(bare)}",
        "add [[approvals]] or [[rate_limits]] for them",
    )


def _names(rule: Any, action: str, kind: str) -> bool:
    tools, kinds = rule.tools, getattr(rule, "kinds", ())
    return (not tools or compile_globs(tools).match(action) is not None) and (not kinds or kind in kinds)
