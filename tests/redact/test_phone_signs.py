"""The sets of signs that the walk of telephone numbers looks for first are those of its patterns."""

import re
import sys

from pipeline.redact.find import phone
from pipeline.redact.find.phone import GAP_SIGNS, GAPS, LINK_SIGNS, PhoneWalk

CHARACTERS = [chr(c) for c in range(sys.maxunicode + 1)]
REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")


def test_the_signs_are_all_that_the_patterns_take() -> None:
    gap = re.compile(rf"[{GAPS}]", re.I)
    link = re.compile(rf"[{GAPS} \xa0\t,;extnsi=oó\u0301ｅｘｔｎдобaｉ#＃~～:.．-]", re.I)
    assert {c for c in CHARACTERS if gap.match(c)} == set(GAP_SIGNS)
    assert {c for c in CHARACTERS if link.match(c)} == set(LINK_SIGNS)
    assert not any(c.isdecimal() for c in LINK_SIGNS)


def test_dates_are_given_to_no_region() -> None:
    walk = PhoneWalk(REGIONS, 1)
    assert not any(walk._regions_for(f"2024-{month:02d}-17") for month in range(1, 13))


def test_what_a_rule_makes_a_number_of_is_found() -> None:
    """In Brazil a carrier's code comes after the 0."""
    walk = PhoneWalk(REGIONS, 1)
    assert "BR" in walk._regions_for("0 15 11 2345-6789")
    assert list(walk.spans("ligue 0 15 11 2345-6789 agora")) == [(6, 23)]


def test_an_extension_is_linked_to_what_is_before_it() -> None:
    assert phone._linked("tel 415-555-0132 ext. 12345", 22) is not None
    assert phone._linked("flight HAT 12345", 11) is None
