"""Key rules: what the name of a payload key says about its value.

A rule holds for the last words of a key, in whatever case style (`fields.key_rule` brings keys to one form:
lower case, `_` between words, no accents), as long as the value looks like one.
"""

import re
from typing import NamedTuple


class KeyRule(NamedTuple):
    """A payload key whose value is of a known type, as long as the value looks like one."""

    entity: str
    key: re.Pattern[str]
    value: re.Pattern[str]
    parent: re.Pattern[str] | None = None
    """Where given, the rule holds only below a key like this."""


_ROLES = (
    r"(?:contact|customer|passenger|patient|employee|recipient|beneficiary|guest|attendee|tenant|landlord"
    r"|card_?holder|account_?holder|policy_?holder|ticket_?holder|payee|payer|signatory|signer|assignee"
    r"|assigned_to|requester|requestor|approver|applicant|claimant|candidate|borrower|buyer|addressee"
    r"|consignee|travell?er|insured|student|teacher|pupil|doctor|physician|nurse|therapist|spouse"
    r"|next_of_kin|guardian|person|people|resident|visitor|invitee|participant|kund(?:e|in)|mitarbeiter"
    r"|patientin|fahrgast|inhaber|empfaenger|absender|ansprechpartner|cliente|paciente|pasajero|passageiro"
    r"|titular|destinatario|remitente|propietario|empleado|huesped|titulaire|destinataire|passager|salarie"
    r"|proprietaire|voyageur|paziente|dipendente|passeggero)"
)
"""Keys that stand for a person."""
_MIXED_ROLES = (
    r"(?:client|owner|author|member|manager|supervisor|reporter|reviewer|seller|sender|receiver|subscriber"
    r"|caller|driver|rider|parent|child|dependent|organi[sz]er|user|profile|account|billing|shipping|auteur"
    r"|(?:created|updated|approved|signed|submitted|requested|reported|prepared|modified)_by)"
)
"""Keys that stand for a person or for a thing: only a value written like a full name counts."""
_PLURAL = r"(?:e?s|n)?"
_HOME = (
    r"(?:address|addr|billing|shipping|mailing|delivery|home|residence|adresse|direccion|endereco|indirizzo"
    r"|user|profile)"
)
_BELOW_ROLE = rf"(?:^|_)(?:{_ROLES}{_PLURAL}|name)$"
_BELOW_MIXED_ROLE = rf"(?:^|_){_MIXED_ROLES}{_PLURAL}$"
_BELOW_HOME = rf"(?:^|_)(?:{_HOME}|{_ROLES}){_PLURAL}$"

_ANY, _DIGITS_4 = r".*\S.*", r"(?:\D{0,20}\d){4,}.*"
_NUMBER = r"(?:_?(?:number|num|no|nr|id|code))?"
_CODE = r"(?=.*\d)[\w\s./-]{4,24}"
_LOWER_NAME = r"[^\W\d_][^\d_@/<>{}]{0,80}"
_ANY_NAME = r"(?:name|nombre|nome|nom|naam|namn|navn|display_?name|first|last|middle|given|family)"
_FULL_NAME = r"[^\W\d_a-z][^\W\d_]*(?:[ '’.-]{1,2}[^\W\d_]+){1,4}"


def _rule(entity: str, key: str, value: str, parent: str | None = None) -> KeyRule:
    return KeyRule(
        entity,
        re.compile(rf"(?:^|_){key}$"),
        re.compile(value, re.DOTALL),
        re.compile(parent) if parent else None,
    )


_SECRETS = (
    _rule(
        "PASSWORD",
        r"(?:password|passwd|pwd|passphrase|passcode|pin_code|pin|cvv2?|cvc2?|otp|(?:one_time"
        r"|verification)_code"
        r"|security_code|passwort|kennwort|contrasena|senha|mot_de_passe)",
        _ANY,
    ),
    _rule("COOKIE", r"(?:set_)?cookies?", r"(?=.*\d)\S{6,}|.{20,}"),
    _rule(
        "SECRET",
        r"(?:secret|(?<!page_)(?<!next_)(?<!continuation_)(?<!sync_)(?<!cursor_)token|api_?key|access_key"
        r"|secret_key|private_key|signing_key|encryption_key|account_key|shared_key|master_key|client_secret"
        r"|credentials?|authorization|connection_string|conn_str|session_cookie|csrf|xsrf|jwt|seed_phrase"
        r"|mnemonic)",
        r"(?=.*\d)\S{6,}|.{20,}",
    ),
)

