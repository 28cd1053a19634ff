"""A connection to a control server, with the TLS that the configuration says. No proxy in between."""

import http.client
import socket
import ssl

from pipeline.errors import ConfigError
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.health import fault_of


class _NamedConnection(http.client.HTTPSConnection):
    """TLS to a server whose certificate has another name than the address that is connected to."""

    def __init__(
        self, host: str, port: int, *, server_name: str, context: ssl.SSLContext, timeout: float
    ) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._server_name = server_name
        self._tls = context

    def connect(self) -> None:
        """Connect, and check the certificate against the server's own name."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._server_name)
        except BaseException:
            plain.close()
            raise


def connect(
    config: KillSwitchConfig, host: str, port: int, timeout_s: float, *, tls: bool | None = None
) -> http.client.HTTPConnection:
    """A connection that is not made yet. `tls`: whether to speak TLS; by default as this configuration's own
    server does. Raises ConfigError where a certificate file cannot be used."""
    own = tls is None
    if not (config.speaks_tls if own else tls):
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    name = (config.server_name if own else None) or host
    return _NamedConnection(host, port, server_name=name, context=tls_context(config), timeout=timeout_s)


def tls_context(config: KillSwitchConfig) -> ssl.SSLContext:
    """Trusts `ca`, or the system's authorities; shows `tls_cert` where servers ask who connects."""
    try:
        context = ssl.create_default_context(cafile=config.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.tls_client_ca is not None and config.tls_cert is not None:
            context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"killswitch.ca {config.ca} or tls_cert {config.tls_cert} cannot be used ({fault_of(error)})"
        ) from None
    return context
