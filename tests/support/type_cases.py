"""What each type of ours must find. All values are made up; sums and shapes are real.

Secrets are put together at run time, so that nothing in this file looks like a leaked one to a scanner.
"""

import base64
import hashlib
from collections.abc import Iterator

from pipeline.redact.types import personal, secrets
from pipeline.redact.types.shape import Shape

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def found(text: str) -> list[tuple[str, str]]:
    """(type, value) of everything that our shapes find in a text."""
    return [hit for shape in (*secrets.PATTERNS, *personal.PATTERNS) for hit in _found_by(shape, text)]


def _found_by(shape: Shape, text: str) -> Iterator[tuple[str, str]]:
    group = "v" if "v" in shape.pattern.groupindex else 0
    for match in shape.pattern.finditer(text):
        if shape.accept is None or shape.accept(match[group]):
            yield shape.entity, match[group]


def mixed(seed: str, length: int) -> str:
    """Random-looking letters and digits, the same for the same seed."""
    return "".join(ALPHABET[b % 62] for b in hashlib.shake_256(seed.encode()).digest(length))


def hexadecimal(seed: str, length: int) -> str:
    """Random-looking lower-case hexadecimal digits."""
    return hashlib.shake_256(seed.encode()).hexdigest(length)[:length]


def _upper(seed: str, length: int) -> str:
    return "".join(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[b % 32] for b in hashlib.shake_256(seed.encode()).digest(length)
    )


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _uuid(seed: str) -> str:
    h = hexadecimal(seed, 32)
    return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))


def _pem(kind: str, line_end: str = "\n") -> str:
    body = line_end.join(mixed(f"{kind}{i}", 64) for i in range(3))
    return (
        f"-----BEGIN {kind}PRIVATE"
        + f" KEY-----{line_end}{body}{line_end}-----END {kind}PRIVATE"
        + " KEY-----"
    )


_JWT = ".".join([_b64('{"alg":"HS256","typ":"JWT"}'), _b64('{"sub":"4711"}'), mixed("jwt", 43)])

