"""Over TLS: the certificate is checked, by the system's authorities or by the file that is given."""

import datetime
import ipaddress
import ssl

import pytest
from auditfuse_client import Guard, Stopped
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.lease_stub import running_stub, state, trip


def certificate(folder, address):
    """A self-signed certificate of one address: the file of the certificate, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "auditfuse")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    ca, private = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, private)
    return ca, context


def test_leases_stream_and_approvals_go_over_tls(tmp_path):
    ca, context = certificate(tmp_path, "127.0.0.1")
    with running_stub(context) as stub, Guard(stub.url, agent="a", token="secret", ca=ca) as guard:
        guard.check(action="write")
        stub.answer = (200, {**stub.answer[1], "trips": [trip(mode="approval")], "digest": "d1"})
        stub.flags = lambda context: True
        stub.events.append(state(trip(mode="approval"), digest="d1"))
        with pytest.raises(Stopped, match="only with an approval"):
            while True:
                guard.check(action="write")
        guard.check(action="write", approval="APR-1")
        assert {*stub.authorizations} == {"Bearer secret"}


@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_an_unknown_authority_or_another_name_gives_no_lease(tmp_path, address, trusted):
    ca, context = certificate(tmp_path, address)
    with running_stub(context) as stub:
        with Guard(stub.url, agent="a", token="secret", ca=ca if trusted else None) as guard:
            with pytest.raises(Stopped, match="certificate is not taken"):
                guard.check(action="write")
        assert stub.asked == []
