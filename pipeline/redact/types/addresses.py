"""Street addresses and postal codes, as far as their form gives them away; the name finder knows
the free ones.

Number first (English, French), street first (German, Dutch, Nordic, Romance, Slavic, Turkish), boxes, units,
and the tail of city, state and postal code where it follows.
"""

import re

from pipeline.redact.types.shape import Shape

_CAP = r"[^\W\d_a-z]"
_WORD = rf"{_CAP}[\w'’.-]{{0,30}}"
_START = r"(?<![\w.,$€£#/-])"
_HOUSE = r"\d{1,6}(?:[-/]\d{1,4})?(?:\s?[A-Za-z](?![\w]))?"

_SUFFIX = (
    r"(?:Street|St|Str|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter"
    r"|Terr|Square|Sq|Highway|Hwy|Parkway|Pkwy|Circle|Cir|Crescent|Cres|Close|Alley|Mews|Groves?|Gardens"
    r"|Gdns|Heights|Hts|Freeway|Fwy|Expressway|Turnpike|Tpke|Throughway|Trafficway|Stravenue|Meadows?"
    r"|Laneway|Esplanade|Plaza|(?:Street|Road|Avenue|Lane|Drive|Court|Square|Parkway)s|Nagar|Chowk|Marg"
    r"|Vihar|Enclave|Salai|STREET|ST|AVENUE|AVE|ROAD|RD|LANE|LN|DRIVE|DR|COURT|CT|BOULEVARD|BLVD|HIGHWAY|HWY"
    r"|WAY|PLACE|TERRACE)"
)
_WEAK_SUFFIX = (
    r"(?:Trail|Trl|Loop|Row|Walks?|Path|Pike|Hills?|Parks?|Run|Points?|Views?|Ridges?|Rdg|Crossing|Xing|Bend"
    r"|Coves?|Creek|Bypass|Commons?|Landing|Spurs?|Springs?|Spgs|Valleys?|Villages?|Vista|Estates?|Fields?"
    r"|Greens?|Glens?|Harbors?|Haven|Isle|Islands?|Junctions?|Keys?|Knolls?|Lakes?|Lights?|Lodge|Manors?"
    r"|Mills?|Mission|Mount|Mountains?|Orchard|Oval|Pass|Passage|Pines?|Plains?|Ports?|Prairie|Ranch|Rapids?"
    r"|Rest|River|Route|Shoals?|Shores?|Skyway|Station|Stream|Summit|Trace|Track|Tunnel|Unions?|Viaduct"
    r"|Ville|Wells?|Burgs?|Bluffs?|Branch|Bridge|Brooks?|Bayou|Beach|Bottom|Camp|Canyon|Cape|Causeway"
    r"|Centers?|Club|Corners?|Courses?|Crest|Curve|Dale|Crossroads?|Dam|Divide|Extensions?|Falls|Ferry"
    r"|Flats?|Fords?|Forest|Forges?|Forks?|Fort|Gateway|Garden|Hollow|Inlet|Locks?|Loaf|Mall|Motorway|Neck"
    r"|Overpass|Radial|Ramp|Underpass|Wall|Ways|Via|Rise|Reserve|Approach|Circuit|Anchorage|Range|Courtyard"
    r"|Subway|Plaza|Trailer|Circles|Terraces?|Parkways|Walk|Alleys?)"
)
"""Suffixes of USPS Publication 28, appendix C1, that are everyday words too: only with a unit or a city after
them, or `at` before."""
_SURE_SUFFIX = (
    r"(?:street|avenue|road|boulevard|lane|drive|terrace|highway|parkway|crescent|turnpike|alley|mews|st\."
    r"|ave\.?|rd\.?|blvd\.?|ln\.|dr\.|hwy\.?|pkwy\.?)"
)
_NO_STREETS = re.compile(
    r"\b(?:google|hard|flash|shared|disk|usb|ssd|thumb|tape|test|one|no|supreme|high|food|district|another"
    r"|best|first|second|third|right|wrong|long|only|fast|data|the|same|every|each|in|to|per|my|better"
    r"|times)\s(?:drive|court|way|place|close|circle|square)\b|^\d+\s(?:seconds?|minutes?|mins?|hours?|days?"
    r"|weeks?|months?|years?|miles?|km|met(?:er|re)s?|feet"
    r"|more|of|the|other)\b",
    re.I,
)
"""A drive that is a disk, the first place, five minutes."""
_UNIT = (
    r"(?:,?\s{1,2}(?:(?:Apartment|Apt|Suite|Ste|Unit|Floor|Fl|Room|Rm|Flat|Bldg|Building|Lot|Trlr"
    r"|Phase)\b\.?\s?#?|#\s?)[A-Z0-9-]{1,6}(?!\w))"
)
_ROMANCE_UNIT = (
    r"(?:,?\s{1,2}(?:Piso|Puerta|Apt\.|Apto\.?|Apartamento|Dpto\.?|Depto\.?|Edif\.|Interior|Int\.|Of\."
    r"|Oficina|Local|Appartamento|Piano|Interno|Bloco|Bl\.|Sc\.|Ap\.|Et\.|bl\.|sc\.|ap\."
    r"|et\.)\s?\d{1,4}(?:[A-Zªº](?!\w))?){0,3}(?:\s(?=[,\n]))?"
)
_STATES = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[ARW]|RI|S[CD]"
    r"|T[NX]|UT|V[AIT]|W[AIVY]|A[AEP]|FM|AS)"
)
_AU_STATES = r"(?:NSW|VIC|QLD|SA|WA|TAS|ACT|NT)"
_CA_POSTAL = r"[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]?\d[ABCEGHJ-NPRSTV-Z]\d"
_UK_POSTAL = (
    r"(?:A[BL]|B[ABDHLNRST]?|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]?|F[KY]|G[LUY]?|H[ADGPRSUX]|I[GMPV]|JE"
    r"|K[ATWY]|L[ADELNSU]?|M[EKL]?|N[EGNPRW]?|O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]?|T[ADFNQRSW]|UB"
    r"|W[ACDFNRSV]?|YO|ZE)\d[\dA-HJKMNP-Y]?"
)
_CITY = rf"{_CAP}[\w'’.-]{{1,30}}(?:[ -]{_CAP}?[\w'’.-]{{1,30}}){{0,3}}(?<![.])"
_AFTER_CITY = (
    rf"(?:(?:{_STATES}|{_CAP}[a-z]{{3,12}}(?:\s{_CAP}[a-z]{{3,12}})?)\s{{1,2}}\d{{5}}(?:-\d{{4}})?"
    rf"|{_AU_STATES},?\s{{1,2}}\d{{4}}|(?:[A-Z]{{2}}\s)?{_CA_POSTAL}|{_UK_POSTAL}\s?\d[A-Z]{{2}}"
    rf"|{_STATES})(?!\w)"
)
_TAIL = rf"(?:,?\s{{1,2}}{_CITY},?\s{{1,2}}{_AFTER_CITY}|(?:,\s?|\n){_CITY}\s\d{{4}}(?![\w.:-]))"
_POSTAL = r"(?:[A-Z]{1,3}-)?(?:\d{2}-\d{3}|\d{3}\s\d{2}|\d{4,6})(?:-\d{3})?(?:\s?[A-Z]{2}(?![\w]))?"
_CITY_TAIL = rf"(?:,?\s{{1,2}}{_POSTAL}(?:,?\s{{1,2}}{_CITY})?(?:\s\([A-Z]{{2}}\))?(?!\w))?"
_DE_STREET = r"(?:stra(?:ß|ss)e|str\.|gasse|allee|platz|weg|damm|chaussee|steig|stieg|pfad)"
_NL_STREET = r"(?:straat|laan|weg|plein|gracht|kade|dijk|singel|steeg|dreef|baan|boulevard)"
_NORDIC = (
    r"(?:gatan|vägen|stigen|gränd|torget|gata|gaten|veien|vegen|vej|(?<![Bb]ri)gade|stræde|katu|kuja|polku"
    r"|bulevardi|raitti|(?<![Uu]n)(?<!weet)(?<!eck)(?<!oo)(?<!bow)tie|tänav|iela|gatvė)"
)
_PARTICLE = (
    r"(?:(?:de|del|della|delle|dei|degli|dello|di|da|do|das|dos|du|des|la|las|los|le|les|el|san|santa|e|y)\s"
    r"|d['’]|l['’]|dell['’]){0,3}"
)
_ROMANCE = (
    r"(?:Via|Viale|Piazza|Piazzale|Piazzetta|Corso|Largo|Vicolo|Strada|Contrada|Lungomare|Borgo|Rotonda"
    r"|Stretto|Salita|Calle|C/|C\.|Avenida|Avda\.?|Av\.?|Blvd\.|Blv\.|Boulevard|Paseo|Plaza|Carrera|Cra\.?"
    r"|Camino|Cuesta|Ronda|Cañada|Glorieta|Pasaje|Pasadizo|Callej[oó]n|Calzada|Privada|Prolongaci[oó]n"
    r"|Urbanizaci[oó]n|Circunvalaci[oó]n|Diagonal|Rua|R\.|Travessa|Praça|Alameda|Estrada|Rodovia|Beco"
    r"|Ladeira|Str\.|Bulevardul|Aleea|[SȘŞ]oseaua|Drumul|Intrarea|Jalan|Jln\.?|Jl\.?|Gang|Gg\.?|Lorong|Ulica"
    r"|Trg|Náměstí)"
)
_FRENCH_SURE = (
    r"(?:rue|avenue|av\.|boulevard|bd\.?|bvd\.?|chemin|all[ée]e?|impasse|quai|ruelle|faubourg|sentier"
    r"|venelle|rang)"
)
_FRENCH_MAYBE = (
    r"(?:place|cours|route|square|passage|r[ée]sidence|lotissement|mont[ée]e|voie|lieu-dit|hameau)"
)
_OF = r"(?:de\s|du\s|des\s|de la\s|de l['’]|d['’]|saint)"
_FRENCH_NAME = rf"{_CAP}[\w'’.-]{{0,30}}(?:[ -](?:de|du|des|la|le|les|et|{_WORD})){{0,5}}"