SECRET_CASES: tuple[tuple[str, str], ...] = (
    ("AWS_ACCESS_KEY", "AKIA" + _upper("aws", 16)),
    ("AWS_SECRET_KEY", mixed("aws", 20) + "/" + mixed("aws2", 19)),
    ("AWS_BEDROCK_KEY", "ABSK" + mixed("bedrock", 128)),
    ("GCP_API_KEY", "AIza" + mixed("gcp", 35)),
    ("GCP_OAUTH_TOKEN", "ya29." + mixed("oauth", 60)),
    ("GCP_OAUTH_TOKEN", "1//0" + mixed("refresh", 60)),
    ("GCP_CLIENT_SECRET", "GOCSPX-" + mixed("client", 28)),
    ("AZURE_KEY", mixed("azure", 86) + "=="),
    ("AZURE_KEY", mixed("aoai", 52) + "JQQJ9" + mixed("aoai2", 27)),
    ("AZURE_CLIENT_SECRET", mixed("az", 3) + "8Q~" + mixed("azc", 34)),
    ("AZURE_SAS", "https://x.blob.core.windows.net/c?sv=2022&sig=" + mixed("sas", 43) + "%3D"),
    ("DIGITALOCEAN_TOKEN", "dop_v1_" + hexadecimal("do", 64)),
    ("HEROKU_KEY", "HRKU-" + mixed("heroku", 60)),
    ("CLOUDFLARE_KEY", "v1.0-" + hexadecimal("cf", 24) + "-" + hexadecimal("cf2", 146)),
    ("FLY_TOKEN", "fo1_" + mixed("fly", 43)),
    ("NETLIFY_TOKEN", "nfp_" + mixed("netlify", 36)),
    ("SUPABASE_KEY", "sbp_" + hexadecimal("supabase", 40)),
    ("PLANETSCALE_KEY", "pscale_" + "tkn_" + mixed("ps", 43)),
    ("TERRAFORM_TOKEN", mixed("tf", 14) + ".atlasv1." + mixed("tf2", 67)),
    ("PULUMI_TOKEN", "pul-" + hexadecimal("pulumi", 40)),
    ("VAULT_TOKEN", "hvs." + mixed("vault", 95)),
    ("DOPPLER_TOKEN", "dp.pt." + mixed("doppler", 43)),
    ("ONEPASSWORD_TOKEN", "ops_eyJ" + mixed("op", 250)),
    ("DATABRICKS_TOKEN", "dapi" + hexadecimal("dapi", 32)),
    ("ANTHROPIC_KEY", "sk-" + "ant-api03-" + mixed("anthropic", 95)),
    ("OPENAI_KEY", "sk-" + "proj-" + mixed("openai", 48)),
    ("HUGGINGFACE_TOKEN", "hf_" + mixed("hf", 34)),
    ("GROQ_KEY", "gsk_" + mixed("groq", 52)),
    ("XAI_KEY", "xai-" + mixed("xai", 80)),
    ("PERPLEXITY_KEY", "pplx-" + mixed("pplx", 48)),
    ("REPLICATE_TOKEN", "r8_" + mixed("r8", 37)),
    ("NVIDIA_KEY", "nvapi-" + mixed("nv", 64)),
    ("CEREBRAS_KEY", "csk-" + mixed("csk", 48).lower()),
    ("ELEVENLABS_KEY", "sk_" + hexadecimal("11", 48)),
    ("PINECONE_KEY", "pcsk_" + mixed("pine", 70)),
    ("TAVILY_KEY", "tvly-" + mixed("tavily", 32)),
    ("LANGSMITH_KEY", "lsv2_" + "pt_" + hexadecimal("ls", 32) + "_" + hexadecimal("ls2", 10)),
    ("LANGFUSE_KEY", "sk-" + "lf-" + _uuid("lf")),
    ("GITHUB_TOKEN", "ghp_" + mixed("gh", 36)),
    ("GITHUB_TOKEN", "github_" + "pat_" + mixed("gh2", 22) + "_" + mixed("gh3", 59)),
    ("GITLAB_TOKEN", "glpat-" + mixed("gl", 20)),
    ("ATLASSIAN_TOKEN", "ATATT3" + mixed("atl", 186)),
    ("NPM_TOKEN", "npm_" + mixed("npm", 36)),
    ("PYPI_TOKEN", "pypi-" + mixed("pypi", 150)),
    ("RUBYGEMS_KEY", "rubygems_" + hexadecimal("gem", 48)),
    ("NUGET_KEY", "oy2" + mixed("nuget", 43).lower()),
    ("DOCKER_TOKEN", "dckr_" + "pat_" + mixed("docker", 27)),
    ("BUILDKITE_TOKEN", "bkua_" + hexadecimal("bk", 40)),
    ("SONAR_TOKEN", "squ_" + hexadecimal("sonar", 40)),
    ("JFROG_KEY", "AKCp" + mixed("jfrog", 69)),
    ("POSTMAN_KEY", "PMAK-" + hexadecimal("pm", 24) + "-" + hexadecimal("pm2", 34)),
    ("SLACK_TOKEN", "xoxb-" + "2948571036-" + mixed("slack", 24)),
    ("SLACK_WEBHOOK", "https://hooks.slack.com/services/" + "T01234567/B01234567/" + mixed("hook", 24)),
    ("DISCORD_WEBHOOK", "https://discord.com/api/webhooks/" + "123456789012345678/" + mixed("dw", 68)),
    ("DISCORD_TOKEN", "M" + mixed("dt", 25) + "." + mixed("dt2", 6) + "." + mixed("dt3", 38)),
    ("TELEGRAM_TOKEN", "1234567890:" + "AA" + mixed("tg", 33)),
    ("STRIPE_KEY", "sk_" + "live_" + mixed("stripe", 24)),
    ("SQUARE_TOKEN", "sq0" + "csp-" + mixed("square", 43)),
    (
        "PAYPAL_TOKEN",
        "access_token$" + "production$" + mixed("pp", 16).lower() + "$" + hexadecimal("pp2", 32),
    ),
    ("PLAID_TOKEN", "access-" + "production-" + _uuid("plaid")),
    ("SHOPIFY_TOKEN", "shpat_" + hexadecimal("shop", 32)),
    ("SENDGRID_KEY", "SG." + mixed("sg", 22) + "." + mixed("sg2", 43)),
    ("MAILGUN_KEY", "key-" + hexadecimal("mg", 32)),
    ("MAILCHIMP_KEY", hexadecimal("mc", 32) + "-us12"),
    ("BREVO_KEY", "xkeysib-" + hexadecimal("brevo", 64) + "-" + mixed("brevo2", 16)),
    ("RESEND_KEY", "re_" + mixed("re", 8) + "_" + mixed("re2", 24)),
    ("TWILIO_KEY", "SK" + hexadecimal("twilio", 32)),
    ("DATADOG_KEY", "ddapp_" + mixed("dd", 36)),
    ("NEWRELIC_KEY", "NRAK-" + _upper("nr", 27)),
    ("GRAFANA_TOKEN", "glsa_" + mixed("gf", 32) + "_" + hexadecimal("gf2", 8)),
    ("SENTRY_TOKEN", "sntryu_" + hexadecimal("sentry", 64)),
    ("SENTRY_DSN", f"https://{hexadecimal('dsn', 32)}@o123.ingest.sentry.io/4507"),
    ("DYNATRACE_TOKEN", "dt0c01." + _upper("dt", 24) + "." + _upper("dt2", 64)),
    ("LINEAR_KEY", "lin_" + "api_" + mixed("lin", 40)),
    ("NOTION_TOKEN", "ntn_" + mixed("ntn", 46)),
    ("AIRTABLE_TOKEN", "pat" + mixed("at", 14) + "." + hexadecimal("at2", 64)),
    ("ASANA_TOKEN", "1/1200000000000001:" + hexadecimal("asana", 32)),
    ("FIGMA_TOKEN", "figd_" + mixed("figma", 40)),
    ("HUBSPOT_TOKEN", "pat-" + "na1-" + _uuid("hub")),
    ("CONTENTFUL_TOKEN", "CFPAT-" + mixed("ctf", 43)),
    ("MAPBOX_TOKEN", "sk." + "eyJ" + mixed("mb", 60) + "." + mixed("mb2", 22)),
    ("LAUNCHDARKLY_KEY", "sdk-" + _uuid("ld")),
    ("OKTA_TOKEN", "Authorization: SSWS " + "00" + mixed("okta", 40)),
    ("META_TOKEN", "EAA" + "B" + mixed("meta", 120)),
    ("PRIVATE_KEY", _pem("RSA ")),
    ("PRIVATE_KEY", _pem("OPENSSH ")),
    ("PRIVATE_KEY", _pem("", "\\n")),
    (
        "PRIVATE_KEY",
        "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 2\n" + mixed("ppk", 64) + "\n" + mixed("ppk2", 40),
    ),
    ("PRIVATE_KEY", "AGE-" + "SECRET-KEY-1" + _upper("age", 58)),
    ("SEED_PHRASE", "seed phrase: army van defense carry jealous true garbage claim echo media make crunch"),
    ("JWT", _JWT),
    ("BEARER_TOKEN", "Bearer " + mixed("bearer", 32)),
    ("BASIC_AUTH", "Basic " + base64.b64encode(b"ledger:kV9w2Lq7rT").decode()),
    ("SECRET", "Authorization: Token " + hexadecimal("auth", 40)),
    ("COOKIE", "Cookie: theme=dark; sid=" + mixed("sid", 24) + "; lang=en"),
    ("COOKIE", "JSESSIONID=" + _upper("js", 32)),
    ("URL_PASSWORD", "postgres://ledger:" + "kV9w2Lq7rT" + "@db.prod:5432/books"),
    ("URL_PASSWORD", "redis://:" + "kV9w2Lq7rT" + "@cache:6379/0"),
    ("URL_PASSWORD", "mongodb+srv://app:" + "p%40ss-w0rd" + "@cluster0.example.net/db"),
    ("PASSWORD", "jdbc:mysql://db/x?user=app&password=" + "kV9w2Lq7rT"),
    ("PASSWORD", "Server=db;Uid=app;Pwd=" + "kV9w2Lq7rT" + ";"),
    ("PASSWORD", "mysql --password=" + "kV9w2Lq7rT" + " -h db"),
    ("PASSWORD", "the CVV is 123"),
    ("PASSWORD", "your verification code is 482913"),
    ("SECRET", "api_key: " + mixed("assign", 32)),
    ("SECRET", 'export MISTRAL_API_KEY="' + mixed("mistral", 32) + '"'),
    ("SECRET", "TOKEN=" + mixed("token", 24)),
    ("SECRET", "AccountKey=" + mixed("account", 30) + "=="),
    ("SECRET", "vault login --token " + mixed("cli", 24)),
)
"""(kind, text) pairs: the text holds a secret of this kind."""

