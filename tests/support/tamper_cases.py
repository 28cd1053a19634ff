"""All attacks, in the order of the table."""

from support import tamper_checkpoints, tamper_logs, tamper_rows
from support.tamper_registry import CASES, Case

__all__ = ["CASES", "Case", "tamper_checkpoints", "tamper_logs", "tamper_rows"]