def _has_street(value: str) -> bool:
    return not _NO_STREETS.search(value)


def _street(pattern: str, flags: int = 0) -> Shape:
    return Shape("STREET_ADDRESS", (), re.compile(_START + pattern, flags))


_NUMBER_FIRST = (
    Shape(
        "STREET_ADDRESS",
        (),
        re.compile(
            rf"{_START}{_HOUSE},?\s{{1,2}}(?:[NSEW]{{1,2}}\.?\s|(?:North|South|East|West)\s)?"
            rf"(?:(?:{_WORD}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}"
            rf"(?:{_SUFFIX}(?!\w)\.?(?:\s(?:[NSEW]|NE|NW|SE|SW|North|South|East"
            rf"|West)(?!\w)\.?)?{_UNIT}?{_TAIL}?"
            rf"|{_WEAK_SUFFIX}(?!\w)(?:{_UNIT}{_TAIL}?|{_TAIL}))"
        ),
        _has_street,
    ),
    Shape(
        "STREET_ADDRESS",
        (" at", "address", "reside", "ship", "deliver", "send", "live", "mail", "mov"),
        re.compile(
            r"\b(?:at|address(?:\s(?:is|was|to))?|resid(?:es?|ing|ence)|(?:ship|deliver|send|mail"
            r"|moved?)\s(?:it\s|them\s)?to"
            rf"|lives?"
            rf"|living)[\s:\"']{{1,3}}(?P<v>{_HOUSE},?\s(?:{_WORD}\s){{1,3}}{_WEAK_SUFFIX}(?!\w){_UNIT}?)"
        ),
    ),
    Shape(
        "STREET_ADDRESS",
        (),
        re.compile(
            rf"{_START}\d{{1,6}},?\s(?:[nsew]\.?\s)?(?:[\w'’-]{{2,20}}\s){{1,3}}{_SURE_SUFFIX}(?![\w-]){_UNIT}?"
            rf"(?:,\s[a-z ]{{3,30}},?\s[a-z]{{2}}\s\d{{5}})?",
            re.I,
        ),
        _has_street,
    ),
    _street(
        rf"\d{{1,6}}\s(?:[NSEW]{{1,2}}\.?\s)?(?:U\.?S\.?|State|County|Old|Rural|Interstate|Farm)\s?"
        rf"(?:Highway|Hwy|Route|Rte|Road|Rd)\.?\s\d{{1,4}}(?!\w){_UNIT}?{_TAIL}?"
    ),
    _street(
        rf"\d{{1,5}}(?:\s?(?:bis|ter|quater|[A-D]))?,?\s{{1,2}}(?i:{_FRENCH_SURE}\s(?:{_OF}|l['’]|la\s|le\s)?"
        rf"|{_FRENCH_MAYBE}\s{_OF})(?:(?:la|le|les)\s|l['’])?{_FRENCH_NAME}{_UNIT}?(?:{_TAIL}|{_CITY_TAIL})"
    ),
    _street(rf"\d{{1,5}}\s(?:The\s)?(?:Broadway|Esplanade|Strand|Embarcadero|Bowery)(?!\w){_UNIT}?{_TAIL}?"),
)
_NUMBER = (
    r",?\s(?:[Nn][º°o]?\.?\s?|[Nn]um\.?\s|#\s?|[Nn]r\.?\s"
    r"|km\.?\s)?(?:\d{1,5}(?:[-/ ]?[A-Za-z](?!\w))?(?:/\d{1,4})?|[Ss]/[Nn])"
)
_STREET_FIRST = (
    _street(
        rf"(?:{_WORD}\s){{0,2}}(?:{_CAP}[\w.-]{{1,30}}{_DE_STREET}|{_WORD}[ -][Ss]tra(?:ß|ss)e"
        rf"|{_WORD}[ -](?:Str\.|Allee|Platz|Weg|Gasse|Ring|Damm|Ufer|Hof|Markt|Chaussee))"
        rf"\s{{1,2}}\d{{1,4}}(?:\s?[a-z](?!\w))?(?:\s?[-/]\s?\d{{1,4}})?(?![\w.]\d){_CITY_TAIL}"
    ),
    _street(
        rf"(?:{_WORD}\s){{0,3}}{_CAP}[\w-]{{1,30}}{_NL_STREET}\s\d{{1,4}}(?:\s?[a-zA-Z](?!\w))?(?:-\d{{1,4}})?"
        rf"(?!\.\d){_CITY_TAIL}"
    ),
    _street(
        rf"(?:{_WORD}\s){{0,2}}(?:{_CAP}[\w-]{{1,30}}{_NORDIC}|{_WORD}\s(?:[Aa]llé|[Vv]ej|[Vv]eien|gate"
        rf"|ulica|cesta|ulice|trg))"
        rf"\s\d{{1,4}}(?:\s?[A-Za-z](?!\w))?(?!\.\d){_CITY_TAIL}"
    ),
    _street(
        rf"{_ROMANCE}\s{_PARTICLE}{_CAP}(?![A-Z])['’\w.-]{{1,30}}(?:\s(?:de|del|della|di|da|do|dos|das|la"
        rf"|las|los|e"
        rf"|y|{_WORD})){{0,5}}"
        rf"{_NUMBER}(?![\w:]|\.\d){_ROMANCE_UNIT}{_CITY_TAIL}"
    ),
    _street(
        r"(?:Calle|Carrera|Cr\.?|Cra\.?|Cl\.?|Kr\.?|Av\.?|Avenida|Diagonal|Dg\.?|Transversal|Tv\.?)\s"
        rf"(?:{_WORD}\s){{0,3}}(?:\d{{1,3}}\s?[A-Zª]?(?:\sBis)?(?:\s[A-Z])?\s?)?#\s?\d{{1,3}}[A-Z]?(?:\s?-\s?\d{{1,3}})?"
        r"(?:\s(?:Sur|Este|Norte|Oeste))?"
    ),
    _street(
        rf"(?:(?:ul|al|os|pl)\.|aleja|plac|ulica)\s(?:{_WORD}\s"
        rf"|i\s){{1,5}}\d{{1,4}}[A-Za-z]?(?:[/ ]m?\.?\s?\d{{1,4}})?(?!\w)"
        rf"{_CITY_TAIL}"
    ),
    _street(
        r"(?:ул|пр|пер|пл|бул|наб|просп|алл|ш|вул|улица|проспект|переулок|площадь|вулиця|провулок|площа"
        r"|узвіз)\.?\s[^\W\d_][\w .-]{2,40},?\s(?:(?:д|буд|б)\.\s?)?\d{1,4}(?:/\d{1,4})?(?:,?\s(?:кв|корп"
        r"|стр|к)\.\s?\d{1,4}){0,2}"
    ),
    _street(
        rf"(?:{_WORD}\s){{1,4}}(?:Mah(?:\.|allesi)|Cad(?:\.|desi)|Sok(?:\.|ak|ağı)|Bulvarı)"
        rf"(?:,?\s(?:{_WORD}\s){{0,3}}No:?\s?\d{{1,4}}(?:/\d{{1,4}})?)"
    ),
    _street(
        rf"(?:{_WORD}\s){{1,3}}(?:utca|út|útja|tér|körút|sétány"
        rf"|dűlő)\s\d{{1,4}}\.?(?:/\w{{1,3}})?{_CITY_TAIL}"
    ),
    _street(
        rf"{_FRENCH_SURE}\s(?:{_OF}|la\s|le\s)?{_CAP}[\w'’.-]{{1,30}}(?:[ -](?:de|du|des|la|le"
        rf"|{_WORD})){{0,3}}"
        rf",?\s\d{{1,3}}[a-z]?,?\s{{1,2}}\d{{4}}\s{_CITY}"
    ),
    _street(
        r"(?:H\.?\s?No|House No|Flat No|Plot No|Door No|Building No"
        r"|Holding No)\.?\s?[:#-]?\s?\d[\w/-]{0,10},?\s"
        r"(?:[\w.'’-]{2,30}[ ,]{1,2}){1,6}(?:[\w.'’-]{2,30})(?:\s?-\s?\d{3}\s?\d{3}(?!\d))?",
        re.I,
    ),
    Shape(
        "STREET_ADDRESS",
        ("丁目", "番", "号", "號", "路", "街"),
        re.compile(
            r"(?:[\u3040-\u30ff\u3400-\u9fff]{2,20})\d{1,3}(?:丁目\d{1,3}番(?:地|\d{1,3}号)?|番地?\d{0,3}号?"
            r"|[号號](?:\d{1,4}[室楼樓])?)"
        ),
    ),
    Shape(
        "STREET_ADDRESS",
        ("로", "길"),
        re.compile(
            r"(?:[가-힣]{2,8}(?:시|도|구|군|읍|면)\s){1,3}[가-힣\d]{1,12}(?:로"
            r"|길)\s?(?:지하)?\d{1,4}(?:-\d{1,4})?(?:\s\([가-힣]{1,10}\))?"
        ),
    ),
)
_BOXES = (
    _street(
        r"(?i:P\.?\s?O\.?\s?Box|Post Office Box|GPO Box|Locked Bag|Private Bag|Postfach"
        r"|Apartado(?: (?:de Correos|Postal))?|Bo[iî]te postale|Casilla(?: de Correo)?|Caixa Postal|Postbus"
        r"|Postboks|Casella Postale)"
        rf"\s#?\d{{1,7}}(?!\w)(?:{_TAIL}|{_CITY_TAIL})"
    ),
    _street(
        r"(?:PSC\s?\d{1,5},?\s|Unit\s\d{3,5},?\s"
        r"|CMR\s\d{1,5},?\s)Box\s\d{1,5}(?:,?\s{1,2}[ADF]PO,?\sA[AEP]\s\d{5}(?:-\d{4})?)?"
    ),
    _street(r"(?:US[NC][A-Z]{0,2}\s[^\W\d_]['’\w-]{1,30},?\s{1,2})?[ADF]PO,?\sA[AEP]\s\d{5}(?:-\d{4})?"),
    _street(
        rf"(?:Apartment|Apt\.?|Suite|Unit|Flat|Level|Studio"
        rf"|Building)\s#?\d{{1,5}}[A-Z]?[,/]?\s{{1,2}}(?=\d{{1,6}}\s{_CAP}|{_WORD}\s{_SUFFIX})"
    ),
)
_CODES = (
    Shape(
        "LOCATION",
        (),
        re.compile(
            rf"(?:[a-z]\.?\s{{1,2}}(?!(?:IN|OR|ME|OK|HI|AS|PA|MA)\s)"
            rf"|,\s{{0,2}}){_STATES}\s{{1,2}}(?P<v>\d{{5}}(?:-\d{{4}})?)(?![\w-])"
        ),
    ),
    Shape(
        "LOCATION",
        (),
        re.compile(
            rf"\n[ \t]{{0,8}}{_STATES}[ \t]{{0,2}}\r?\n[ \t]{{0,8}}(?P<v>\d{{5}}(?:-\d{{4}})?)(?![\w-])"
        ),
    ),
    Shape(
        "LOCATION",
        ("zip", "postal", "post code", "postcode", "plz", "cep", "postleitzahl"),
        re.compile(
            r"\b(?:zip(?:[ -]?code)?|postal code|post ?code|plz|postleitzahl|cep|c[óo]digo postal"
            r"|code postal)(?:\s(?:is|of|for|in|number)){0,2}[\s:=#\"']{0,4}(?P<v>\d{5}(?:-\d{3,4})?"
            r"|\d{3} \d{2}|\d{4} ?[A-Z]{2}|\d{4,6}"
            r"|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z][ -]?\d[A-Z]\d)(?![\w-])",
            re.I,
        ),
    ),
    Shape("LOCATION", (), re.compile(rf"(?<![\w.,/-]){_UK_POSTAL}\s\d[ABD-HJLNP-UW-Z]{{2}}(?![\w-])")),
    Shape("LOCATION", (), re.compile(rf"(?<![\w.,/-]){_CA_POSTAL.replace('?', '')}(?![\w-])")),
    Shape("LOCATION", ("〒",), re.compile(r"〒\s?(?P<v>\d{3}-\d{4})")),
)

PATTERNS: tuple[Shape, ...] = (*_NUMBER_FIRST, *_STREET_FIRST, *_BOXES, *_CODES)
