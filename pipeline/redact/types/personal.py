"""Our own patterns for personal values that stock Presidio lacks: addresses, births, Ethereum wallets."""

import re

from pipeline.redact.types.shape import Shape

_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|"
    r"Square|Sq|Highway|Hwy|Parkway|Pkwy|Circle|Cir|Crescent|Close)"
)
_DATE = (
    r"(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?\s(?:of\s)?[A-Za-z]{3,9},?\s\d{4}"
    r"|[A-Za-z]{3,9}\s\d{1,2}(?:st|nd|rd|th)?,?\s\d{4})"
)

PATTERNS: tuple[Shape, ...] = (
    Shape(
        "STREET_ADDRESS",
        (),
        re.compile(
            r"(?<![\w.])\d{1,6}[A-Z]?\s(?:[NSEW]{1,2}\.?\s)?(?:[A-Z][\w'’-]{0,30}\.?\s){1,4}"
            + _STREET
            + r"(?!\w)\.?(?:,?\s(?:Apartment|Apt|Suite|Ste|Unit|Floor|Fl|#)\.?\s?[A-Z0-9-]{1,6}(?!\w))?"
        ),
    ),
    Shape(
        "DATE_OF_BIRTH",
        ("born", "dob", "d.o.b", "birth"),
        re.compile(
            r"(?:\bborn(?:\son)?|\bd\.?o\.?b\.?|\bbirth\s?(?:date|day)|\bdate\sof\sbirth)[^\d\n]{0,24}?"
            r"(?P<v>(?<!\d)" + _DATE + ")",
            re.I,
        ),
    ),
    Shape("CRYPTO", ("0x",), re.compile(r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)")),
)
