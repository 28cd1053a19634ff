"""How DuckDB reaches an object store by itself: by its extension httpfs, where a person installed it.

auditfuse never installs an extension: that would load code from the network.
"""

import os
from functools import cache
from urllib.parse import urlsplit

from pipeline.audit.objects.s3_config import S3Config


def httpfs_setup(url: str, config: S3Config) -> list[str] | None:
    """The statements for a connection; None where httpfs is not installed, or the credentials are not in the
    environment but a role's, which only obstore takes."""
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not (access_key and secret_key and _is_installed()):
        return None
    region = config.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options = {
        "KEY_ID": access_key,
        "SECRET": secret_key,
        "REGION": region or "us-east-1",
        "SCOPE": url,
        "URL_STYLE": "vhost" if config.virtual_hosted or config.endpoint is None else "path",
    }
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        options["SESSION_TOKEN"] = token
    if endpoint := config.endpoint or os.environ.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(endpoint)
        options |= {"ENDPOINT": parts.netloc, "USE_SSL": str(parts.scheme == "https").lower()}
    listed = ", ".join(f"{name} {_quoted(value)}" for name, value in options.items())
    return ["LOAD httpfs", f"CREATE OR REPLACE TEMPORARY SECRET auditfuse (TYPE s3, {listed})"]


@cache
def _is_installed() -> bool:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        query = "SELECT installed FROM duckdb_extensions() WHERE extension_name = 'httpfs'"
        found = connection.execute(query).fetchone()
    return bool(found and found[0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
