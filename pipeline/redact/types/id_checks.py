"""Checksums of national and tax numbers, one function a country; each names its source.

A function takes a value of its country's length, with or without separators.
"""

from collections.abc import Callable

from pipeline.redact.types import checks
from pipeline.redact.types.checks import digits, has_date, luhn, plain, weighted


def _last(value: str, weights: tuple[int, ...], modulus: int, digit: Callable[[int], int]) -> bool:
    """Whether the digit after the weighted ones is `digit(weighted sum modulo modulus)`."""
    numbers = digits(value)
    return len(numbers) > len(weights) and numbers[len(weights)] == digit(weighted(value, weights, modulus))


def es_letter(value: str) -> bool:
    """Spain, DNI and NIE: the letter at number mod 23 (Ministerio del Interior)."""
    text = plain(value)
    number = text[:-1].replace("X", "0", 1).replace("Y", "1", 1).replace("Z", "2", 1)
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def it_codice_fiscale(value: str) -> bool:
    """Italy: odd and even characters by the tables of D.M. 23/12/1976, sum mod 26 as a letter."""
    text = plain(value)
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    places = [int(c) if c.isdigit() else ord(c) - 65 for c in text]
    total = sum(odd[p] if i % 2 == 0 else p for i, p in enumerate(places[:15]))
    return len(text) == 16 and chr(65 + total % 26) == text[15]


def fr_nir(value: str) -> bool:
    """France: key = 97 − number mod 97, Corsica's 2A and 2B as 19 and 18 (INSEE, NIR)."""
    text = plain(value).replace("2A", "19").replace("2B", "18")
    month = int(text[3:5]) if text[3:5].isdigit() else 0
    valid = 1 <= month <= 12 or 20 <= month <= 42 or month >= 50
    return len(text) == 15 and text.isdigit() and valid and 97 - int(text[:13]) % 97 == int(text[13:])


def de_tax_id(value: str) -> bool:
    """Germany, Steuer-ID: ISO 7064 MOD 11,10; of ten digits one or two occur more than once (§ 139b AO)."""
    head = plain(value)[:10]
    return head[:1] != "0" and 7 <= len(set(head)) <= 9 and checks.mod_11_10(value)


def de_pension(value: str) -> bool:
    """Germany, Rentenversicherungsnummer: § 4 VKVV, letter as two digits, sums of digits mod 10."""
    text = plain(value)
    expanded = text[:8] + f"{ord(text[8]) - 64:02d}" + text[9:]
    total = sum(
        sum(divmod(int(d) * w, 10))
        for d, w in zip(expanded, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=False)
    )
    return total % 10 == int(text[-1]) and 1 <= int(text[4:6]) <= 12


def nl_bsn(value: str) -> bool:
    """Netherlands: the eleven test with weights 9 to 2 and −1 (Besluit burgerservicenummer)."""
    return (
        weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11) == 0
        and len(digits(value)) == 9
        and sum(digits(value)) > 0
    )


def be_number(value: str) -> bool:
    """Belgium: 97 − (first nine digits mod 97), 2 before them for births from 2000 (KB 3 April 1984)."""
    text = plain(value)
    keys = {97 - int(prefix + text[:9]) % 97 for prefix in ("", "2")}
    return len(text) == 11 and int(text[9:]) in keys and int(text[2:4]) % 20 <= 12


def pl_pesel(value: str) -> bool:
    """Poland: weights 1 3 7 9, mod 10; the century is in the month (Ustawa o ewidencji ludności)."""
    numbers = digits(value)
    return (
        weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10) == 0
        and 1 <= (numbers[2] * 10 + numbers[3]) % 20 <= 12
    )


def se_personnummer(value: str) -> bool:
    """Sweden: Luhn over the last ten digits; days count from 61 in coordination numbers (SKV 704)."""
    text = "".join(map(str, digits(value)))[-10:]
    day = int(text[4:6])
    return luhn(text) and 1 <= int(text[2:4]) <= 12 and 1 <= day - 60 * (day > 60) <= 31


def fi_hetu(value: str) -> bool:
    """Finland: day, month, year and serial as one number, mod 31, gives the sign (DVV)."""
    text = plain(value.replace("+", "-"))
    numbers = "".join(c for c in value[:-1] if c.isdigit())
    return has_date(numbers, "dmy") and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(numbers) % 31] == text[-1]


def no_fodselsnummer(value: str) -> bool:
    """Norway: two sums mod 11, weights 3 7 6 1 8 9 4 5 2 and 5 4 3 2 7 6 5 4 3 2 (Skatteetaten)."""
    first = weighted(value, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1), 11)
    return first == 0 and weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1), 11) == 0


def dk_cpr(value: str) -> bool:
    """Denmark: a date; the sum mod 11 holds no longer for all numbers issued since 2007 (CPR-kontoret)."""
    return has_date(value, "dmy")


def br_cpf(value: str) -> bool:
    """Brazil: two sums mod 11, weights 10 to 2 and 11 to 2, ten as 0 (Receita Federal)."""
    numbers = digits(value)
    first = weighted(value, range(10, 1, -1), 11)
    second = weighted(value, range(11, 1, -1), 11)
    return len(set(numbers)) > 1 and numbers[9:] == [0 if s < 2 else 11 - s for s in (first, second)]


def mx_curp(value: str) -> bool:
    """Mexico: 17 characters weighted 18 to 2 over 0-9A-NÑO-Z, mod 10 (RENAPO, Instructivo CURP)."""
    order = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    text = plain(value)
    total = sum(order.index(c) * (18 - i) for i, c in enumerate(text[:17]))
    return text[-1] == str(-total % 10)


