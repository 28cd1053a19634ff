"""National and tax numbers of persons.

A format with letters, signs or a checksum over a date stands alone. A run of 8 to 13 digits whose checksum
one number in ten satisfies counts only after a word for it (or under a key: `keys.py`).
"""

import re

from pipeline.redact.types import id_checks as ids
from pipeline.redact.types.checks import Check, has_date, luhn, mod_11_10, mrz_digit, plain, verhoeff
from pipeline.redact.types.shape import Shape

_START, _END = r"(?<![\w.,/+-])", r"(?!\w)(?![.,/-]\d)"
_LINK = (
    r"[\s\"':=#.()]{0,4}(?:(?:number|numbers|num|no|nr|n[°º]|is|was|id|code|card|country|nummer|de|:"
    r"|=)[\s\"':=#.()]{1,4}){0,3}"
)


def _alone(entity: str, pattern: str, check: Check | None = None) -> Shape:
    """A format that is sure by itself."""
    return Shape(entity, (), re.compile(_START + pattern + _END), check)


def _after(entity: str, words: str, pattern: str, check: Check | None = None) -> Shape:
    """A value that counts after one of these words."""
    lead = rf"(?<![^\W_])(?:{words})(?![^\W\d_]){_LINK}"
    return Shape(entity, (), re.compile(rf"{lead}(?P<v>{pattern}){_END}", re.I), check)


def _digits_at_least(count: int) -> Check:
    return lambda value: sum(c.isdigit() for c in value) >= count


def _npi(value: str) -> bool:
    """US, National Provider Identifier: Luhn with 80840 before it (45 CFR 162.406)."""
    return luhn("80840" + plain(value))


def _mrz(value: str) -> bool:
    """ICAO Doc 9303: the check digits of number, birth and expiry in a passport's second line."""
    lines = value.split()
    line = lines[-1]
    return all(
        line[end].isdigit() and mrz_digit(line[start:end]) == int(line[end])
        for start, end in ((0, 9), (13, 19), (21, 27))
    )


def _mrz_card(value: str) -> bool:
    """ICAO Doc 9303 part 5: three lines of 30; number in the first, birth and expiry in the second."""
    first, second = value.split()[:2]
    return (
        mrz_digit(first[5:14]) == int(first[14].replace("<", "0"))
        and mrz_digit(second[:6]) == int(second[6])
        and mrz_digit(second[8:14]) == int(second[14])
    )


