"""The factory: a certificate authority of the manufacturer's, and a certificate with its own key for each device (ECDSA, P-256).

It writes `ca.crt`, `ca.key` and one `<serial>.pem` a device (certificate, then key) into a folder; what is there already is left as it is.
Its ACS can have one from it as well, with an address that devices check. Without a common name the
certificate is nobody's.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError

VALID_DAYS = 365
_CA_NAME = "Example Home factory"


class Factory:
    """Makes certificates in `folder`. OperatorError when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "ca.key").exists():
                self._found()
            self._key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except (OSError, ValueError) as refused:
            raise OperatorError(f"{folder} cannot be used for certificates: {refused}.", reason="bad_certificate") from None

    @property
    def authority(self) -> Path:
        """Whom an ACS has to trust (`acs.managed.client_ca_file`)."""
        return self._folder / "ca.crt"

    def certificate(self, file: str, common_name: str, *, days: int = VALID_DAYS, address: str = "") -> Path:
        """The file `<file>.pem`. Negative days: it expired so long ago. `address`: of a server that is checked by it."""
        path = self._folder / f"{file}.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            path.write_bytes(self._sign(common_name, key.public_key(), days=days, address=address) + _pem(key))
            path.chmod(0o600)
        return path

    def _found(self) -> None:
        key = self._key = ec.generate_private_key(ec.SECP256R1())
        self.authority.write_bytes(self._sign(_CA_NAME, key.public_key(), days=VALID_DAYS, authority=True))
        (self._folder / "ca.key").write_bytes(_pem(key))
        (self._folder / "ca.key").chmod(0o600)

    def _sign(self, common_name: str, public: ec.EllipticCurvePublicKey, *, days: int, authority: bool = False, address: str = "") -> bytes:
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        now, day = datetime.fromtimestamp(system_clock() / 1000, UTC), timedelta(days=1)
        ends = now + days * day
        begins = min(now, ends) - day
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else []) for text in (common_name, _CA_NAME))
        builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if address:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
