"""Where people reach the control server, and the addresses of incident pages there."""

import ipaddress
from urllib.parse import quote, urlsplit

PATH = "/incidents"


def checked_public_url(url: str) -> str:
    """The URL without a slash at its end. Raises ValueError for one that no link may be made of."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("public_url is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or c in "<>\"'`|" for c in url):
        raise ValueError("public_url must be https://HOST, without spaces or quotes")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("public_url must have no user, query or fragment: it stands in every page")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"public_url is plain http to {host}: tokens and links would be readable on the way; "
            "use https (http is for this machine alone)"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without its port, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def incident_url(public_url: str, incident_id: str, secret: str | None = None) -> str:
    """The incident's page; with a one-time secret, the link of a person."""
    path = f"{public_url}{PATH}/{quote(incident_id, safe='')}"
    return path if secret is None else f"{path}?link={quote(secret, safe='')}"