_PERSONS = (
    _rule(
        "PERSON",
        r"(?:(?:first|last|middle|full|given|family|maiden|birth|legal|preferred|nick|father"
        r"|mother)_?name(?:_?\d)?"
        rf"|{_ROLES}_?name|(?:sur|fore)name|[fl]name|vorname|nachname|familienname|geburtsname"
        r"|prenom|nom_de_famille|nombre_completo|apellidos?|primer_nombre|sobrenome|nome_completo|cognome"
        r"|patronymic|fornamn|efternamn|fornavn|etternavn|imie|nazwisko|voornaam|achternaam)",
        _LOWER_NAME,
    ),
    # Handles made of a name ("mia_li_3668") say who it is; the type of the event's own end user.
    _rule(
        "USER_ID",
        r"(?:user_?name|(?<!last_)(?<!first_)login|login_?name|screen_?name|user_?handle|usuario)",
        r"(?!\d{4}-\d\d)[^<>{}]{2,64}",
    ),
    _rule(
        "USER_ID",
        r"(?:user_?id|member_id|customer_id)",
        r"[^\W\d_]{2,20}[._-][^\W\d_]{2,20}(?:[._-]?\d{1,6})?",
    ),
    # A key that names a role: only a value written like a name, since it may hold an id as well.
    _rule("PERSON", rf"(?:{_ROLES}|{_MIXED_ROLES})(?:{_PLURAL}|_name)", _FULL_NAME),
    # Names of anything, which are a person's below a role: customer → name.
    _rule("PERSON", _ANY_NAME, _LOWER_NAME, _BELOW_ROLE),
    _rule("PERSON", _ANY_NAME, _FULL_NAME, _BELOW_MIXED_ROLE),
    _rule(
        "PERSON_ID",
        r"(?:(?:employee|staff|personnel|student|patient|worker)_?(?:id|number|no|nr)|badge_?(?:id|number|no)"
        r"|mrn|medical_record(?:_number)?|matricul[ae]|personalnummer|matrikelnummer)",
        r"(?=.*\d)[\w./-]{3,24}",
    ),
    _rule(
        "DATE_OF_BIRTH",
        r"(?:dob|date_of_birth|birth_?date|birth_?day|born(?:_on)?|geburts(?:datum|tag)"
        r"|fecha_(?:de_)?nacimiento"
        r"|date_(?:de_)?naissance|data_(?:de_)?nascimento|data_(?:di_)?nascita|fodelsedatum|geboortedatum)",
        r".*\d.*",
    ),
)

_PLACES = (
    _rule(
        "STREET_ADDRESS",
        r"(?:street|street_?address|street_?(?:name|line)|address_?(?:line_?)?\d?|addr_?\d?|strasse"
        r"|anschrift|adresse|rue"
        r"|direccion|calle|domicilio|endereco|rua|logradouro|indirizzo|via|adres)",
        r"(?=.*\d)(?=.*[^\W\d_])(?=.*\s)[^@<>{}]{4,300}",
    ),
    _rule(
        "LOCATION",
        r"(?:zip|zip_?code|postal_?code|post_?code|plz|postleitzahl|code_postal|codigo_postal|cep)",
        r"(?=.*\d)[\w\s-]{3,12}",
    ),
    _rule(
        "LOCATION",
        r"(?:city|town|village|suburb|neighbou?rhood|district|county|state|province|ort|stadt|ville|ciudad"
        r"|cidade"
        r"|citta|provincia|estado)",
        r"[^\W\d_][^\d_@/<>{}]{1,60}",
        _BELOW_HOME,
    ),
    _rule(
        "COORDINATES",
        r"(?:lat|latitude|lon|lng|long|longitude|breitengrad|laengengrad|latitud|longitud)",
        r"-?\d{1,3}\.\d{2,17}",
    ),
    _rule(
        "COORDINATES",
        r"(?:coordinates?|coords?|lat_?(?:lon|lng|long)|gps(?:_location)?|geo_?location)",
        r"[(\[]?-?\d{1,3}\.\d{2,17}\s?[,; ]\s?-?\d{1,3}\.\d{2,17}[)\]]?|-?\d{1,3}\.\d{3,17}",
    ),
)

