"""Check digits: what is issued is accepted, and a wrong digit is noticed."""

from collections.abc import Callable

import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.redact.types import checks
from pipeline.redact.types import id_checks as ids

ISSUED: dict[str, tuple[str, str, Callable[[str], bool]]] = {
    "es_nif": ("es_ES", "nif", ids.es_letter),
    "es_nie": ("es_ES", "nie", ids.es_letter),
    "it_codice_fiscale": ("it_IT", "ssn", ids.it_codice_fiscale),
    "fr_nir": ("fr_FR", "ssn", ids.fr_nir),
    "de_pension": ("de_DE", "rvnr", ids.de_pension),
    "nl_bsn": ("nl_NL", "ssn", ids.nl_bsn),
    "be_number": ("nl_BE", "ssn", ids.be_number),
    "pl_pesel": ("pl_PL", "pesel", ids.pl_pesel),
    "se_personnummer": ("sv_SE", "ssn", ids.se_personnummer),
    "fi_hetu": ("fi_FI", "ssn", ids.fi_hetu),
    "no_fodselsnummer": ("no_NO", "ssn", ids.no_fodselsnummer),
    "br_cpf": ("pt_BR", "cpf", ids.br_cpf),
    "mx_curp": ("es_MX", "curp", ids.mx_curp),
    "cn_resident": ("zh_CN", "ssn", ids.cn_resident),
    "il_id": ("he_IL", "ssn", ids.il_id),
    "ch_ahv": ("de_CH", "ssn", ids.ch_ahv),
    "cz_number": ("cs_CZ", "birth_number", ids.cz_number),
    "ro_cnp": ("ro_RO", "ssn", ids.ro_cnp),
    "cl_rut": ("es_CL", "rut", ids.cl_rut),
    "hr_oib": ("hr_HR", "ssn", checks.mod_11_10),
    "tr_kimlik": ("tr_TR", "ssn", ids.tr_kimlik),
    "ca_sin": ("en_CA", "ssn", checks.luhn),
    "iban": ("de_DE", "iban", checks.mod_97_10),
    "iban_gb": ("en_GB", "iban", checks.mod_97_10),
    "card": ("en_US", "credit_card_number", checks.luhn),
    "vin": ("en_US", "vin", checks.vin),
}
"""Numbers that another implementation issues: (locale, kind, check)."""


@pytest.mark.parametrize("name", ISSUED)
def test_numbers_that_others_issue_are_accepted(name: str) -> None:
    locale, kind, check = ISSUED[name]
    faker = Faker(locale)
    faker.seed_instance(11)
    values = [str(getattr(faker, kind)()) for _ in range(200)]
    values = [v for v in values if name != "cz_number" or len(checks.plain(v)) == 10]
    assert not [v for v in values if not check(v)]


# What each kind of sum cannot notice is left out: where two digits are the same to the sum.
NOTICED = {
    "luhn": (checks.luhn, 15, 1),
    "verhoeff": (checks.verhoeff, 11, 1),
    "mod_11_10": (checks.mod_11_10, 10, 1),
    "nl_bsn": (ids.nl_bsn, 8, 1),
    "no_fodselsnummer": (ids.no_fodselsnummer, 9, 2),
    "br_cpf": (ids.br_cpf, 9, 2),
    "au_tfn": (ids.au_tfn, 8, 1),
    "ru_snils": (ids.ru_snils, 9, 2),
    "pt_nif": (ids.pt_nif, 8, 1),
}  # fmt: skip
SAME_TO_THE_SUM = {"pt_nif", "br_cpf", "ru_snils"}
"""Two remainders share a check digit there (ten and more count as 0, or mod 10 after mod 11)."""


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(NOTICED)), st.data())
def test_a_wrong_digit_is_noticed(name: str, data: st.DataObject) -> None:
    check, body_digits, check_digits = NOTICED[name]
    body = data.draw(st.text("0123456789", min_size=body_digits, max_size=body_digits))
    issued = [f"{body}{n:0{check_digits}d}" for n in range(10**check_digits)]
    valid = [number for number in issued if check(number)]
    assert len(valid) <= 1
    if not valid or len(set(body)) == 1:
        return  # some bodies are never issued
    place = data.draw(st.integers(0, len(valid[0]) - 1))
    wrong = [
        valid[0][:place] + digit + valid[0][place + 1 :] for digit in "0123456789" if digit != valid[0][place]
    ]
    accepted = [number for number in wrong if check(number)]
    assert len(accepted) <= (1 if name in SAME_TO_THE_SUM else 0), (valid[0], accepted)


@given(st.text("0123456789ABCXYZ <-", max_size=24))
def test_no_check_fails_on_what_it_does_not_know(value: str) -> None:
    for check in (checks.luhn, checks.verhoeff, checks.mod_97_10, checks.mod_11_10, checks.vin):
        assert check(value) in (True, False)


def test_verhoeffs_own_examples() -> None:
    assert checks.verhoeff("2363")
    assert checks.verhoeff("123451")
    assert not checks.verhoeff("2364")
    assert not checks.verhoeff("213451"), "digits that changed places"


def test_the_passport_line_of_the_standard() -> None:
    assert checks.mrz_digit("L898902C3") == 6
    assert checks.mrz_digit("740812") == 2
    assert checks.mrz_digit("AB2134<<<") == 5
