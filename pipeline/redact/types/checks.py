"""Check digits. Each function takes a value with or without separators and says whether its sum holds."""

import re
from collections.abc import Callable, Sequence

Check = Callable[[str], bool]

# The dihedral group D5: its multiplication, and powers of a permutation (J. Verhoeff, Error Detecting Decimal
# Codes, 1969).
_D5 = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_P8 = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def plain(value: str) -> str:
    """Letters and digits alone, upper case."""
    return re.sub(r"[\W_]", "", value).upper()


def digits(value: str) -> list[int]:
    """The digits of a value, in ASCII."""
    return [int(c) for c in value if "0" <= c <= "9"]


def luhn(value: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right doubled, the sum of digits ends in 0."""
    total = 0
    for place, digit in enumerate(reversed(digits(value))):
        doubled = digit * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def verhoeff(value: str) -> bool:
    """Verhoeff's dihedral check, as Aadhaar uses it (UIDAI, Aadhaar number generation)."""
    state = 0
    for place, digit in enumerate(reversed(digits(value))):
        state = int(_D5[state][int(_P8[place % 8][digit])])
    return state == 0


def mod_97_10(value: str) -> bool:
    """ISO 7064 MOD 97-10 as in ISO 13616 (IBAN): the first four characters last, letters as 10 to 35."""
    text = plain(value)
    if not text.isascii() or len(text) < 5:
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def mod_11_10(value: str) -> bool:
    """ISO 7064 MOD 11,10: the German tax id, the Croatian OIB."""
    product = 10
    numbers = digits(value)
    for digit in numbers[:-1]:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return bool(numbers) and (11 - product) % 10 == numbers[-1]


def mod_11_2(value: str) -> bool:
    """ISO 7064 MOD 11-2, with X for ten: the Chinese resident id (GB 11643)."""
    text = plain(value)
    total = sum(
        (10 if c == "X" else int(c)) * pow(2, place, 11)
        for place, c in enumerate(reversed(text))
        if c == "X" or c.isdigit()
    )
    return total % 11 == 1


def weighted(value: str, weights: Sequence[int], modulus: int) -> int:
    """The weighted sum of the digits, modulo `modulus`; digits beyond the weights do not count."""
    return sum(d * w for d, w in zip(digits(value), weights, strict=False)) % modulus


def has_date(value: str, order: str = "ymd", first: int = 0) -> bool:
    """Whether six digits from the digit `first` on are a date, two digits each, in this order."""
    numbers = digits(value)[first : first + 6]
    if len(numbers) < 6:
        return False
    part = {name: numbers[2 * i] * 10 + numbers[2 * i + 1] for i, name in enumerate(order)}
    return 1 <= part["m"] <= 12 and 1 <= part["d"] <= 31


def mrz_digit(field: str) -> int:
    """ICAO Doc 9303 part 3, 4.9: weights 7, 3, 1; letters count 10 to 35, the filler 0."""
    return sum((0 if c == "<" else int(c, 36)) * (7, 3, 1)[i % 3] for i, c in enumerate(field)) % 10


def vin(value: str) -> bool:
    """49 CFR 565.15: the ninth character of 17 is the weighted sum of all, modulo 11, X for ten."""
    text = plain(value)
    letters, worths = (
        "ABCDEFGHJKLMNPRSTUVWXYZ",
        (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9),
    )
    worth = dict(zip(letters, worths, strict=True))
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    if len(text) != len(weights) or not all(c in worth or c.isdigit() for c in text):
        return False
    total = sum((worth.get(c, 0) or int(c)) * w for c, w in zip(text, weights, strict=True))
    return text[8] == "0123456789X"[total % 11]