_NUMBERS = (
    _rule("US_SSN", r"(?:ssn|social_security(?:_?(?:number|no|nr))?)", _DIGITS_4),
    _rule(
        "PASSPORT",
        r"(?:passport|reisepass|passeport|pasaporte|passaporto?)" + _NUMBER,
        r"(?=.*\d)[\w\s-]{5,20}",
    ),
    _rule(
        "US_DRIVER_LICENSE",
        r"(?:driv(?:er|ers|ing)_?licen[sc]e|fuehrerschein|permis_de_conduire|licencia_(?:de_)?conducir)"
        + _NUMBER,
        r"(?=.*\d)[\w\s-]{4,24}",
    ),
    _rule(
        "NATIONAL_ID",
        r"(?:(?:national|citizen|personal|resident|government|identity)_?(?:id|identity"
        r"|identification)?(?:_?card)?_?(?:number|no|nr|id|code)|national_id|personal_id|id_card|tax_?(?:id"
        r"|number)|tax_file_number|tin|itin|nino|national_insurance(?:_?(?:number|no))?|nhs_?(?:number|no)"
        r"|aadhaar?|sin|social_insurance_number|cpf|curp|dni|nie|nif|pesel|bsn|cnp|codice_fiscale"
        r"|personnummer|fodselsnummer|cpr|hetu|henkilotunnus|steuer_?id|steuer_?(?:identifikations)?nummer"
        r"|ausweis_?(?:nummer|nr)|sozialversicherungsnummer"
        r"|numero_(?:de_)?(?:identidad|identificacion|securite_sociale)|cedula|rrn|my_?number|insee)",
        _DIGITS_4,
    ),
    _rule(
        "PHONE_NUMBER",
        r"(?:(?:tele|cell|mobile|home|work|office)?_?phones?|mobile|mobil|telephone|tel|cell|fax|msisdn"
        r"|whatsapp|gsm|contact_number|telefon|telefax|handy|rufnummer|telefono|telefone|celular|movil"
        r"|portable|mobiltelefon)"
        r"(?:_?(?:number|numbers|num|no|nr|nummer|\d))?",
        r"\(?\+?(?:\D{0,5}\d){7,20}\D{0,8}",
    ),
    _rule(
        "EMAIL_ADDRESS",
        r"(?:e_?mails?(?:_?(?:address|addresses|id|addr))?|mail|correo(?:_electronico)?|courriel)",
        r"[^\s@<>]{1,120}@[^\s@<>]{1,120}",
    ),
    _rule("IBAN_CODE", r"iban(?:_?(?:number|code|no))?", r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){8,32}"),
    _rule(
        "CREDIT_CARD",
        r"(?:(?:credit|debit|payment|bank)?_?card(?:_?(?:number|no|num|nr))?|cc|cc_?(?:number|no|num)|pan"
        r"|kartennummer"
        r"|numero_(?:de_)?(?:tarjeta|carte|cartao))",
        r"(?:\D?\d){12,19}",
    ),
    _rule(
        "US_BANK_NUMBER",
        r"(?:account_?(?:number|no|num|nr)|acct(?:_?(?:number|no))?|account|bank_account(?:_?(?:number|no))?"
        r"|routing_?(?:number|no)|sort_code|clabe|kontonummer|bban)",
        r"(?:[ -]?\d){6,20}",
    ),
    _rule(
        "IP_ADDRESS",
        r"(?:ip|ips|ip_?addr(?:ess)?|ipv[46](?:_?address)?|(?:client|remote|source|user)_?ip|remote_?addr"
        r"|x_forwarded_for)",
        r"(?=.*[.:].*[.:])[0-9a-fA-F.:,%/ \[\]]{3,200}",
    ),
    _rule(
        "MAC_ADDRESS",
        r"(?:mac|mac_?addr(?:ess)?|bssid|hw_?addr(?:ess)?)",
        r"[0-9A-Fa-f]{2}(?:[:.-]?[0-9A-Fa-f]{2}){5,7}",
    ),
    _rule(
        "DEVICE_ID",
        r"(?:imei\d?|imsi|iccid|meid|idfa|idfv|gaid|aaid|adid|(?:google_)?(?:advertising|ad)_id|android_id"
        r"|udid"
        r"|device_?(?:serial(?:_?number)?|uuid|udid))",
        r"(?=.*\d)[\w-]{8,64}",
    ),
    _rule(
        "LICENSE_PLATE",
        r"(?:(?:licen[sc]e|number|vehicle|registration)_?plate(?:_?(?:number|no))?|plate_?(?:number|no)"
        r"|vehicle_?registration(?:_?(?:number|no))?|kennzeichen|immatriculation|matricula|placa|targa)",
        r"(?=.*\d)[\w\s·-]{3,14}",
    ),
    _rule(
        "VEHICLE_ID",
        r"(?:vin|vehicle_identification_number)(?:_?(?:number|no))?",
        r"[A-HJ-NPR-Za-hj-npr-z0-9]{11,17}",
    ),
)

KEY_RULES: tuple[KeyRule, ...] = (*_SECRETS, *_NUMBERS, *_PLACES, *_PERSONS)
"""The first rule that holds decides."""
