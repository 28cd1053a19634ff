"""Pseudonyms: `<EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2>`, the same for the same value under the same key.

The 64 bits are the first of HMAC-SHA256 over the type and the value's normal form.
"""

import hmac
import re
import unicodedata

TOKEN = re.compile(
    r"<(?:[A-Z][A-Z0-9_]{1,40}:[a-z0-9]{1,8}\.[0-9a-f]{16}(?:[0-9a-f]{48})?"
    r"|REDACTION_FAILED:[a-z_]{1,40}:\d{1,12}|REDACTION_CUT:[a-z_]{1,40}:\d{1,12}:[a-z0-9]{1,8}\.[0-9a-f]{16})>"
)
"""What redaction itself wrote: passes unchanged, so that redacting twice changes nothing."""

_NUMBER = re.compile(
    # National ids begin with the code of their country.
    r"[A-Z]{2}_[A-Z0-9_]+|CREDIT_CARD|IBAN_CODE|MAC_ADDRESS|DEVICE_ID|VEHICLE_ID|LICENSE_PLATE|PASSPORT"
    r"|NATIONAL_ID|MEDICAL_(?:LICENSE|RECORD)|HEALTH_INSURANCE_ID"
)
_WORDS = frozenset(
    ["PERSON", "LOCATION", "NRP", "STREET_ADDRESS", "EMAIL_ADDRESS", "DATE_OF_BIRTH", "USER_ID", "DENIED"]
)


class Pseudonyms:
    """Makes the tokens of one key."""

    def __init__(
        self, key_id: str, key: bytes, phone_region: str, words: frozenset[str] = frozenset()
    ) -> None:
        """`words`: types of the user's of which case and white space do not matter."""
        self._key_id = key_id
        self._key = key
        self._phone_region = phone_region
        self._words = words

    def of_words(self, types: frozenset[str]) -> "Pseudonyms":
        """The same key, for which these types are words."""
        return Pseudonyms(self._key_id, self._key, self._phone_region, types) if types else self

    def token(self, entity: str, value: str) -> str:
        """The pseudonym of `value` as an `entity`."""
        return f"<{entity}:{self._key_id}.{self._digest(entity, value)[:16]}>"

    def long_token(self, entity: str, value: str) -> str:
        """The pseudonym with all 256 bits: no two values share it, and other systems can compute it."""
        return f"<{entity}:{self._key_id}.{self._digest(entity, value)}>"

    def _digest(self, entity: str, value: str) -> str:
        form = _words(value) if entity in self._words else normal_form(entity, value, self._phone_region)
        message = f"{entity}\0{form}".encode("utf-8", "replace")
        return hmac.digest(self._key, message, "sha256").hex()


def normal_form(entity: str, value: str, phone_region: str) -> str:
    """The form in which two ways of writing one value are the same string.

    E-mail and names NFKC-casefolded with single spaces, phones E.164, numbers without separators;
    everything else (secrets, types of the user's) as it is.
    """
    if entity == "PHONE_NUMBER":
        return _e164(value, phone_region)
    if _NUMBER.fullmatch(entity):
        return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", value)).upper()
    return _words(value) if entity in _WORDS else value


def _words(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


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