_NA = (
    _after("US_SSN", r"ssn|social security", r"\d{3}[ -]?\d{2}[ -]?\d{4}"),
    _after(
        "US_SSN", r"last (?:4|four)(?: digits)? of (?:my |the |your )?(?:ssn|social(?: security)?)", r"\d{4}"
    ),
    _after("US_ITIN", r"itin|individual taxpayer", r"9\d{2}[ -]?\d{2}[ -]?\d{4}"),
    _alone(
        "US_MBI",
        r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?[AC-HJKMNP-RT-Y]{2}\d\d",
    ),
    _after("US_NPI", r"npi|national provider", r"[12]\d{9}", _npi),
    _after("CA_SIN", r"sin|social insurance|nas|assurance sociale", r"\d{3}[ -]?\d{3}[ -]?\d{3}", luhn),
    _alone(
        "MX_CURP", r"[A-ZÑ][AEIOUX][A-ZÑ]{2}\d{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-ZÑ]{3}[A-Z\d]\d", ids.mx_curp
    ),
    _alone(
        "MX_RFC",
        r"[A-ZÑ&]{4}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[A-Z\d]{2}[A\d]",
        lambda v: any(c.isdigit() for c in plain(v)[10:]),
    ),
)
_SOUTH_AMERICA = (
    _alone("BR_CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}", ids.br_cpf),
    _after(
        "BR_CPF", r"cpf|cadastro de pessoas?(?: f[ií]sicas?)?", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", ids.br_cpf
    ),
    _alone("CL_RUT", r"\d{1,2}\.\d{3}\.\d{3}-[\dkK]", ids.cl_rut),
    _after("CL_RUT", r"rut|run", r"\d{7,8}-[\dkK]", ids.cl_rut),
    _alone("AR_CUIT", r"(?:2[03-7]|30|33|34)-\d{8}-\d", ids.ar_cuit),
    _after("AR_CUIT", r"cui[tl]", r"\d{11}", ids.ar_cuit),
    _after(
        "NATIONAL_ID",
        r"c[eé]dula(?: de \w{3,12})?|dni|documento(?: de identidad)?",
        r"\d{1,2}\.?\d{3}\.?\d{3}(?:\.?\d{3})?",
    ),
)
_BRITISH_ISLES = (
    _alone(
        "UK_NINO",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
    ),
    _alone(
        "UK_DRIVING_LICENCE",
        r"[A-Z9]{5} ?\d(?:0[1-9]|1[0-2]|5[1-9]|6[0-2])(?:0[1-9]|[12]\d"
        r"|3[01])\d ?[A-Z9]{2}\d[A-Z]{2}(?: ?\d{2})?",
    ),
    _after("UK_NHS", r"nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}"),
    _after("UK_UTR", r"utr|unique taxpayer(?: reference)?", r"\d{5} ?\d{5}K?"),
    _alone("IE_PPS", r"\d{7}[A-W][A-IW]?", ids.ie_pps),
)
_WESTERN_EUROPE = (
    _after(
        "DE_TAX_ID",
        r"steuer[ -]?id(?:entifikationsnummer)?|steueridnr|idnr|tax id(?:entification)?|tin",
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        ids.de_tax_id,
    ),
    _alone("DE_PENSION_NUMBER", r"\d{2} ?(?:[0-4]\d|[5-9]\d)\d{4} ?[A-Z] ?\d{2}\d", ids.de_pension),
    _after(
        "DE_ID_CARD",
        r"personalausweis(?:nummer|nr)?|ausweis(?:nummer|nr)?|identity card",
        r"[CFGHJKLMNPRTVWXYZ\d]{9}\d?",
        _digits_at_least(4),
    ),
    _alone(
        "FR_NIR",
        r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        ids.fr_nir,
    ),
    _after(
        "NL_BSN",
        r"bsn|burgerservicenummer|citizen service|sofi(?:nummer)?",
        r"\d{3}[ .]?\d{3}[ .]?\d{3}|\d{4}[ .]\d{2}[ .]\d{3}",
        ids.nl_bsn,
    ),
    _alone("BE_NATIONAL_NUMBER", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", ids.be_number),
    _after(
        "BE_NATIONAL_NUMBER",
        r"rijksregister(?:nummer)?|insz|niss|registre national|national register",
        r"\d{6}[ -]?\d{3}[ .]?\d{2}",
        ids.be_number,
    ),
    _alone("CH_AHV", r"756\.?\d{4}\.?\d{4}\.?\d{2}", ids.ch_ahv),
    _after("AT_SVNR", r"svnr|sv[ -]nummer|sozialversicherungsnummer", r"\d{4} ?\d{6}"),
)
_SOUTHERN_EUROPE = (
    _alone("ES_NIF", r"\d{8}[ -]?[A-HJ-NP-TV-Z]", ids.es_letter),
    _alone("ES_NIE", r"[XYZ][ -]?\d{7}[ -]?[A-HJ-NP-TV-Z]", ids.es_letter),
    _alone(
        "IT_FISCAL_CODE",
        r"[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]",
        ids.it_codice_fiscale,
    ),
    _after("PT_NIF", r"nif|contribuinte", r"[1-35689]\d{2} ?\d{3} ?\d{3}", ids.pt_nif),
    _after("GR_AMKA", r"amka|αμκα", r"\d{11}", lambda v: luhn(v) and has_date(v, "dmy")),
    _after("HR_OIB", r"oib", r"\d{11}", mod_11_10),
    _after("TR_KIMLIK", r"t\.?c\.?|kimlik|tckn", r"[1-9]\d{10}", ids.tr_kimlik),
    _after("IL_ID", r"teudat zehut|t\.?z\.?|israeli? id|תעודת זהות|ת\.ז\.?", r"\d{8,9}|\d{8}-\d", ids.il_id),
)
_NORTHERN_EUROPE = (
    _alone("SE_PERSONNUMMER", r"(?:19|20)?\d{6}[-+]\d{4}", ids.se_personnummer),
    _after(
        "SE_PERSONNUMMER",
        r"personnummer|personal identity|samordningsnummer",
        r"(?:19|20)?\d{6}[-+]?\d{4}",
        ids.se_personnummer,
    ),
    _alone("FI_PERSONAL_IDENTITY_CODE", r"\d{6}[-+A-FU-Y]\d{3}[\dA-FHJ-NPR-Y]", ids.fi_hetu),
    _after(
        "NO_FODSELSNUMMER",
        r"f[øo]dselsnummer|fnr|personnummer|d-nummer",
        r"\d{6} ?\d{5}",
        ids.no_fodselsnummer,
    ),
    _after("DK_CPR", r"cpr|personnummer", r"\d{6}[- ]?\d{4}", ids.dk_cpr),
    _after(
        "EE_ISIKUKOOD",
        r"isikukood|asmens kodas|personal code",
        r"[1-8]\d{10}",
        lambda v: has_date(v, first=1),
    ),
    _after("LV_PERSONAS_KODS", r"personas kods|personal code", r"\d{6}-?\d{5}"),
)
_EASTERN_EUROPE = (
    _after("PL_PESEL", r"pesel", r"\d{11}", ids.pl_pesel),
    _alone("CZ_RODNE_CISLO", r"\d{6}/\d{4}", ids.cz_number),
    _after("RO_CNP", r"cnp|cod numeric personal", r"[1-9]\d{12}", ids.ro_cnp),
    _after("BG_EGN", r"egn|егн", r"\d{10}"),
    _after("RS_JMBG", r"jmbg|jmb|emšo|емшо|јмбг", r"\d{13}"),
    _after("HU_TAJ", r"taj(?:[ -]?sz[aá]m)?", r"\d{3}[ -]?\d{3}[ -]?\d{3}"),
    _alone("RU_SNILS", r"\d{3}-\d{3}-\d{3}[ -]\d{2}", ids.ru_snils),
    _after("RU_INN", r"inn|инн", r"\d{12}"),
)
_ASIA_PACIFIC_AFRICA = (
    _after("IN_AADHAAR", r"aadhaar?|uidai|uid|आधार", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", verhoeff),
    _alone("IN_PAN", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]"),
    _alone("SG_NRIC_FIN", r"[STFGM]\d{7}[A-Z]", ids.sg_nric),
    _after("AU_TFN", r"tfn|tax file", r"\d{3} ?\d{3} ?\d{3}", ids.au_tfn),
    _after("AU_MEDICARE", r"medicare", r"[2-6]\d{3} ?\d{5} ?\d(?: ?/? ?\d)?", ids.au_medicare),
    _after("NZ_NHI", r"nhi", r"[A-HJ-NP-Z]{3}(?:\d{4}|\d{2}[A-HJ-NP-Z]\d)"),
    _alone("KR_RRN", r"\d{6}-[1-8]\d{6}", ids.kr_rrn),
    _after("KR_RRN", r"rrn|주민(?:등록)?번호|resident registration", r"\d{6}-?[1-8]\d{6}", ids.kr_rrn),
    _after(
        "JP_MY_NUMBER", r"my number|マイナンバー|個人番号", r"\d{4}[ -]?\d{4}[ -]?\d{4}", ids.jp_my_number
    ),
    _alone("CN_RESIDENT_ID", r"[1-9]\d{16}[\dXx]", ids.cn_resident),
    _alone("HK_ID", r"[A-Z]{1,2}\d{6}\([\dA]\)", ids.hk_id),
    _alone("MY_NRIC", r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-\d{2}-\d{4}"),
    _alone("TH_ID", r"[1-8]-\d{4}-\d{5}-\d{2}-\d", ids.th_id),
    _after("TH_ID", r"thai id|บัตรประชาชน|citizen id", r"[1-8]\d{12}", ids.th_id),
    _after("ZA_ID", r"(?:south african? |sa |rsa )?id(?:entity)?", r"\d{6} ?\d{4} ?[0-2]\d{2}", ids.za_id),
)
_DOCUMENTS = (
    _after(
        "PASSPORT",
        r"passport|reisepass(?:nummer)?|passeport|pasaporte|passaport[eo]|paspoort|паспорт|旅券|护照|여권",
        r"[A-Z]{0,3} ?\d{5,9}[A-Z]?|[A-Z\d]{8,10}|\d{2} ?\d{2} ?\d{6}",
        _digits_at_least(4),
    ),
    Shape(
        "PASSPORT",
        (),
        re.compile(
            r"(?<![A-Z0-9<])(?:[PV][A-Z<][A-Z<]{3}[A-Z<]{31,39}\s{1,2})?[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{8,16}(?![A-Z0-9<])"
        ),
        _mrz,
    ),
    Shape(
        "NATIONAL_ID",
        (),
        re.compile(
            r"(?<![A-Z0-9<])[ACI][A-Z<][A-Z<]{3}[A-Z0-9<]{9}[\d<][A-Z0-9<]{15}\s{1,2}\d{7}[MFX<]\d{7}[A-Z<]{3}[A-Z0-9<]{11}\d(?:\s{1,2}[A-Z<]{30})?(?![A-Z0-9<])"
        ),
        _mrz_card,
    ),
    _after(
        "US_DRIVER_LICENSE",
        r"driv(?:er|ers|er's|ing)[ -]licen[sc]e|f[üu]hrerschein(?:nummer)?|permis de conduire",
        r"[A-Z\d](?:[ -]?[A-Z\d]){4,18}",
        _digits_at_least(4),
    ),
    _after(
        "NATIONAL_ID",
        r"national (?:id(?:entity|entification)?|insurance)(?: card| number)?|identity (?:card|number"
        r"|document)|citizen(?:ship)? (?:id|card|number)|personal (?:identification|identity|id)(?: number"
        r"| code)?|government id|(?:personal )?tax(?:payer)? (?:id(?:entification)?|number"
        r"|reference)(?: number)?|id card(?: number)?|pi[eè]ce d'identit[eé]"
        r"|num[eé]ro de s[eé]curit[eé] sociale|carta d'identit[aà]|codice fiscale"
        r"|henkil[öo]tunnus",
        r"[A-Z\d](?:[ .\-/]?[A-Z\d]){4,19}",
        _digits_at_least(5),
    ),
    _after("MEDICAL_RECORD", r"mrn|medical record|patient id|chart", r"[A-Z]{0,3}-?\d{5,10}"),
    _after(
        "HEALTH_INSURANCE_ID",
        r"(?:member|subscriber|policy ?holder|insurance|health plan) id|health card",
        r"[A-Z]{0,4}[ -]?\d(?:[ -]?[A-Z\d]){5,14}",
        _digits_at_least(5),
    ),
)

PATTERNS: tuple[Shape, ...] = (
    *_NA,
    *_SOUTH_AMERICA,
    *_BRITISH_ISLES,
    *_WESTERN_EUROPE,
    *_SOUTHERN_EUROPE,
    *_NORTHERN_EUROPE,
    *_EASTERN_EUROPE,
    *_ASIA_PACIFIC_AFRICA,
    *_DOCUMENTS,
)
