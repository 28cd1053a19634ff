"""Foreign credential: a credential is used in an environment or by an agent that it is not meant for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, runbook_of
from detectors.credentials import CredentialRule, rules_for
from detectors.globs import first_match
from detectors.policy_rule import Labels, judged
from detectors.row_rule import RowRule, quoted
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class ForeignCredentialConfig(DetectorConfig):
    """Where credentials belong is a matter of the policy."""


class ForeignCredential(RowRule):
    """Steps of bound sources whose `credential_id` has a rule with `only_in` or `only_by` that their
    environment or agent is not among. Refused ones count too. Once per credential and hour."""

    name: ClassVar[str] = "foreign_credential"
    Config: ClassVar[type[DetectorConfig]] = ForeignCredentialConfig
    policy: ClassVar[str] = "credentials"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("credential_id", "environment")
    labels: ClassVar[tuple[str, ...]] = ("credential",)
    looks_at: ClassVar[tuple[str, ...]] = ("credential_id", "bound")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a production credential in staging",
            policy={"credentials": [{"ids": ["prod-*"], "only_in": ["prod"]}]},
            events=[{"at_s": 0, "environment": "staging", "credential_id": "prod-key-7"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="where it belongs, and one without a rule",
            policy={"credentials": [{"ids": ["prod-*"], "only_in": ["prod"], "only_by": ["case-*"]}]},
            events=[
                {"at_s": 0, "environment": "prod", "credential_id": "prod-key-7"},
                {"at_s": 1, "environment": "staging", "credential_id": "staging-key-2"},
                {"at_s": 2, "environment": "staging"},
            ],
        ),
    )

    def __init__(self, config: ForeignCredentialConfig, rules: Sequence[CredentialRule]) -> None:
        super().__init__()
        self.config = config
        self._rules = [rule for rule in rules if rule.only_in or rule.only_by]

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        if not self._rules:
            return rows.clear()
        used = rows.filter(pl.col("credential_id").is_not_null() & pl.col("bound"))
        restricted = judged(used, ("credential_id",), ("restricted",), self._restricted)
        return judged(restricted, ("credential_id", "env", "agent"), self.labels, self._judge)

    def _restricted(self, credential: str) -> list[Labels]:
        return [("",)] if rules_for(self._rules, credential) else []

    def _judge(self, credential: str, environment: str, agent_id: str) -> list[Labels]:
        foreign = any(
            first_match(rule.only_in, environment) is None or first_match(rule.only_by, agent_id) is None
            for rule in rules_for(self._rules, credential)
        )
        return [(credential,)] if foreign else []

    def say(self, labels: Mapping[str, str]) -> str:
        return f"The credential {labels['credential']} is used where the policy does not let it be used"

    def condition(self, labels: Mapping[str, str]) -> str:
        return f"credential_id = {quoted(labels['credential'])}"
