"""TLS: the server's certificate, the command line that checks it, and certificates of those who connect."""

import socket

import pytest
from support.certificates import certificate
from support.killswitch import running_switch

from pipeline.control_app import build_control_app, serve_in_thread
from pipeline.errors import ConfigError
from pipeline.killswitch import protocol
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.operator import NoServerError, Operator
from schemas.command import Command, Selector


def trip(config: KillSwitchConfig):
    operator = Operator(config, lambda text, wait_s: text)
    return operator.trip(Selector(agent="a"), "off", by="alice", reason="r", until_ms=None)


@pytest.fixture
def tls_server(tmp_path):
    """Starts a server with TLS; returns its configuration with the real port."""
    opened = []

    def start(**options):
        context = running_switch(tmp_path / "journal", **options)
        switch = context.__enter__()
        opened.append(lambda: context.__exit__(None, None, None))
        server = serve_in_thread(build_control_app(switch, dict), "127.0.0.1", 0, tls=switch.config)
        opened.append(server.stop)
        assert server.url.startswith("https://")
        return switch.config.model_copy(update={"port": server.port})

    yield start
    for close in reversed(opened):
        close()


def test_the_command_line_checks_the_certificate(tmp_path, tls_server):
    own = certificate(tmp_path, "auditfuse.example")
    config = tls_server(tls_cert=own.cert, tls_key=own.key, ca=own.cert)
    assert not isinstance(trip(config), Command)
    assert len(Operator(config, lambda text, wait_s: text).status().trips) == 1
    other = certificate(tmp_path, "other.example")
    for wrong in ({"ca": other.cert}, {"ca": None}, {"server_name": "wrong.example"}):
        with pytest.raises(NoServerError):
            Operator(config.model_copy(update=wrong), lambda text, wait_s: text).status()


def test_a_certificate_of_another_name_is_taken_where_the_configuration_names_it(tmp_path, tls_server):
    own = certificate(tmp_path, "auditfuse.example", address=None)
    config = tls_server(tls_cert=own.cert, tls_key=own.key, ca=own.cert)
    with pytest.raises(NoServerError):
        Operator(config, lambda text, wait_s: text).status()
    named = config.model_copy(update={"server_name": "auditfuse.example"})
    assert Operator(named, lambda text, wait_s: text).status().trips == []


def test_who_shows_no_certificate_is_refused_where_one_is_asked_for(tmp_path, tls_server):
    own = certificate(tmp_path, "auditfuse.example")
    config = tls_server(tls_cert=own.cert, tls_key=own.key, ca=own.cert, tls_client_ca=own.cert)
    assert Operator(config, lambda text, wait_s: text).status().trips == []
    with pytest.raises(NoServerError):
        Operator(config.model_copy(update={"tls_client_ca": None}), lambda text, wait_s: text).status()


def test_a_trip_goes_to_the_journal_where_the_certificate_is_wrong(tmp_path, tls_server):
    own, other = certificate(tmp_path, "auditfuse.example"), certificate(tmp_path, "other.example")
    config = tls_server(tls_cert=own.cert, tls_key=own.key, ca=other.cert)
    assert isinstance(trip(config), Command)


def test_a_certificate_that_cannot_be_used_is_a_configuration_error(tmp_path):
    own, other = certificate(tmp_path, "auditfuse.example"), certificate(tmp_path, "other.example")
    for cert, key in ((own.cert, other.key), (tmp_path / "nowhere.pem", own.key)):
        config = KillSwitchConfig(journal=tmp_path, tls_cert=cert, tls_key=key)
        with pytest.raises(ConfigError, match="certificate"):
            serve_in_thread(lambda *_: None, "127.0.0.1", 0, tls=config)
    with pytest.raises(ValueError, match="come together"):
        KillSwitchConfig(tls_cert=own.cert)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["nothing", "half a hello"])
def test_a_handshake_that_stands_still_is_ended(tmp_path, tls_server, monkeypatch, sent):
    monkeypatch.setattr(protocol, "HANDSHAKE_TIMEOUT_S", 0.3)
    own = certificate(tmp_path, "auditfuse.example")
    config = tls_server(tls_cert=own.cert, tls_key=own.key, ca=own.cert)
    with socket.create_connection((config.host, config.port), timeout=5) as half_open:
        half_open.sendall(sent)
        assert half_open.recv(1) == b""
    assert Operator(config, lambda text, wait_s: text).status().trips == []
