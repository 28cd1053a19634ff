"""Our shapes of personal values: the other modules', and births, places on a map, devices, wallets."""

import re

from pipeline.redact.types import addresses, national_ids, payment, phones
from pipeline.redact.types.checks import luhn
from pipeline.redact.types.shape import Shape

_MONTH = r"[^\W\d_]{3,10}\.?"
_DATE = (
    rf"(?:\d{{1,4}}[-/.]\s?\d{{1,2}}[-/.]\s?\d{{1,4}}|\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s"
    rf"|de\s)?{_MONTH},?\s(?:de\s|of\s)?\d{{4}}"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s\d{{4}}|\d{{1,2}}[- ]{_MONTH}[- ]\d{{2,4}}|(?:19"
    rf"|20)\d\d年\d{{1,2}}月\d{{1,2}}日)"
)
_BIRTH = (
    r"(?:\bborn(?:\son)?|\bd\.?\s?o\.?\s?b\.?|\bbirth\s?(?:date|day)|\b(?:date|day)\sof\sbirth|\bb-?day"
    r"|\bgeb(?:oren(?:\sam)?|\.)"
    r"|\bgeburts(?:datum|tag)|\bn[ée]e?\sle|\bdate\sde\snaissance|\bnacid[oa]\sel|\bfecha\sde\snacimiento"
    r"|\bnascid[oa]\sem"
    r"|\bdata\sde\snascimento|\bnat[oa]\sil|\bdata\sdi\snascita|\bgeboortedatum|\bfödd|\bfødt"
    r"|\burodzon[ya]|生年月日|出生日期)"
)
_LAT, _LON = r"[+-]?(?:[1-8]?\d|90)", r"[+-]?(?:1[0-7]\d|180|[1-9]?\d)"
_MAP_WORDS = (
    r"(?:\blat(?:itude)?(?:\s?[/,]\s?|\s?and\s)(?:lon|lng|long)(?:gitude)?|\bcoord(?:inate)?s?|\bgps"
    r"|\bgeo(?:location)?|\blocated at"
    r"|\blocation|\bposition|\bgeo:|\bPOINT\s?\(|[?&@/]q?=?)"
)


def _place(value: str) -> bool:
    """A pair of a latitude and a longitude; small numbers alone are scores or vectors."""
    latitude, longitude = (abs(float(number)) for number in re.findall(r"\d+\.\d+", value)[:2])
    return latitude <= 90 and longitude <= 180 and latitude >= 1 and longitude >= 1


PATTERNS: tuple[Shape, ...] = (
    *addresses.PATTERNS,
    Shape(
        "DATE_OF_BIRTH",
        (
            "born",
            "dob",
            "d.o.b",
            "d. o",
            "birth",
            "bday",
            "b-day",
            "geb",
            "né",
            "nais",
            "naci",
            "nasc",
            "nat",
            "föd",
            "født",
            "geboorte",
            "urodzon",
            "生年",
            "出生",
        ),
        re.compile(_BIRTH + r"[^\d\n]{0,24}?(?P<v>(?<!\d)" + _DATE + ")", re.I),
    ),
    Shape(
        "COORDINATES",
        (),
        re.compile(
            rf"(?<![\w.,\[-])(?<!, )[(]?{_LAT}\.\d{{4,15}},\s?{_LON}\.\d{{4,15}}(?![\w.])(?!,\s?[-\d])"
        ),
        _place,
    ),
    Shape(
        "COORDINATES",
        ("lat", "coord", "gps", "geo", "locat", "position", "point", "q=", "@", "/"),
        re.compile(
            rf"{_MAP_WORDS}[^\d\n-]{{0,12}}(?P<v>{_LON}\.\d{{2,15}}[°]?\s?[NSns]?[,;\s]\s?{_LON}\.\d{{2,15}})(?![\w.])",
            re.I,
        ),
    ),
    Shape(
        "COORDINATES",
        ("lat", "lon", "lng"),
        re.compile(
            rf"\b(?:lat|latitude|lon|lng|long"
            rf"|longitude)[\"']?\s?[:=]\s?[\"']?(?P<v>{_LON}\.\d{{2,17}})(?![\w.])",
            re.I,
        ),
    ),
    Shape(
        "COORDINATES",
        ("°",),
        re.compile(
            r"\d{1,2}°\s?(?:\d{1,2}(?:\.\d+)?['’′]\s?)?(?:\d{1,2}(?:\.\d{1,6})?[\"”″]\s?)?[NS][,;\s]{0,3}"
            r"\d{1,3}°\s?(?:\d{1,2}(?:\.\d+)?['’′]\s?)?(?:\d{1,2}(?:\.\d{1,6})?[\"”″]\s?)?[EWO]"
        ),
    ),
    Shape(
        "DEVICE_ID",
        ("imei",),
        re.compile(
            r"\bimei\d?(?:\s(?:number|no\.?"
            r"|is))?[\s:=#\"']{0,4}(?P<v>\d{2}[ -]?\d{6}[ -]?\d{6}[ -]?\d)(?!\d)",
            re.I,
        ),
        luhn,
    ),
    Shape(
        "DEVICE_ID",
        ("imsi", "iccid"),
        re.compile(r"\b(?:imsi|iccid)[\s:=#\"']{0,4}(?P<v>\d{14,20})(?!\d)", re.I),
    ),
    Shape(
        "DEVICE_ID",
        ("idfa", "idfv", "gaid", "aaid", "advertising id"),
        re.compile(
            r"\b(?:idfa|idfv|gaid|aaid"
            r"|advertising id)[\s:=\"']{0,4}(?P<v>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})",
            re.I,
        ),
    ),
    Shape(
        "VEHICLE_ID",
        ("vin", "chassis", "vehicle id"),
        re.compile(
            r"\b(?:vin|chassis|vehicle id(?:entification)?)(?:\s(?:number|no\.?"
            r"|is))?[\s:=#\"']{0,4}(?P<v>[A-HJ-NPR-Z0-9]{17})(?!\w)",
            re.I,
        ),
    ),
    Shape("CRYPTO", ("0x",), re.compile(r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)")),
    Shape(
        "EMAIL_ADDRESS",
        ("at", "@"),
        re.compile(
            r"(?<![\w.])[\w.+-]{1,64}\s?(?:\[at\]|\(at\)|\{at\}|\s(?:AT|at)\s(?=[\w-]{1,40}\s(?:dot"
            r"|DOT)\s))\s?[\w-]{1,63}(?:\s?(?:\[dot\]|\(dot\)|\{dot\}|\.|\s(?:dot|DOT)\s)\s?[\w-]{2,63}){1,3}"
        ),
    ),
    *payment.PATTERNS,
    *phones.PATTERNS,
    *national_ids.PATTERNS,
)
