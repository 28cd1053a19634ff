"""Nothing that stock Presidio redacts is left in the clear: made-up texts, and every defect found so."""

import pytest
from support import stock_fuzz
from support.long import by_form
from support.stock_fuzz import left_in_the_clear

SHARES = 10
ENTITIES_A_SHARE = 2_000
ENTITIES_WITH_NAMES = by_form(short=600, long=1_200)

GOLDEN = {
    "tokens with a colon use up none of the five words": "passport 7:4:1:9:1\n7, X65137603",
    "numbers joined by commas are one token": "travel ０,0,2 8:2:2,C19409164\n",
    "the finding's own token goes on after it": '86691212"account',
    "a context word after the finding, in its token": "x65137。driving",
    "a saving account, by its lemma": "she was saving it on 84920175523",
    "taxes, by their lemma": "individual taxes 912734567",
    "the word after a token with a colon": "e:01950436 bank",
    "a pager of four digits": "1683 1.698 1684",
    "a context word before an internet address": "passport, see https://a.example/b/c/d/e?f=g C41927365",
    "a combining mark in an address": "write to a\u0301frol19@example.net",
    "an address with a letter of another script": "mail почта.иван@example.org",
    "letters that fold to ASCII": "pa\u017f\u017fport C41927365 and Kredit card 4539148803436467",
    "digits of other scripts": "phone ٠٢٠٧٩٤٦٠٩٥٨ and ssn ٥٣٦-٢٢-٨٤١٩",
    "marks and joiners at the edge of a number": "account 84920175523\u0301, 84920175523\u200d",
    "a number after the extension of another": "23764 9249 ext 12 0126 303aa94009874#001689683ー17066323944",
    "an extension takes nine digits": "call 5770 4621 #5770462110637690802771",
    "a run that follows a number as its extension": "65651992 ext 12637355897)336",
    "Jamaica, under the country code of the US": "call 876-555-0123 or (242) 322 4567",
    "Guernsey, Jersey and Man, under that of Britain": "call 01481 960194, 01534 960194, 01624 960194",
    "a number with a national prefix and a carrier": "fone 0 15 11 91234-5678",
    "groups with the long sound mark": "電話 03ー1234ー5678, +81 3ー1234ー5678",
    "a wide hyphen and a soft one": "tel +49 30－90182017, +49 30\u00ad90182017",
    "spaces that do not break": "phone +44\u00a020\u00a07946\u00a00958",
    "cards in one column of a table": "card;name\n4539 1488 0343 6467;a\n6011-1111-1111-1117;b",
    "an IBAN in lower case before a number": "iban de89370400440532013000 2 days",
    "an IPv6 address with a zone": "from fe80::1%eth0 to ::ffff:203.0.113.87",
    "a hardware address in dots": "mac 3c52.829a.1bff",
}
"""Texts in which a defect of the fast path, or a likely one, left something in the clear."""


@pytest.mark.parametrize("name", GOLDEN)
def test_a_known_defect_stays_away(name: str) -> None:
    assert left_in_the_clear(GOLDEN[name]) == []


def test_stock_finds_something_in_the_golden_texts() -> None:
    stock = stock_fuzz._stock(False)
    silent = [name for name, text in GOLDEN.items() if not stock(text)]
    assert not silent, "these show nothing"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(by_form(short=2, long=SHARES)))
def test_nothing_that_stock_finds_is_left_in_the_clear(share: int) -> None:
    outcome = stock_fuzz.run(share, entities=ENTITIES_A_SHARE, step=SHARES)
    print(stock_fuzz.table(outcome))
    assert not outcome.missed, stock_fuzz.table(outcome)
    assert outcome.reference.total() >= ENTITIES_A_SHARE
    assert outcome.reference.keys() >= {
        "PHONE_NUMBER",
        "US_SSN",
        "IBAN_CODE",
        "EMAIL_ADDRESS",
        "UK_NHS",
        "CRYPTO",
    }


@pytest.mark.timeout(600)
def test_nothing_is_left_with_names_on() -> None:
    outcome = stock_fuzz.run(500_000, entities=ENTITIES_WITH_NAMES, names=True)
    assert not outcome.missed, stock_fuzz.table(outcome)
    assert outcome.reference["PERSON"] > ENTITIES_WITH_NAMES // 30


def test_the_fuzz_sees_a_recognizer_that_looks_too_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_fuzz, "_ours", lambda names: lambda text: [])
    outcome = stock_fuzz.run(29, entities=1)
    assert len(outcome.missed) == outcome.reference.total() > 2
    assert all(len(miss.text) < 20 for miss in outcome.missed), "what is reported is shrunk"
