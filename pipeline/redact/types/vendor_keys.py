"""Keys and tokens whose vendor gives them a shape of their own: a prefix, a length, a checksum's place.

The shapes are those that vendors publish for secret scanning. A pattern that ends in an unbounded run begins
where no such run can begin within itself, so a scan stays linear.
"""

import re

from pipeline.redact.types.shape import Shape

_S, _E = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_HEX = "0-9a-f"
_B = r"A-Za-z0-9_\-"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def has_letter_and_digit(value: str) -> bool:
    """Letters and digits, as generated secrets have and words have not."""
    return bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))


def _key(entity: str, literals: str, pattern: str) -> Shape:
    return Shape(entity, tuple(literals.lower().split()), re.compile(_S + pattern))


def _body(entity: str, literals: str, pattern: str) -> Shape:
    """Where the body has a fixed length and ends there."""
    return _key(entity, literals, pattern + _E)


_CLOUDS = (
    _body("AWS_ACCESS_KEY", "akia asia abia acca", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    _key(
        "AWS_BEDROCK_KEY",
        "ABSK bedrock-api-key-",
        r"(?:ABSK[A-Za-z0-9+/]{100,}|bedrock-api-key-[A-Za-z0-9+/=]{40,})",
    ),
    _key("GCP_API_KEY", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _key("GCP_API_KEY", "AQ.", r"AQ\.Ab[0-9A-Za-z_-]{40,}"),
    _key("GCP_OAUTH_TOKEN", "ya29. 1//0", rf"(?:ya29\.[{_B}]{{20,}}|1//0[{_B}]{{40,}})"),
    _key("GCP_CLIENT_SECRET", "GOCSPX-", rf"GOCSPX-[{_B}]{{28}}"),
    Shape("AZURE_KEY", ("==",), re.compile(r"(?<![A-Za-z0-9+/])(?<!sha512-)[A-Za-z0-9+/]{86}==")),
    _body("AZURE_KEY", "JQQJ9", r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}"),
    _key("AZURE_CLIENT_SECRET", "q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    Shape("AZURE_SAS", ("sig=",), re.compile(r"[?&;]sig=(?P<v>[A-Za-z0-9%+/=]{40,})")),
    _key("DIGITALOCEAN_TOKEN", "_v1_", rf"do[opr]_v1_[{_HEX}]{{64}}"),
    _key("HEROKU_KEY", "HRKU-", rf"HRKU-[{_B}]{{36,}}"),
    _key("CLOUDFLARE_KEY", "v1.0-", rf"v1\.0-[{_HEX}]{{24}}-[{_HEX}]{{100,}}"),
    _key("FLY_TOKEN", "fo1_ fm1", rf"(?:fo1_[{_B}]{{43}}|fm1[ar]?_[A-Za-z0-9+/]{{80,}}=*)"),
    _key("NETLIFY_TOKEN", "nfp_", r"nfp_[A-Za-z0-9]{36}"),
    _key("SUPABASE_KEY", "sbp_ sb_secret_", rf"(?:sbp_[{_HEX}]{{40}}|sb_secret_[{_B}]{{22,}})"),
    _key("PLANETSCALE_KEY", "pscale_", r"pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}"),
    _key("TERRAFORM_TOKEN", ".atlasv1.", rf"[A-Za-z0-9]{{14}}\.atlasv1\.[{_B}=]{{60,}}"),
    _key("PULUMI_TOKEN", "pul-", rf"pul-[{_HEX}]{{40}}"),
    _key("VAULT_TOKEN", "hvs. hvb. hvr.", rf"hv[sbr]\.[{_B}]{{24,}}"),
    _key("DOPPLER_TOKEN", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}"),
    _key("ONEPASSWORD_TOKEN", "ops_eyj", rf"ops_eyJ[{_B}]{{100,}}=*"),
    _key("DATABRICKS_TOKEN", "dapi", rf"dapi[{_HEX}]{{32}}(?:-\d)?{_E}"),
)

_MODEL_VENDORS = (
    _key("ANTHROPIC_KEY", "sk-ant-", rf"sk-ant-[{_B}]{{20,}}"),
    Shape(
        "OPENAI_KEY",
        ("sk-",),
        re.compile(rf"{_S}sk-(?!ant-|lf-)(?:proj-|svcacct-|admin-|or-v1-)?[{_B}]{{20,}}"),
        has_letter_and_digit,
    ),
    _key("HUGGINGFACE_TOKEN", "hf_ api_org_", r"(?:hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{34})"),
    _key("GROQ_KEY", "gsk_", r"gsk_[A-Za-z0-9]{48,}"),
    _key("XAI_KEY", "xai-", r"xai-[A-Za-z0-9]{70,}"),
    _key("PERPLEXITY_KEY", "pplx-", r"pplx-[A-Za-z0-9]{40,}"),
    _key("REPLICATE_TOKEN", "r8_", r"r8_[A-Za-z0-9]{37}"),
    _key("NVIDIA_KEY", "nvapi-", rf"nvapi-[{_B}]{{60,}}"),
    _key("CEREBRAS_KEY", "csk-", r"csk-[a-z0-9]{40,}"),
    _key("ELEVENLABS_KEY", "sk_", rf"sk_[{_HEX}]{{48}}{_E}"),
    _key("PINECONE_KEY", "pcsk_", r"pcsk_[A-Za-z0-9_]{50,}"),
    _key("TAVILY_KEY", "tvly-", rf"tvly-[{_B}]{{28,}}"),
    _key("LANGSMITH_KEY", "lsv2_", rf"lsv2_(?:pt|sk)_[{_HEX}]{{32}}_[{_HEX}]{{10}}"),
    _key("LANGFUSE_KEY", "k-lf-", rf"[sp]k-lf-{_UUID}"),
)

_CODE_HOSTS = (
    _key(
        "GITHUB_TOKEN",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})",
    ),
    _key(
        "GITLAB_TOKEN",
        "gl GR1348941",
        rf"(?:gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct)-[{_B}.]{{20,}}|GR1348941[{_B}]{{20,}})",
    ),
    _key(
        "ATLASSIAN_TOKEN",
        "ATATT3 ATCTT3 ATBB ATSTT3",
        rf"(?:AT[ACS]TT3[{_B}=]{{60,}}|ATBB[A-Za-z0-9]{{32,}})",
    ),
    _key("NPM_TOKEN", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _key("PYPI_TOKEN", "pypi-", rf"pypi-[{_B}]{{50,}}"),
    _key("RUBYGEMS_KEY", "rubygems_", rf"rubygems_[{_HEX}]{{48}}"),
    _key("NUGET_KEY", "oy2", rf"oy2[a-z0-9]{{43}}{_E}"),
    _key("DOCKER_TOKEN", "dckr_", rf"dckr_(?:pat|oat)_[{_B}]{{27,}}"),
    _key("BUILDKITE_TOKEN", "bkua_", rf"bkua_[{_HEX}]{{40}}"),
    _key("SONAR_TOKEN", "sqa_ squ_ sqp_", rf"sq[uap]_[{_HEX}]{{40}}"),
    _key("JFROG_KEY", "AKCp cmVmdGtu", r"(?:AKCp[A-Za-z0-9]{69}|cmVmdGtu[A-Za-z0-9]{56,})"),
    _key("POSTMAN_KEY", "PMAK-", rf"PMAK-[{_HEX}]{{24}}-[{_HEX}]{{34}}"),
)

_SERVICES = (
    _key("SLACK_TOKEN", "xox xapp-", r"(?:xox[abeprs]|xapp|xoxe\.xox[bp])-[A-Za-z0-9-]{10,}"),
    _key(
        "SLACK_WEBHOOK",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<v>[A-Za-z0-9/]{20,})",
    ),
    _key(
        "DISCORD_WEBHOOK",
        "/api/webhooks/",
        rf"discord(?:app)?\.com/api/webhooks/\d{{17,20}}/(?P<v>[{_B}]{{60,}})",
    ),
    _key("DISCORD_TOKEN", "", rf"[MNO][A-Za-z\d]{{23,27}}\.[{_B}]{{6}}\.[{_B}]{{27,}}"),
    _key("TELEGRAM_TOKEN", ":aa", rf"\d{{8,10}}:AA[{_B}]{{32,33}}"),
    _key(
        "STRIPE_KEY",
        "_live_ _test_ whsec_",
        r"(?:[srp]k_(?:live|test|prod)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,})",
    ),
    _key("SQUARE_TOKEN", "sq0 EAAA", rf"(?:sq0(?:atp|csp|idp)-[{_B}]{{22,}}|EAAA[A-Za-z0-9_-]{{60}}{_E})"),
    _key(
        "PAYPAL_TOKEN",
        "access_token$",
        rf"access_token\$(?:production|sandbox)\$[a-z0-9]{{16}}\$[{_HEX}]{{32}}",
    ),
    _key("PLAID_TOKEN", "access-", rf"access-(?:sandbox|development|production)-{_UUID}"),
    _key("SHOPIFY_TOKEN", "shp", r"shp(?:at|ca|pa|ss|ua)_[0-9a-fA-F]{32}"),
    _key("SENDGRID_KEY", "sg.", rf"SG\.[{_B}]{{16,32}}\.[{_B}]{{16,64}}"),
    _key("MAILGUN_KEY", "key-", rf"key-[{_HEX}]{{32}}{_E}"),
    _key("MAILCHIMP_KEY", "-us", rf"[{_HEX}]{{32}}-us\d{{1,2}}{_E}"),
    _key("BREVO_KEY", "xkeysib-", rf"xkeysib-[{_HEX}]{{64}}-[A-Za-z0-9]{{16}}"),
    _key("RESEND_KEY", "re_", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"),
    _body("TWILIO_KEY", "sk ac", rf"(?:SK|AC)[{_HEX}]{{32}}"),
    _key("DATADOG_KEY", "ddapp_ ddapi_", r"dda(?:pp|pi)_[A-Za-z0-9]{34,40}"),
    _key(
        "NEWRELIC_KEY",
        "NRAK- NRII- NRJS- NRAL",
        rf"(?:NR(?:AK|II|JS|AA|IQ)-[A-Za-z0-9_-]{{19,}}|[{_HEX}]{{36}}NRAL)",
    ),
    _key(
        "GRAFANA_TOKEN", "glc_ glsa_", rf"(?:glc_[A-Za-z0-9+/]{{32,}}=*|glsa_[A-Za-z0-9]{{32}}_[{_HEX}]{{8}})"
    ),
    _key("SENTRY_TOKEN", "sntry", rf"sntry(?:s_eyJ[{_B}+/=]{{40,}}|u_[{_HEX}]{{64}})"),
    Shape(
        "SENTRY_DSN",
        ("://",),
        re.compile(r"https?://(?P<v>[0-9a-f]{32}(?::[0-9a-f]{32})?)@[\w.-]{3,100}(?::\d{1,5})?/\d{1,20}"),
    ),
    _key("DYNATRACE_TOKEN", "dt0", r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _key("LINEAR_KEY", "lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}"),
    _key("NOTION_TOKEN", "secret_ ntn_", r"(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,})"),
    _key("AIRTABLE_TOKEN", "pat", rf"pat[A-Za-z0-9]{{14}}\.[{_HEX}]{{64}}"),
    _key("ASANA_TOKEN", "1/ 2/", rf"[12]/\d{{10,20}}(?:/\d{{10,20}})?:[{_HEX}]{{32}}"),
    _key("FIGMA_TOKEN", "figd_ figdr_", rf"figdr?_[{_B}]{{40,}}"),
    _key("HUBSPOT_TOKEN", "pat-", rf"pat-(?:na|eu|ap)\d-{_UUID}"),
    _key("CONTENTFUL_TOKEN", "CFPAT-", rf"CFPAT-[{_B}]{{43}}"),
    _key("MAPBOX_TOKEN", "k.eyj", rf"[sp]k\.eyJ[{_B}]{{40,}}\.[{_B}]{{20,}}"),
    _key("LAUNCHDARKLY_KEY", "sdk- mob- api-", rf"(?:sdk|mob|api)-{_UUID}"),
    _key("OKTA_TOKEN", "ssws", rf"SSWS\s{{1,3}}(?P<v>[{_B}]{{30,}})"),
    _key("META_TOKEN", "EAA", r"EAA[A-Z][A-Za-z0-9]{90,}"),
)

PATTERNS: tuple[Shape, ...] = (*_CLOUDS, *_MODEL_VENDORS, *_CODE_HOSTS, *_SERVICES)