def sg_nric(value: str) -> bool:
    """Singapore: weights 2 7 6 5 4 3 2, offset 4 for T and G, 3 for M; letter by mod 11 (ICA)."""
    text = plain(value)
    rest = (weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2), 11) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)) % 11
    letters = {
        "S": "JZIHGFEDCBA",
        "T": "JZIHGFEDCBA",
        "F": "XWUTRQPNMLK",
        "G": "XWUTRQPNMLK",
        "M": "XWUTRQPNJLK",
    }
    letter = letters[text[0]][rest if text[0] != "M" else 10 - rest]
    return letter == text[8]


def au_tfn(value: str) -> bool:
    """Australia, tax file number: weights 1 4 3 7 5 8 6 9 10, mod 11 (ATO)."""
    return weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10), 11) == 0


def au_medicare(value: str) -> bool:
    """Australia, Medicare: weights 1 3 7 9 1 3 7 9, mod 10 is the ninth digit (Services Australia)."""
    return _last(value, (1, 3, 7, 9, 1, 3, 7, 9), 10, lambda s: s)


def kr_rrn(value: str) -> bool:
    """Korea: a date, and a digit of sex and century; the old sum is not given since October 2020 (MOIS)."""
    return has_date(value) and digits(value)[6] in range(1, 9)


def cn_resident(value: str) -> bool:
    """China: GB 11643-1999, a date of birth and ISO 7064 MOD 11-2."""
    text = plain(value)
    born = text[6:10] in map(str, range(1900, 2031)) and has_date(text[8:14])
    return born and checks.mod_11_2(text)


def il_id(value: str) -> bool:
    """Israel: Luhn over nine digits (Population and Immigration Authority)."""
    return luhn(value) and sum(digits(value)) > 0


def tr_kimlik(value: str) -> bool:
    """Türkiye: tenth = 7·odd − even mod 10, eleventh = sum of ten mod 10 (NVİ)."""
    d = digits(value)
    return d[0] > 0 and (7 * sum(d[0:9:2]) - sum(d[1:8:2])) % 10 == d[9] and sum(d[:10]) % 10 == d[10]


def ch_ahv(value: str) -> bool:
    """Switzerland: 13 digits with the EAN-13 sum (GS1; BSV, AHV number)."""
    return weighted(value, (1, 3) * 6 + (1,), 10) == 0


def cz_number(value: str) -> bool:
    """Czechia and Slovakia: ten digits divisible by 11, month plus 50 for women (zákon 133/2000)."""
    number = plain(value)
    month = int(number[2:4])
    return int(number) % 11 == 0 and any(1 <= month - plus <= 12 for plus in (0, 20, 50, 70))


def ro_cnp(value: str) -> bool:
    """Romania: weights 2 7 9 1 4 6 3 5 8 2 7 9, mod 11, ten as 1 (OUG 97/2005)."""
    return has_date(value, first=1) and _last(
        value, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9), 11, lambda s: 1 if s == 10 else s
    )


def cl_rut(value: str) -> bool:
    """Chile: weights 2 to 7 from the right, 11 − mod 11, ten as K (Registro Civil)."""
    text = plain(value)
    rest = 11 - sum(int(d) * (2 + i % 6) for i, d in enumerate(reversed(text[:-1]))) % 11
    return {11: "0", 10: "K"}.get(rest, str(rest)) == text[-1]


def ar_cuit(value: str) -> bool:
    """Argentina: weights 5 4 3 2 7 6 5 4 3 2, 11 − mod 11 (AFIP)."""
    return _last(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), 11, lambda s: (11 - s) % 11)


def th_id(value: str) -> bool:
    """Thailand: weights 13 to 2, (11 − mod 11) mod 10 (DOPA)."""
    return _last(value, tuple(range(13, 1, -1)), 11, lambda s: (11 - s) % 10)


def ru_snils(value: str) -> bool:
    """Russia: weights 9 to 1, mod 101, 100 as 00 (Pension Fund)."""
    numbers = digits(value)
    return weighted(value, range(9, 0, -1), 101) % 100 == numbers[9] * 10 + numbers[10]


def ie_pps(value: str) -> bool:
    """Ireland: weights 8 to 2, the second letter times 9, mod 23 as a letter (DEASP)."""
    text = plain(value)
    second = "WABCDEFGHI".find(text[8]) if len(text) > 8 else 0
    return (
        "WABCDEFGHIJKLMNOPQRSTUV"[(weighted(text, range(8, 1, -1), 23) + 9 * max(0, second)) % 23] == text[7]
    )


def za_id(value: str) -> bool:
    """South Africa: a date, 0 or 1 for citizenship, Luhn (Department of Home Affairs)."""
    return has_date(value) and digits(value)[10] in (0, 1, 2) and luhn(value)


def jp_my_number(value: str) -> bool:
    """Japan: 11 digits weighted 6 5 4 3 2 7 6 5 4 3 2, mod 11 (MIC ordinance 85 of 2014)."""
    return _last(value, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), 11, lambda s: 0 if s <= 1 else 11 - s)


def pt_nif(value: str) -> bool:
    """Portugal: weights 9 to 2, 11 − mod 11, ten and more as 0 (AT)."""
    return _last(value, tuple(range(9, 1, -1)), 11, lambda s: 0 if s < 2 else 11 - s)


def hk_id(value: str) -> bool:
    """Hong Kong: letters as 10 to 35, a space as 36, weights 9 to 2, mod 11, ten as A (ImmD)."""
    text = plain(value)
    body = text[:-1].rjust(8)
    total = sum((36 if c == " " else int(c, 36)) * (9 - i) for i, c in enumerate(body))
    return text[-1] == "0123456789A"[-total % 11]
