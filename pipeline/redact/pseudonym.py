"""Pseudonyms: `<EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2>`, the same for the same value under the same key.

The 64 bits are the first of HMAC-SHA256 over the type and the value's normal form.
"""

import hashlib
import hmac
import re
import unicodedata

TOKEN = re.compile(
    r"<(?:[A-Z][A-Z0-9_]{1,40}:[a-z0-9]{1,8}\.[0-9a-f]{16}|REDACTION_FAILED:[a-z_]{1,40}:\d{1,12}"
    r"|REDACTION_CUT:[a-z_]{1,40}:\d{1,12}:[a-z0-9]{1,8}\.[0-9a-f]{16})>"
)
"""What redaction itself wrote: passes unchanged, so that redacting twice changes nothing."""

# fmt: off
_NUMBERS = frozenset((
    "CREDIT_CARD", "IBAN_CODE", "US_SSN", "US_ITIN", "US_PASSPORT", "US_DRIVER_LICENSE", "US_BANK_NUMBER",
    "UK_NHS", "MAC_ADDRESS", "MEDICAL_LICENSE", "PASSPORT", "NATIONAL_ID",
))
# fmt: on
_WORDS = frozenset(
    ["PERSON", "LOCATION", "NRP", "STREET_ADDRESS", "EMAIL_ADDRESS", "DATE_OF_BIRTH", "USER_ID"]
)


class Pseudonyms:
    """Makes the tokens of one key."""

    def __init__(self, key_id: str, key: bytes, phone_region: str) -> None:
        self._key_id = key_id
        self._key = key
        self._phone_region = phone_region

    def token(self, entity: str, value: str) -> str:
        """The pseudonym of `value` as an `entity`."""
        message = f"{entity}\0{normal_form(entity, value, self._phone_region)}".encode("utf-8", "replace")
        digest = hmac.new(self._key, message, hashlib.sha256).hexdigest()
        return f"<{entity}:{self._key_id}.{digest[:16]}>"


def normal_form(entity: str, value: str, phone_region: str) -> str:
    """The form in which two ways of writing one value are the same string.

    E-mail and names NFKC-casefolded with single spaces, phones E.164, numbers without separators;
    everything else (secrets) as it is.
    """
    if entity == "PHONE_NUMBER":
        return _e164(value, phone_region)
    if entity in _NUMBERS:
        return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", value)).upper()
    if entity in _WORDS:
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    return value


def failure(reason: str, length: int) -> str:
    """What stands in for a value that could not be redacted in its budget; `length` in characters."""
    return f"<REDACTION_FAILED:{reason}:{length}>"


def _e164(value: str, region: str) -> str:
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", value)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
