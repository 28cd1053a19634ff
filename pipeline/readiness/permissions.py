"""Scoped permissions: who the agent acts as, what it is granted and uses, where its credentials are good."""

from collections.abc import Iterator
from typing import cast

from detectors.globs import compile_globs
from detectors.policy_rule import Matching
from pipeline.readiness.model import Gate, Question, Subject, gate, listed

QUESTION: Question = "scoped permissions"
ENOUGH = 0.99


def permissions(subject: Subject) -> Iterator[Gate]:
    """Identity, scopes, credentials' ends, environments apart."""
    yield _identity(subject)
    yield _scopes(subject)
    yield _ends(subject)
    yield _apart(subject)


def _identity(subject: Subject) -> Gate:
    acts, named = cast(
        "tuple[int, int]",
        subject.one(
            "SELECT count(*), count(*) FILTER (principal IS NOT NULL AND credential_id IS NOT NULL) "
            "FROM seen WHERE action_kind IN ('write', 'external')"
        ),
    )
    return gate(
        QUESTION,
        "each action names its identity",
        named >= ENOUGH * acts,
        f"{named:,} of {acts:,} writes and external actions bear principal and credential_id",
        "send both with each step (docs/events.md)",
    )


def _scopes(subject: Subject) -> Gate:
    rules = subject.config.detect.policy.scopes
    concerned = Matching(rules).of(subject.environment, subject.agent)
    used = sorted(str(row[0]) for row in subject.rows("SELECT DISTINCT unnest(scopes) FROM seen"))
    name = "scopes granted are the scopes used"
    if not concerned:
        evidence = f"the policy grants it none; events bear {listed(used)}"
        return gate(QUESTION, name, False, evidence, "grant its scopes in the policy: [[scopes]]")
    granted = [scope for position in concerned for scope in rules[position].granted]
    allowed = compile_globs(granted)
    beyond = [scope for scope in used if not allowed.match(scope)]
    unused = [one for one in granted if not any(compile_globs([one]).match(scope) for scope in used)]
    return gate(
        QUESTION,
        name,
        not beyond and not unused,
        f"granted {len(granted)}, used {len(used)}; beyond it: {listed(beyond)}; unused: {listed(unused)}",
        "take away what is not used; grant or stop what is not granted",
    )


def _ends(subject: Subject) -> Gate:
    total, endless, expired = cast(
        "tuple[int, int, int]",
        subject.one(
            "SELECT count(DISTINCT credential_id), "
            "count(DISTINCT credential_id) FILTER (credential_expires IS NULL), "
            "count(DISTINCT credential_id) FILTER (try_cast(credential_expires AS TIMESTAMPTZ) < end_time) "
            "FROM seen WHERE credential_id IS NOT NULL"
        ),
    )
    return gate(
        QUESTION,
        "credentials end, and are used before that",
        total > 0 and endless == 0 and expired == 0,
        f"{total} credentials, {endless} without an end, {expired} used after it",
        "issue short-lived credentials and send credential_expires",
    )


def _apart(subject: Subject) -> Gate:
    shared = subject.rows(
        "SELECT credential_id, list(DISTINCT environment ORDER BY environment) FROM events "
        "WHERE bound AND credential_id IN (SELECT credential_id FROM seen) "
        "GROUP BY credential_id HAVING count(DISTINCT environment) > 1 ORDER BY 1"
    )
    return gate(
        QUESTION,
        "environments have credentials of their own",
        not shared,
        f"credentials seen in several environments: {listed([row[0] for row in shared])}",
        "give each environment its own credential; the policy's [[credentials]] can require it",
    )