PERSONAL_CASES: dict[str, tuple[str, ...]] = {
    "CREDIT_CARD": (
        "4539 1488 0343 6467",
        "3782 822463 10005",
        "6011-1111-1111-1117",
        "2221000000000009",
        "4539.1488.0343.6467",
        "30569309025904",
        "6304000000000000 is my card",
        "maestro card 501800000009",
        "card number is 4539 1488 0343 6468",
        "4000056655665556007",
    ),
    "IBAN_CODE": (
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "send to ES9121000418450200051332 please",
        "IBAN: TH76 5260 1815 90",
    ),
    "US_BANK_NUMBER": ("routing number 021000021", "account no. 000123456789", "sort code: 12-34-56"),
    "PHONE_NUMBER": (
        "+49 (0)30 901820",
        "+1-415-555-0132 x123",
        "001-352-123-4567x89",
        "0049 30 901820 17",
        "(030) 90182017",
        "415-555-0132",
        "415.555.0132 ext. 7",
        "+358 40 123 4567",
        "01 42 68 53 00",
        "0171 1234567",
        "phone: 9351 8190",
        "my number, call me at 555 0132 99",
        "Tel.: 76 97 54 12",
        "телефон 8 671 276 84 26",
        "WhatsApp +55 11 91234-5678",
        "mobile no 9876543210",
    ),
    "STREET_ADDRESS": (
        "123 Main St",
        "456 elm street",
        "2847 Maplewood Avenue, Apt 4B, Springfield, IL 62704",
        "10 Downing Street, London SW1A 2AA",
        "350 W 42nd St",
        "1600 Pennsylvania Avenue NW, Washington, DC 20500",
        "live at 319 Fox Wells",
        "88 Ward Gateway Suite 9",
        "100 High Street",
        "7 Market Place",
        "12 Rue de la Paix, 75002 Paris",
        "Hauptstraße 12, 10115 Berlin",
        "Friedrichstr. 5",
        "Keizersgracht 123, 1015 CJ Amsterdam",
        "Via Roma 12, 00184 Roma",
        "Calle de Alcalá, 45, 28014 Madrid",
        "Calle 26 # 7-18",
        "Rua das Flores, 123, 4050-262 Porto",
        "ul. Marszałkowska 10/5, 00-590 Warszawa",
        "Nørregade 12, 1165 København",
        "Ekgatan 8",
        "P.O. Box 1234",
        "Postfach 123",
        "PSC 1234, Box 5678",
        "ул. Ленина, д. 5",
        "Jalan Ahmad Yani No. 390",
        "4500 US Highway 1",
    ),
    "LOCATION": (
        "Springfield, IL 62704",
        "Chicago IL 60601-1234",
        "SW1A 1AA",
        "K1A 0B1",
        "zip code 90210",
        "PLZ 10115",
        "〒100-0001",
    ),
    "DATE_OF_BIRTH": (
        "born on 1987-03-14",
        "DOB: 03/14/1987",
        "date of birth is March 14, 1987",
        "geboren am 14.03.1987",
        "née le 14 mars 1987",
        "fecha de nacimiento: 14/03/1987",
        "nascido em 14 de março de 1987",
    ),
    "COORDINATES": (
        "40.712776, -74.005974",
        "lat: 40.7128",
        "coordinates 40.71, -74.00",
        "40°26'46\"N 79°58'56\"W",
        "geo:37.7749,-122.4194",
    ),
    "DEVICE_ID": (
        "IMEI 490154203237518",
        "idfa 236A005B-700F-4889-B9CE-999EAB2B605D",
        "imsi: 310150123456789",
    ),
    "VEHICLE_ID": ("VIN 1M8GDM9AXKP042788",),
    "CRYPTO": ("0x" + "ab12" * 10,),
    "EMAIL_ADDRESS": ("jane [at] example [dot] org",),
    "PASSPORT": (
        "passport number X1234567",
        "P<UTOERIKSSON<<ANNA<MARIA" + "<" * 19 + "\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ),
    "US_SSN": ("SSN 536228419", "last four of my social: 8419"),
    "US_ITIN": ("ITIN 912-73-4567",),
    "US_MBI": ("1EG4-TE5-MK73",),
    "US_NPI": ("NPI 1234567893",),
    "US_DRIVER_LICENSE": ("driver's license D123-4567-8901",),
    "CA_SIN": ("SIN 046 454 286",),
    "MX_CURP": ("HEGG560427MVZRRL04",),
    "MX_RFC": ("GODE561231GR8",),
    "BR_CPF": ("529.982.247-25", "CPF 52998224725"),
    "CL_RUT": ("12.345.678-5",),
    "AR_CUIT": ("20-12345678-6",),
    "UK_NINO": ("AB 12 34 56 C",),
    "UK_DRIVING_LICENCE": ("MORGA657054SM9IJ",),
    "UK_NHS": ("NHS number 943 476 5919",),
    "UK_UTR": ("UTR 12345 67890",),
    "IE_PPS": ("1234567TW",),
    "DE_TAX_ID": ("Steuer-ID 86095742719",),
    "DE_PENSION_NUMBER": ("15070649C103",),
    "DE_ID_CARD": ("Personalausweis: T220001293",),
    "FR_NIR": ("2 55 08 14 168 025 38",),
    "NL_BSN": ("BSN 111222333",),
    "BE_NATIONAL_NUMBER": ("93.05.18-223.61",),
    "CH_AHV": ("756.9217.0769.85",),
    "AT_SVNR": ("SVNR 1237 010180",),
    "ES_NIF": ("12345678Z",),
    "ES_NIE": ("X1234567L",),
    "IT_FISCAL_CODE": ("RSSMRA85T10A562S",),
    "PT_NIF": ("NIF 123456789",),
    "GR_AMKA": ("AMKA 01018012342",),
    "HR_OIB": ("OIB 69435151530",),
    "TR_KIMLIK": ("TC kimlik no 10000000146",),
    "IL_ID": ("teudat zehut 123456782",),
    "SE_PERSONNUMMER": ("811218-9876",),
    "FI_PERSONAL_IDENTITY_CODE": ("131052-308T",),
    "NO_FODSELSNUMMER": ("fødselsnummer 01010112377",),
    "DK_CPR": ("CPR 211062-5629",),
    "EE_ISIKUKOOD": ("isikukood 37605030299",),
    "LV_PERSONAS_KODS": ("personas kods 161175-19997",),
    "PL_PESEL": ("PESEL 44051401359",),
    "CZ_RODNE_CISLO": ("736028/5163",),
    "RO_CNP": ("CNP 1800101221144",),
    "BG_EGN": ("EGN 7523169263",),
    "RS_JMBG": ("JMBG 0101006500006",),
    "HU_TAJ": ("TAJ szám 111 111 110",),
    "RU_SNILS": ("112-233-445 95",),
    "RU_INN": ("ИНН 500100732259",),
    "IN_AADHAAR": ("Aadhaar 2345 6789 0124",),
    "IN_PAN": ("ABCPE1234F",),
    "SG_NRIC_FIN": ("S1234567D",),
    "AU_TFN": ("TFN 123 456 782",),
    "AU_MEDICARE": ("Medicare 2123 45670 1",),
    "NZ_NHI": ("NHI ZZZ0016",),
    "KR_RRN": ("850615-1234567",),
    "JP_MY_NUMBER": ("My Number 1234 5678 9018",),
    "CN_RESIDENT_ID": ("11010519491231002X",),
    "HK_ID": ("A123456(3)",),
    "MY_NRIC": ("850615-14-5566",),
    "TH_ID": ("1-1001-00123-45-4",),
    "ZA_ID": ("SA ID number 8001015009087",),
    "NATIONAL_ID": ("national id number 90-123-456", "cédula 12.345.678"),
    "MEDICAL_RECORD": ("MRN 00123456",),
    "HEALTH_INSURANCE_ID": ("member ID XYZ123456789",),
}
"""By type: texts that hold a value of it."""
